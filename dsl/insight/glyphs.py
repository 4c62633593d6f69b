"""How mathematics is written in Unicode, LaTeX and MathML: three spellings of one list of parts. No structure here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eps": "ε", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lam": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
LATEX_GREEK = {"eps": r"\varepsilon", "epsilon": r"\varepsilon", "lam": r"\lambda", "phi": r"\varphi"}
ACCENTS = {"hat": ("\u0302", r"\hat", "^"), "bar": ("\u0304", r"\bar", "¯"), "tilde": ("\u0303", r"\tilde", "~")}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SUPERSCRIPTS = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻·")


@dataclass(frozen=True, slots=True)
class Symbol:
    """An identifier taken apart: `mhat1` is m with a hat and the subscript 1, `a_sign` is a with the subscript sign."""

    base: str
    accent: str = ""
    subscript: str = ""


def symbol(name: str) -> Symbol:
    """How a name reads in a formula; a name of another make stands as it is."""
    stem, _, subscript = name.partition("_")
    if not subscript and (match := re.fullmatch(r"([A-Za-z]+)(\d+)", name)):
        stem, subscript = match.groups()
    accent = next((a for a in ACCENTS if stem.endswith(a) and stem != a), "")
    base = stem.removesuffix(accent)
    if not stem.isidentifier() or (accent and len(base) > 1 and base not in GREEK):
        return Symbol(name) if not subscript else Symbol(stem, "", subscript)
    return Symbol(base, accent, subscript)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One way of writing. `stacked` says that fractions are drawn one above the other, and need no brackets."""

    name: str
    stacked: bool
    symbol: Callable[[Symbol], str]
    number: Callable[[str], str]
    operator: Callable[[str], str]
    word: Callable[[str], str]
    brackets: Callable[[str], str]
    bars: Callable[[str, str], str]
    fraction: Callable[[str, str], str]
    power: Callable[[str, str], str]
    below: Callable[[str, str], str]
    root: Callable[[str, bool], str]
    call: Callable[[str, list[str]], str]
    cases: Callable[[list[tuple[str, str]]], str]


def _scientific(text: str, product: Callable[[str, str], str]) -> str:
    """A number's text; where it has an exponent, its mantissa, empty for 1, times a power of ten."""
    mantissa, e, exponent = text.partition("e")
    return product("" if mantissa == "1" else mantissa, str(int(exponent))) if e else text


# ---------------------------------------------------------------- Unicode


def _plain_symbol(s: Symbol) -> str:
    base = GREEK.get(s.base, s.base) + (ACCENTS[s.accent][0] if s.accent else "")
    return base + (
        s.subscript.translate(SUBSCRIPTS) if s.subscript.isdigit() else f"_{s.subscript}" if s.subscript else ""
    )


def _plain_power(base: str, exponent: str) -> str:
    raised = exponent.translate(SUPERSCRIPTS)
    simple = {"t": "ᵗ", "n": "ⁿ"}.get(exponent) or (raised if not set(raised) & set(exponent) else "")
    return base + simple if simple else f"{base}^{exponent if exponent.isalnum() else f'({exponent})'}"


def _plain_cases(rows: list[tuple[str, str]]) -> str:
    return "{ " + "; ".join(f"{value} {condition}" for value, condition in rows) + " }"


UNICODE = Glyphs(
    "unicode",
    stacked=False,
    symbol=_plain_symbol,
    number=lambda text: _scientific(text, lambda m, e: f"{m}·10{e.translate(SUPERSCRIPTS)}".removeprefix("·")),
    operator=lambda op: {"*": "·", "-": "−", "<=": "≤", ">=": "≥", "==": "=", "!=": "≠", "<-": "←"}.get(op, op),
    word=lambda text: text,
    brackets=lambda x: f"({x})",
    bars=lambda x, bar: {"|": f"|{x}|", "floor": f"⌊{x}⌋", "norm": f"‖{x}‖"}[bar],
    fraction=lambda a, b: f"{a} / {b}",
    power=_plain_power,
    below=lambda base, under: f"{base}_{under}",
    root=lambda x, cube: ("∛" if cube else "√") + (x if re.fullmatch(r"\w+[\u0300-\u036f]?\w*", x) else f"({x})"),
    call=lambda f, args: f"{f}({', '.join(args)})",
    cases=_plain_cases,
)


# ---------------------------------------------------------------- LaTeX


def _latex_symbol(s: Symbol) -> str:
    base = LATEX_GREEK.get(s.base) or (rf"\{s.base}" if s.base in GREEK else _latex_word(s.base))
    if s.accent:
        base = f"{ACCENTS[s.accent][1]}{{{base}}}"
    return base + (f"_{{{s.subscript if s.subscript.isdigit() else _latex_word(s.subscript)}}}" if s.subscript else "")


def _latex_word(text: str) -> str:
    safe = text.replace("_", r"\_")
    return safe if len(text) == 1 else rf"\mathrm{{{safe}}}"


