"""Tools on parse trees that every space shares: lines to nodes, numbers to literals, names replaced, dead parts cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from ..dsl.format import literal
from ..dsl.parser import parse
from ..dsl.syntax import (
    Apply,
    Assign,
    Call,
    Expr,
    File,
    Item,
    Let,
    Name,
    Number,
    Optimizer,
    Output,
    ParamDecl,
    StateDecl,
    names,
)

DIGITS = 6


@cache
def fragment(line: str) -> Item:
    """The one statement that a line of the language is."""
    (item,) = parse(line, "<fragment>").items
    return item


def rounded(x: float) -> float:
    """The number that six significant digits write."""
    return float(f"{x:.{DIGITS}g}")


def number(x: float) -> Expr:
    """A number of six digits as the parser would read it: a minus sign is an operation of its own."""
    return literal(rounded(x))


def number_of(value: Expr | None) -> float:
    """What `number` wrote. Raises ValueError for anything else."""
    match value:
        case Number(value=x):
            return x
        case Apply("neg", (Number(value=x),)):
            return -x
    raise ValueError("a number is needed here")


def renamed(value: Expr, new: Mapping[str, str]) -> Expr:
    """The expression with names exchanged."""
    match value:
        case Name(name):
            return Name(new.get(name, name))
        case Apply() | Call():
            return replace(value, args=tuple(renamed(part, new) for part in value.args))
        case _:
            return value


def tidied(tree: File) -> File:
    """The tree without what its update never reads: sleeping genes, unused states and values."""
    live = _live(tree)
    kept = tuple(item for item in tree.items if _stays(item, live))
    return replace(tree, items=kept)


def _live(tree: File) -> set[str]:
    scheduled = any(isinstance(item, Output) and item.name == "step_size" for item in tree.items)
    live: set[str] = {"theta", "g"} if scheduled else {"theta", "g", "lr"}
    before = 0
    while before != len(live):
        before = len(live)
        for item in tree.items:
            if isinstance(item, Output) or (isinstance(item, Let | Assign | StateDecl) and item.name in live):
                live.update(names(item))
    return live


def _stays(item: Item, live: set[str]) -> bool:
    if isinstance(item, ParamDecl | StateDecl | Let | Assign):
        return item.name in live
    return True


def named(tree: File, name: str) -> File:
    """The tree with another class name."""
    return replace(tree, items=tuple(Optimizer(name) if isinstance(i, Optimizer) else i for i in tree.items))
