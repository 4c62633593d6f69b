"""Tools on parse trees that every space shares: lines to nodes, numbers to literals, names replaced, dead parts cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from functools import cache, lru_cache

from ...dsl.diagnostics import NOWHERE
from ...dsl.recent import remembering
from ...dsl.text.expressions import Apply, Expr, Name, Number
from ...dsl.text.parser import parse
from ...dsl.text.spelling import literal
from ...dsl.text.syntax import Assign, File, Item, Let, Optimizer, Output, ParamDecl, Repeat, StateDecl, When
from ...dsl.text.walking import mapped, names, walk, with_values

DIGITS = 6
NAMED = (ParamDecl, StateDecl, Let, Assign)
"""Items that only matter where their name is read."""


@cache
def fragment(line: str) -> Item:
    """The one statement that a line of the language is."""
    (item,) = parse(line, "<fragment>").items
    return item


def unplaced(tree: File) -> File:
    """The tree as if no one had typed it, which the formatter then spaces by itself."""
    return replace(tree, span=NOWHERE)


def rounded(x: float) -> float:
    """The number that six significant digits write."""
    return float(f"{x:.{DIGITS}g}")


def number(x: float) -> Expr:
    """A number of six digits as the parser would read it: a minus sign is an operation of its own."""
    return _literal(rounded(x) + 0.0)  # -0.0 + 0.0 is 0.0


@lru_cache(maxsize=4096)
def _literal(x: float) -> Expr:
    return literal(x)


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
    return filled(value, {old: Name(name) for old, name in new.items()})


def filled(value: Expr, meanings: Mapping[str, Expr]) -> Expr:
    """The expression with names replaced by what they mean."""
    if isinstance(value, Name):
        return meanings.get(value.id, value)
    return mapped(value, lambda part: filled(part, meanings))


def plain_sum(e: Expr) -> Expr:
    """A sum as one writes it: a negative term is taken away, a weight of 1 is not written."""
    match e:
        case Apply("add", (first, Apply("mul", (Apply("neg", (weight,)), factor)))):
            return Apply("sub", (plain_sum(first), plain_sum(Apply("mul", (weight, factor)))))
        case Apply("add", (first, last)):
            return Apply("add", (plain_sum(first), plain_sum(last)))
        case Apply("mul", (Number(value=1.0), factor)):
            return factor
        case _:
            return e


@remembering
def tidied(tree: File) -> File:
    """The tree without what its update never reads: sleeping genes, unused states and values, second names."""
    tree = _without_second_names(tree)
    live = live_names(tree)
    return replace(tree, items=tuple(item for item in tree.items if _stays(item, live)))


def _without_second_names(tree: File) -> File:
    """`let x = y` goes, and y stands for x, unless y changes after that line."""
    second: dict[str, str] = {}
    items: list[Item] = []
    for place, item in enumerate(tree.items):
        match item:
            case Let(name=name, value=Name(first)) if not _assigned(tree.items[place:], first):
                second[name] = second.get(first, first)
            case Let() | Assign() | Output() | When() | Repeat():
                items.append(with_values(item, lambda value: renamed(value, second)) if second else item)
            case _:
                items.append(item)
    return replace(tree, items=tuple(items))


def _assigned(items: Iterable[Item], name: str) -> bool:
    return any(isinstance(part, Assign) and part.name == name for item in items for part in walk(item))


@remembering
def live_names(tree: File) -> frozenset[str]:
    """What the rule's outputs depend on."""
    scheduled = any(isinstance(item, Output) and item.name == "step_size" for item in tree.items)
    live: set[str] = {"theta", "g"} if scheduled else {"theta", "g", "lr"}
    pending: list[Item] = list(tree.items)
    while ready := [item for item in pending if not isinstance(item, NAMED) or item.name in live]:
        pending = [item for item in pending if isinstance(item, NAMED) and item.name not in live]
        live.update(*map(_touched, ready))
    return frozenset(live)


@remembering
def _touched(item: Item) -> frozenset[str]:
    """What an item reads, and what a block of statements changes."""
    changed = [part.name for part in walk(item) if isinstance(part, Assign)] if isinstance(item, When | Repeat) else []
    return frozenset((*names(item), *changed))


def _stays(item: Item, live: Set[str]) -> bool:
    return not isinstance(item, NAMED) or item.name in live


def named(tree: File, name: str) -> File:
    """The tree with another class name."""
    return replace(tree, items=tuple(Optimizer(name) if isinstance(i, Optimizer) else i for i in tree.items))