def _latex_number(text: str) -> str:
    return _scientific(text, lambda m, e: rf"{m} \cdot 10^{{{e}}}".removeprefix(r" \cdot "))


def _latex_cases(rows: list[tuple[str, str]]) -> str:
    return r"\begin{cases}" + r" \\ ".join(f"{value} & {condition}" for value, condition in rows) + r"\end{cases}"


LATEX_OPERATORS = {
    "*": r"\,", "@": r"\,", "<=": r"\le", ">=": r"\ge", "==": "=", "!=": r"\ne", "<-": r"\leftarrow",
    "and": r"\land", "or": r"\lor", "not": r"\lnot", "mod": r"\bmod", "∈": r"\in", "⊤": r"\top",
}  # fmt: skip
LATEX_BARS = {"|": ("|", "|"), "floor": (r"\lfloor ", r" \rfloor"), "norm": (r"\lVert ", r" \rVert")}
LATEX = Glyphs(
    "latex",
    stacked=True,
    symbol=_latex_symbol,
    number=_latex_number,
    operator=lambda op: LATEX_OPERATORS.get(op, op),
    word=lambda text: rf"\text{{{text}}}",
    brackets=lambda x: rf"\left({x}\right)",
    bars=lambda x, bar: LATEX_BARS[bar][0] + x + LATEX_BARS[bar][1],
    fraction=lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    power=lambda base, exponent: f"{{{base}}}^{{{exponent}}}",
    below=lambda base, under: f"{base}_{{{under}}}",
    root=lambda x, cube: rf"\sqrt[3]{{{x}}}" if cube else rf"\sqrt{{{x}}}",
    call=lambda f, args: rf"{_latex_function(f)}\left({', '.join(args)}\right)",
    cases=_latex_cases,
)


def _latex_function(name: str) -> str:
    known = {"min", "max", "exp", "log", "sin", "cos", "tanh"}
    return rf"\{name}" if name in known else name if name.startswith("\\") else rf"\operatorname{{{name}}}"


# ---------------------------------------------------------------- MathML


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def _mo(text: str) -> str:
    return f"<mo>{escape(text)}</mo>"


def _mi(text: str) -> str:
    return f"<mi>{escape(text)}</mi>"


def _mathml_symbol(s: Symbol) -> str:
    base = _mi(GREEK.get(s.base, s.base))
    if s.accent:
        base = f'<mover accent="true">{base}{_mo(ACCENTS[s.accent][2])}</mover>'
    if not s.subscript:
        return base
    under = f"<mn>{s.subscript}</mn>" if s.subscript.isdigit() else _mi(s.subscript)
    return f"<msub>{base}{under}</msub>"


def _mathml_number(text: str) -> str:
    def product(mantissa: str, exponent: str) -> str:
        power = f"<msup><mn>10</mn><mn>{exponent}</mn></msup>"
        return _row(f"<mn>{mantissa}</mn>", _mo("·"), power) if mantissa else power

    return _scientific(text, product) if "e" in text else f"<mn>{escape(text)}</mn>"


def _mathml_cases(rows: list[tuple[str, str]]) -> str:
    body = "".join(f"<mtr><mtd>{value}</mtd><mtd>{condition}</mtd></mtr>" for value, condition in rows)
    return _row(_mo("{"), f"<mtable>{body}</mtable>")


def _mathml_call(f: str, args: list[str]) -> str:
    head = f if f.startswith("<") else _mi(f)
    inside = _mo(",").join(args)
    return _row(head, _mo("("), inside, _mo(")"))


MATHML_OPERATORS = {"*": "\u2062", "@": "\u2062", "-": "−", "<=": "≤", ">=": "≥", "==": "=", "!=": "≠", "<-": "←"}
MATHML_BARS = {"|": ("|", "|"), "floor": ("⌊", "⌋"), "norm": ("‖", "‖")}
MATHML = Glyphs(
    "mathml",
    stacked=True,
    symbol=_mathml_symbol,
    number=_mathml_number,
    operator=lambda op: _mo(MATHML_OPERATORS.get(op, op)),
    word=lambda text: f"<mtext>{escape(text)}</mtext>",
    brackets=lambda x: _row(_mo("("), x, _mo(")")),
    bars=lambda x, bar: _row(_mo(MATHML_BARS[bar][0]), x, _mo(MATHML_BARS[bar][1])),
    fraction=lambda a, b: f"<mfrac>{_row(a)}{_row(b)}</mfrac>",
    power=lambda base, exponent: f"<msup>{_row(base)}{_row(exponent)}</msup>",
    below=lambda base, under: f"<msub>{_row(base)}{_row(under)}</msub>",
    root=lambda x, cube: f"<mroot>{_row(x)}<mn>3</mn></mroot>" if cube else f"<msqrt>{x}</msqrt>",
    call=_mathml_call,
    cases=_mathml_cases,
)

GLYPHS = {g.name: g for g in (UNICODE, LATEX, MATHML)}
