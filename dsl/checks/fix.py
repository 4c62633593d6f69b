"""A text to the text with every safe fix applied: what the author must have meant, and never a worse rule.

A round of fixes is kept only where fewer errors remain, or as many and the first one further down. Where the text was a
rule before, it must be the same rule after.
"""

from __future__ import annotations

from pathlib import Path

from ..diagnostics import Diagnostic, Fix, OptError
from ..text.parser import parse
from ..text.syntax import Item
from .review import review

ROUNDS = 20


def fixed(text: str, name: str, base: Path | None, pedantic: bool = False) -> tuple[str, int]:
    """The text with its safe fixes applied, and how many there were. Takes what `review` takes; raises nothing."""
    count = 0
    found = review(text, name, base, pedantic)
    for _ in range(ROUNDS):
        fixes = _applicable(found, text)
        for chosen in (fixes, *((fix,) for fix in fixes if len(fixes) > 1)):
            candidate = _applied(text, chosen)
            after = review(candidate, name, base, pedantic)
            if chosen and _better(text, found, candidate, after):
                text, found, count = candidate, after, count + len(chosen)
                break
        else:
            break
    return text, count


def _applicable(found: tuple[Diagnostic, ...], text: str) -> tuple[Fix, ...]:
    """The fixes of this text, in its order; of two that overlap, the first."""
    fixes = [d.fix for d in found if d.fix is not None and d.fix.span.source.text == text]
    out: list[Fix] = []
    for fix in sorted(fixes, key=lambda f: (f.span.start, f.span.end)):
        if not out or fix.span.start >= out[-1].span.end:
            out.append(fix)
    return tuple(out)


def _applied(text: str, fixes: tuple[Fix, ...]) -> str:
    for fix in reversed(fixes):
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    return text


def _better(text: str, found: tuple[Diagnostic, ...], candidate: str, after: tuple[Diagnostic, ...]) -> bool:
    if any(d.severity == "error" for d in found):
        return _progress(after) > _progress(found)
    same = _items(candidate) == _items(text)
    return same and len(after) < len(found) and all(d.severity == "warning" for d in after)


def _progress(found: tuple[Diagnostic, ...]) -> tuple[int, int, int]:
    """How far a text is on its way: the checker looks only at what parses, and ten errors may stand for more."""
    errors = [d for d in found if d.severity == "error"]
    syntax = sum(d.code < "E1" for d in errors)
    return -syntax, -len(errors), errors[0].span.start if errors else 0


def _items(text: str) -> tuple[Item, ...] | None:
    try:
        return parse(text).items
    except OptError:
        return None
