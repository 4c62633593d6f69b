"""A text to everything there is to say about it: its errors, or else its warnings. It changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..diagnostics import Diagnostic, OptError
from ..text.expressions import Call, Name, Number
from ..text.parser import parse
from ..text.syntax import Def, File, Let, Output, ParamDecl, Use
from .check import check
from .lint import lint


def review(text: str, name: str, base: Path | None, pedantic: bool = False) -> tuple[Diagnostic, ...]:
    """The errors of a text, at most ten, or the warnings about the rule that it is.

    `name` is what messages call the text, `base` the folder that `use "./lib.opt"` starts from. Raises nothing.
    """
    try:
        file = parse(text, name)
        if is_library(file):
            return _library(file, base)
        return tuple(lint(file, check(file, base), pedantic))
    except OptError as error:
        return error.diagnostics


SHAPES_UNKNOWN = ("E202", "E203", "E205", "E206")
"""Errors that hang on what a function is called with."""


def _library(file: File, base: Path | None) -> tuple[Diagnostic, ...]:
    """The errors of a file's functions, each called once with the gradient for every argument."""
    called = [
        Let(
            f"try_{d.name}", Call(d.name, (Name("g"),) * len(d.parameters), span=d.name_span, function_span=d.name_span)
        )
        for d in file.items
        if isinstance(d, Def)
    ]
    items = (*file.items, ParamDecl("lr", default=Number(1.0, "1")), *called, Output("update", Name("g")))
    try:
        check(replace(file, items=items), base)
    except OptError as error:
        return tuple(d for d in error.diagnostics if d.code not in SHAPES_UNKNOWN)
    return ()


def is_library(file: File) -> bool:
    """Whether a file holds functions and nothing else."""
    return any(isinstance(i, Def) for i in file.items) and all(isinstance(i, (Def, Use)) for i in file.items)
