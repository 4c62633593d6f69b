"""Expressions that carry their fact and cost, and the builder that rewrites each as it is made.

`Builder.make` applies the rewrites that it was given to every node it builds, as long as each lowers the cost, so
whatever a rewrite builds is itself rewritten. The rewrites are `rewrites.py`'s; statements are `simplify.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..diagnostics import NOWHERE, Span
from ..text.expressions import Apply, Expr, Number
from . import cost
from .facts import HOST, Fact, apply, literal

FUEL, NESTED = 20_000, 40
"""How many nodes a builder tries to rewrite, and how many inside one another: far above what any real rule needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """An expression, its fact and cost. `op` and `args` are set for operators, `value` for numbers, negative or not."""

    expr: Expr
    fact: Fact
    cost: float
    op: str = ""
    args: tuple[Known, ...] = ()
    value: float | None = None

    @property
    def on_host(self) -> bool:
        return self.fact.shape == HOST

    def same(self, other: Known) -> bool:
        """Whether both are the same expression, spans aside."""
        return self is other or (self.cost == other.cost and self.expr == other.expr)


Function = Callable[["Builder", Known], Known | None]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`function` gives a replacement, or None; it is asked about applications of `heads` only."""

    name: str
    heads: tuple[str, ...]
    function: Function
    why: str


class Builder:
    """Makes expressions and rewrites them. `zeros_free` says that nothing in the rule can tell the sign of a zero."""

    def __init__(self, rewrites: Iterable[Rewrite], zeros_free: bool) -> None:
        self.zeros_free = zeros_free
        self.fuel = FUEL
        self.nested = 0
        self.fired: set[str] = set()
        self._by_head: dict[str, list[Rewrite]] = {}
        for rewrite in rewrites:
            for head in rewrite.heads:
                self._by_head.setdefault(head, []).append(rewrite)

    def number(self, value: float) -> Known:
        """A literal; a negative one is a negation, since the language's numbers have no sign."""
        if value < 0 or str(value)[0] == "-":
            inner = self.number(-value)
            price = inner.cost + cost.of_apply("neg", HOST)
            return Known(Apply("neg", (inner.expr,)), literal(value), price, "neg", (inner,), value)
        return Known(Number(value), literal(value), cost.NODE, value=value)

    def make(self, op: str, *args: Known, span: Span = NOWHERE) -> Known:
        """The cheapest form found of `op` applied to arguments that have been made before."""
        if op == "neg" and args[0].value is not None:
            return self.number(-args[0].value)
        node = self._plain(op, args, span)
        self.nested += 1
        while self.fuel > 0 and self.nested < NESTED and (better := self._better(node)) is not None:
            node = better
        self.nested -= 1
        return node

    def _plain(self, op: str, args: tuple[Known, ...], span: Span) -> Known:
        same = op == "mul" and args[0].same(args[1])
        fact = apply("square", (args[0].fact,)) if same else apply(op, tuple(a.fact for a in args))
        price = sum(a.cost for a in args) + cost.of_apply(op, fact.shape)
        return Known(Apply(op, tuple(a.expr for a in args), span), fact, price, op, args)

    def _better(self, node: Known) -> Known | None:
        """One rewrite's result, if it is cheaper and has the shape that the node had."""
        self.fuel -= 1
        for rewrite in self._by_head.get(node.op, ()):
            new = rewrite.function(self, node)
            if new is not None and new.cost < node.cost and new.fact.shape == node.fact.shape:
                self.fired.add(rewrite.name)
                return new
        return None


def joined(b: Builder, op: str, parts: list[Known]) -> Known:
    """The parts with a binary operator between them, from the left."""
    result = parts[0]
    for part in parts[1:]:
        result = b.make(op, result, part)
    return result
