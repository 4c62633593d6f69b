"""A name that is not known → the known one that was meant: by a guess, or where a slip of the fingers is sure."""

from __future__ import annotations

from collections.abc import Iterable

MAX_GUESSED = 64
"""Letters of a name beyond which no guess is made: comparing two names takes the product of their lengths."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a typing slip would turn into this one, if any is that close."""
    from difflib import get_close_matches  # slow to import, and seldom needed

    if len(name) > MAX_GUESSED:
        return None
    found = get_close_matches(name, list(known), 1, 0.6 if len(name) > 2 else 0.5)
    return found[0] if found else None


def slip(name: str, known: Iterable[str]) -> str | None:
    """The one known name that this is with a letter left out, doubled or swapped with its neighbour.

    Another letter or digit may be another name (`mhat`, `vhat`; `beta1`, `beta2`), and one too many may be a factor
    (`beta1m`), so those are no slips.
    """
    if not 2 < len(name) < MAX_GUESSED:
        return None
    alike = [k for k in known if len(k) > 2 and abs(len(name) - len(k)) < 2 and _digits(name) == _digits(k)]
    found = [k for k in alike if _one_letter_off(name, k)]
    return found[0] if len(found) == 1 else None


def _digits(name: str) -> list[str]:
    return [c for c in name if c.isdigit()]


def _one_letter_off(a: str, b: str) -> bool:
    swapped = (a[:i] + a[i + 1] + a[i] + a[i + 2 :] for i in range(len(a) - 1))
    return a in _shortened(b) or b in _undoubled(a) or (a != b and b in swapped)


def _shortened(name: str) -> set[str]:
    return {name[:i] + name[i + 1 :] for i in range(len(name))}


def _undoubled(name: str) -> set[str]:
    return {name[:i] + name[i + 1 :] for i in range(len(name) - 1) if name[i] == name[i + 1]}


def factors(name: str, known: Iterable[str]) -> tuple[str, str] | None:
    """The two known names that this is, written side by side as papers write products; None where that is not clear."""
    known = set(known)
    cuts = ((name[:i], name[i:]) for i in range(1, min(len(name), MAX_GUESSED)))
    found = [cut for cut in cuts if known.issuperset(cut)]
    return found[0] if len(found) == 1 else None
