"""Says in which of several loops each value of a plan is computed: as far out as what it depends on allows.

An optimizing compiler moves what is alike in all rounds out of a loop, but gives up vectors over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...dsl.text.expressions import Apply, Cast, Expr, Name
from ...dsl.text.walking import names
from ..plan.plan import Bind, Branch, Loop, Statement, binds

Axes = frozenset[str]
"""The loops that a value is another in each round of; those that a level lacks are of no consequence to it."""

NONE: Axes = frozenset()


def levels(bodies: Iterable[tuple[Statement, ...]], given: Mapping[str, Axes]) -> dict[str, Axes]:
    """The axes of every name, from those of what is given; a name that is bound several times has all of its values'.

    What a loop binds depends on all that the loop reads, so a loop is never taken apart.
    """
    out, sources = dict(given), [pair for body in bodies for pair in _sources(body)]
    while True:
        before = dict(out)
        for name, reads in sources:
            out[name] = out.get(name, NONE).union(*(out.get(x, NONE) for x in reads))
        if out == before:
            return out


def _sources(body: Iterable[Statement]) -> Iterable[tuple[str, set[str]]]:
    for s in body:
        if isinstance(s, Bind):
            yield s.name, set(names(s.value))
        elif isinstance(s, Branch):
            yield from _sources((*s.then, *s.otherwise))
        else:
            inside = list(binds(s.body))
            reads = set[str]().union(*({*names(b.value), b.name} for b in inside))
            yield from ((b.name, reads) for b in inside)


def at_depth(body: tuple[Statement, ...], depth: int, depths: Mapping[str, int]) -> tuple[Statement, ...]:
    """The statements whose names are of a depth."""
    out: list[Statement] = []
    for s in body:
        if isinstance(s, Bind):
            out += [s] if depths[s.name] == depth else []
        elif isinstance(s, Branch):
            then, otherwise = at_depth(s.then, depth, depths), at_depth(s.otherwise, depth, depths)
            out += [Branch(s.flag, then, otherwise)] if then or otherwise else []
        else:
            inner = at_depth(s.body, depth, depths)
            out += [Loop(s.flag, inner)] if inner else []
    return tuple(out)


class Hoist:
    """Gives names, `known1` and so on, to parts of expressions that are of a smaller depth than the whole.

    `depths` has those of all names, and gets those of the new ones.
    """

    def __init__(self, depths: dict[str, int]) -> None:
        self.depths, self.count = depths, 0

    def body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Bind):
                found: list[Statement] = []
                value = self._parted(s.value, self.depths[s.name], found)
                out += [*found, Bind(s.name, value)]
            elif isinstance(s, Branch):
                out.append(Branch(s.flag, self.body(s.then), self.body(s.otherwise)))
            else:
                out.append(Loop(s.flag, self.body(s.body)))
        return tuple(out)

    def _parted(self, value: Expr, depth: int, found: list[Statement]) -> Expr:
        if not isinstance(value, Apply | Cast):
            return value
        own = max((self.depths[x] for x in names(value)), default=depth)
        if own < depth:
            self.count += 1
            name = f"known{self.count}"
            self.depths[name] = own
            found.append(Bind(name, value))
            return Name(name)
        if isinstance(value, Cast):
            return replace(value, value=self._parted(value.value, depth, found))
        return replace(value, args=tuple(self._parted(a, depth, found) for a in value.args))
