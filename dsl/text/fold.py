"""Pasted mathematics to ASCII: β₁ is beta1, m̂ is mhat, g² is g^2. One token at a time; knows nothing of the grammar."""

from __future__ import annotations

import unicodedata

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "eps", "ϵ": "eps", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ϑ": "theta", "ι": "iota", "κ": "kappa", "λ": "lam", "μ": "mu", "µ": "mu", "ν": "nu", "ξ": "xi",
    "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi",
    "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
"""λ is `lam` because `lambda` is a Python keyword, and hyperparameters become keyword arguments."""

MARKS = {
    "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "bar", "\u0307": "dot", "\u0308": "ddot",
    "\u20d7": "vec", "′": "prime",
}  # fmt: skip

SUBSCRIPTS = {
    **{chr(0x2080 + i): str(i) for i in range(10)},
    "ₐ": "_a", "ₑ": "_e", "ₒ": "_o", "ₓ": "_x", "ₕ": "_h", "ₖ": "_k", "ₗ": "_l", "ₘ": "_m", "ₙ": "_n", "ₚ": "_p",
    "ₛ": "_s", "ₜ": "_t", "ᵢ": "_i", "ᵣ": "_r", "ᵤ": "_u", "ᵥ": "_v", "ⱼ": "_j",
}  # fmt: skip

SUPERSCRIPTS = {
    **{c: str(i) for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    "⁻": "-", "⁺": "+", "ᵗ": "t", "ⁿ": "n", "ᵖ": "p", "ᵏ": "k", "½": "0.5",
}  # fmt: skip

ROOTS = {"√": "sqrt", "∛": "cbrt"}


def fold_name(text: str) -> tuple[str, str | None]:
    """(the ASCII identifier, None), or (what could be folded, the first character that cannot be part of a name)."""
    if text.isascii():
        return text, None
    out, marks = "", ""
    for c in unicodedata.normalize("NFD", text):
        if c in MARKS:
            marks += MARKS[c]
            continue
        plain = SUBSCRIPTS.get(c) or GREEK.get(c) or _compatible(c)
        if plain is None:
            return out, c
        # A subscript or a further letter comes after the mark of the letter before it: m̂₁ is mhat1.
        out, marks = out + marks + plain, ""
    return out + marks, None


def _compatible(c: str) -> str | None:
    """Mathematical and full-width letters are those letters; a Cyrillic а is not an a."""
    plain = unicodedata.normalize("NFKC", c)
    if plain in GREEK:
        return GREEK[plain]
    return plain if plain.isascii() and (plain.isalnum() or plain == "_") else None


def describe(c: str) -> str:
    """A character for a message: visible where it can be, by name and number where it may deceive."""
    if c.isascii() and c.isprintable():
        return f"`{c}`"
    return f"{unicodedata.name(c, 'the control character')} (U+{ord(c):04X})"
