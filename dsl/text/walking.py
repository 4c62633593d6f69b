"""Trees → the nodes in them, in the order of their text; an expression or a statement → the same with other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import cast, get_args

from .expressions import Apply, Call, Cast, Expr, Matrix, Name, Prev, Reduce
from .syntax import Assign, Let, Node, Output, Repeat, Statement, When

_CHILDLESS = frozenset(("str", "str | None", "float", "bool", "int", "Scope", "Span", "tuple[str, ...]"))
_HOLDERS: dict[type, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind) if f.type not in _CHILDLESS) for kind in get_args(Node)
}
"""The fields of each kind of node that may hold nodes."""


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one, in the order of their text."""
    for name in _HOLDERS[type(node)]:
        yield from _nodes(getattr(node, name))


def _nodes(value: object) -> Iterator[Node]:
    if type(value) in _HOLDERS:
        yield cast(Node, value)
    elif isinstance(value, tuple):
        for part in value:
            yield from _nodes(part)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first. Does not recurse, so depth is no limit."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(list(children(top))))


def names(node: Node) -> Iterator[str]:
    """Every identifier that an expression or statement reads; `prev(m)` reads `m`."""
    stack: list[Node] = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Apply):  # most nodes are, and have no other fields to look through
            stack.extend(top.args[::-1])
        elif isinstance(top, Name):
            yield top.id
        elif isinstance(top, Prev):
            yield top.state
        else:
            stack.extend(reversed(list(children(top))))


def mapped(e: Expr, made: Callable[[Expr], Expr]) -> Expr:
    """The expression with each one directly below it replaced by what is made of it."""
    match e:
        case Apply() | Reduce() | Matrix():
            return replace(e, args=tuple(made(a) for a in e.args))
        case Call():
            keywords = tuple((name, made(value)) for name, value in e.keywords)
            return replace(e, args=tuple(made(a) for a in e.args), keywords=keywords)
        case Cast():
            return replace(e, value=made(e.value))
    return e


def with_values(s: Statement, made: Callable[[Expr], Expr]) -> Statement:
    """The statement with each expression in it, those of its blocks too, replaced by what is made of it."""
    match s:
        case Let() | Assign() | Output():
            return replace(s, value=made(s.value))
        case When():
            then, otherwise = (tuple(with_values(inner, made) for inner in arm) for arm in (s.then, s.otherwise))
            return replace(s, condition=made(s.condition), then=then, otherwise=otherwise)
        case Repeat():
            return replace(s, count=made(s.count), body=tuple(with_values(inner, made) for inner in s.body))
    return s
