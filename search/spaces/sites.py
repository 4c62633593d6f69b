"""Where a parse tree's expressions can be cut and mended, and what may be read there; no chance is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...dsl.operators import OPERATORS, Kind
from ...dsl.recent import remembering
from ...dsl.text.expressions import Apply, Bool, Call, Expr, Name
from ...dsl.text.syntax import Assign, File, Let, Output, ParamDecl, StateDecl

Path = tuple[int, ...]
"""Which argument to follow, from an expression's root down."""

ALWAYS_READABLE = ("g", "theta", "t")
OUTSIDE_UPDATES = ("lr", "wd")
"""Hyperparameters that have a place of their own, in `step_size` and `decay`."""


@dataclass(frozen=True)
class Site:
    """The expression of one statement, and the names of numbers that it may read."""

    item: int
    value: Expr
    readable: tuple[str, ...]


def sites(tree: File, *, whole_program: bool) -> Sequence[Site]:
    """The update alone, or every statement but `step_size` and `decay`."""
    found = _sites(tree)
    return found if whole_program else [site for site in found if isinstance(tree.items[site.item], Output)]


@remembering
def _sites(tree: File) -> tuple[Site, ...]:
    found: list[Site] = []
    readable = [
        *ALWAYS_READABLE,
        *(i.name for i in tree.items if isinstance(i, ParamDecl | StateDecl) and _is_number(i)),
    ]
    for place, item in enumerate(tree.items):
        if isinstance(item, Let | Assign) or (isinstance(item, Output) and item.name == "update"):
            found.append(Site(place, item.value, tuple(readable)))
        if isinstance(item, Let) and kind(item.value) == "real":
            readable.append(item.name)
    return tuple(found)


def _is_number(item: ParamDecl | StateDecl) -> bool:
    if isinstance(item, StateDecl):
        return item.scope in (None, "element")
    return item.type in (None, "real") and not isinstance(item.default, Bool) and item.name not in OUTSIDE_UPDATES


def mended(tree: File, site: Site, value: Expr) -> File:
    """The tree with another expression at the site."""
    item = tree.items[site.item]
    assert isinstance(item, Let | Assign | Output)
    return replace(tree, items=(*tree.items[: site.item], replace(item, value=value), *tree.items[site.item + 1 :]))


# ---------------------------------------------------------------- one expression


def operator(value: Expr) -> str | None:
    """The operator of OPERATORS at an expression's root; None for a leaf."""
    match value:
        case Apply(op):
            return op
        case Call(function) if function in OPERATORS:
            return function
        case _:
            return None


def arguments(value: Expr) -> tuple[Expr, ...]:
    return value.args if isinstance(value, Apply | Call) else ()


def applied(name: str, args: tuple[Expr, ...]) -> Expr:
    """An operator on arguments, as the parser would read it."""
    return Apply(name, args) if OPERATORS[name].symbol is not None else Call(name, args)


def kind(value: Expr) -> Kind:
    """Whether an expression is a number or a condition."""
    name = operator(value)
    if name is not None:
        return OPERATORS[name].gives
    return "bool" if isinstance(value, Bool) else "real"


@remembering
def parts(value: Expr) -> Sequence[tuple[Path, Expr]]:
    """The expression and all below it in the order of their text, with the way to each."""
    found: list[tuple[Path, Expr]] = []
    pending: list[tuple[Path, Expr]] = [((), value)]
    while pending:
        path, part = pending.pop()
        found.append((path, part))
        args = arguments(part)
        pending.extend([((*path, k), args[k]) for k in range(len(args) - 1, -1, -1)])
    return found


def at(value: Expr, path: Path) -> Expr:
    for k in path:
        value = arguments(value)[k]
    return value


def put(value: Expr, path: Path, new: Expr) -> Expr:
    """The expression with another in the place that the path leads to."""
    if not path:
        return new
    assert isinstance(value, Apply | Call)
    first, *rest = path
    args = tuple(put(a, tuple(rest), new) if k == first else a for k, a in enumerate(value.args))
    return replace(value, args=args)


def size(value: Expr) -> int:
    return len(parts(value))


def depth(value: Expr) -> int:
    return 1 + max(len(path) for path, _ in parts(value))


def reads(value: Expr) -> set[str]:
    return {part.id for _, part in parts(value) if isinstance(part, Name)}
