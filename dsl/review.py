"""A text to everything there is to say about it: its errors, or else its warnings. It changes nothing."""

from __future__ import annotations

from pathlib import Path

from .check import check
from .diagnostics import Diagnostic, OptError
from .lint import lint
from .parser import parse
from .syntax import Def, File, Use


def review(text: str, name: str, base: Path | None, pedantic: bool = False) -> tuple[Diagnostic, ...]:
    """The errors of a text, at most ten, or the warnings about the rule that it is.

    `name` is what messages call the text, `base` the folder that `use "./lib.opt"` starts from. Raises nothing.
    """
    try:
        file = parse(text, name)
        if is_library(file):
            return ()
        return tuple(lint(file, check(file, base), pedantic))
    except OptError as error:
        return error.diagnostics


def is_library(file: File) -> bool:
    """Whether a file holds functions and nothing else, which are checked where they are called."""
    return any(isinstance(i, Def) for i in file.items) and all(isinstance(i, (Def, Use)) for i in file.items)
