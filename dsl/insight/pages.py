"""The code of a diagnostic to the page about it, which `grammar/errors` holds as Markdown."""

from __future__ import annotations

from pathlib import Path

from ..diagnostics import Diagnostic, OptError, all_of
from ..meant import nearest

PAGES = Path(__file__).parents[2] / "grammar" / "errors"


def codes() -> list[str]:
    """Every code that has a page."""
    return sorted(path.stem for path in PAGES.glob("*.md"))


def is_code(text: str) -> bool:
    """Whether a text looks like a code, known or not: a letter of E and W, and three digits."""
    return len(text) == 4 and text[0].upper() in "EW" and text[1:].isdigit()


def page(code: str) -> str:
    """The page about a code, as Markdown. Raises OptError for a code without one."""
    if code not in codes():
        meant = nearest(code, codes())
        help = f"did you mean `{meant}`?" if meant else f"codes are {', '.join(codes())}"
        raise OptError(Diagnostic("E006", f"there is no diagnostic `{code}`", all_of(code), help=help))
    return (PAGES / f"{code}.md").read_text(encoding="utf-8")


def titles() -> dict[str, str]:
    """What each code means, in the few words of its page's heading."""
    return {code: page(code).partition("\n")[0].partition(": ")[2] for code in codes()}
