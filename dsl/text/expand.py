"""The short form to the long form: a lone expression becomes a file, with the standard declarations that it uses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .syntax import Assign, File, Item, Output, ParamDecl, Short, StateDecl
from .walking import names

STANDARD = Path(__file__).parents[2] / "grammar" / "std" / "standard.opt"


@cache
def standard() -> File:
    """The standard declarations: lr, beta1, beta2, eps, wd, m and v."""
    from .parser import parse

    return parse(STANDARD.read_text(encoding="utf-8"), "std/standard.opt")


def is_short(file: File) -> bool:
    return len(file.items) == 1 and isinstance(file.items[0], Short)


def expand(file: File) -> File:
    """The long form of a short file; any other file as it is."""
    if not is_short(file):
        return file
    value = file.items[0].value  # type: ignore[union-attr]
    wanted = {"lr", *names(value)}
    # Each pass adds what the declarations of the last one read: m brings beta1 along.
    while more := {n for item in standard().items if _declares(item) in wanted for n in names(item)} - wanted:
        wanted |= more
    brought = [item for item in standard().items if _declares(item) in wanted]
    order = (ParamDecl, StateDecl, Assign)
    items: tuple[Item, ...] = tuple(sorted(brought, key=lambda item: order.index(type(item))))
    update = Output("update", value, value.span, value.span)
    return File((*items, update), file.doc, file.comments, file.folded, file.span)


def _declares(item: Item) -> str:
    return item.name if isinstance(item, (ParamDecl, StateDecl, Assign)) else ""
