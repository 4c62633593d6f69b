"""Sums in normal form: terms with literal coefficients, like ones merged, common factors out; on `products.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite

from ..meaning.graph import Node
from .facts import HOST, Fact
from .facts import power as power_of
from .literals import may_meet
from .products import Factors, Products
from .shuffle import own

MAX_TERMS = 200
SIGNS = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,)}

Term = tuple[float, int]
"""A literal coefficient and a node, ONE for a plain literal."""


class Sums(Products):
    """A "sum" node has terms with literal coefficients (its `data`, as text); a multiple of a node is a sum of one.

    `of` holds the normal node of each given node that has been seen.
    """

    def __init__(self, leaf_fact: Callable[[Node], Fact], zeros_free: bool) -> None:
        super().__init__(leaf_fact, zeros_free)
        self.of: dict[int, int] = {}
        self._terms: dict[int, list[Term]] = {}

    def terms(self, given: int) -> list[Term]:
        """What a given node is the sum of; one term where it is no sum."""
        return self._terms.get(given) or self._expanded(self.of[given])

    def total(self, terms: list[Term]) -> int:
        """The node that is the sum of these terms; 0 of none."""
        return self._sum(self._merged(terms)) if terms else self.number(0.0)

    def _distributes(self, i: int, power: int = 1) -> bool:
        """Whether a factor of the host is finite, so that it may join the terms of a sum, or be taken out of them.

        inf*(2 - 1) is inf where inf*2 - inf*1 is NaN; a negative or zero factor moves the sign of a zero sum.
        """
        fact = power_of(self.facts[i], power)
        if fact.shape != HOST:
            return False
        proven = not fact.infinite and (self.zeros_free or (fact.nonnegative and not fact.zero))
        if not proven:
            self.unproven.add(i)
        return proven

    def _chain(self, i: int, node: Node, given: tuple[int, ...]) -> int:
        signed = [(sign, a) for sign, a in zip(SIGNS[node.op], given, strict=True) if not self._vanishes(a)]
        if len(signed) == 1 and abs(self._split(self.of[signed[0][1]])[0]) != 1:
            return self._multiple(i, *signed[0])
        terms: list[Term] = []
        for sign, a in signed or [(1.0, given[0])]:
            part = self.terms(a)
            if (sign < 0 and len(part) > 1 and not self.zeros_free) or len(part) > MAX_TERMS:
                scale, factors = self._split(self.of[a])
                part = [(scale, self._monic(factors))]
            terms += [(sign * c, t) for c, t in part]
        terms = self._merged(terms)
        total = self._sum(terms)
        self._terms[i] = terms if len(terms) > 1 else self._expanded(total)
        return total

    def _vanishes(self, given: int) -> bool:
        return self.zeros_free and self._value(self.of[given]) == 0

    def _multiple(self, i: int, sign: float, a: int) -> int:
        """A lone c*(x + y) keeps its coefficient outside, as a product would."""
        scale, factors = self._split(self.of[a])
        total = self._join((sign * scale, factors))
        self._terms[i] = self._expanded(total)
        return total

    def _expanded(self, i: int) -> list[Term]:
        """c*a*(x + y) is c*a*x + c*a*y where a is finite, so that it may join the terms around it."""
        scale, factors = self._split(i)
        sums = [f for f in factors if self.graph.nodes[f].op == "sum"]
        whole = [(scale, self._monic(factors))]
        if len(sums) != 1 or factors[sums[0]] > 1 or not (scale > 0 or (scale and self.zeros_free)):
            return whole
        others = {f: n for f, n in factors.items() if f != sums[0]}
        if not all(self._distributes(j, n) for j, n in others.items()):
            return whole
        inner = self.graph.nodes[sums[0]]
        if not all(may_meet((scale, float(text))) for text in inner.data):
            return whole
        out: list[Term] = []
        for text, term in zip(inner.data, inner.args, strict=True):
            c, f = self._times((scale, others), (float(text), self._factors(term)))
            out.append((c, self._monic(f)))
        return out

    def _merged(self, terms: list[Term]) -> list[Term]:
        """Like terms of one sign added up; of opposite signs only where all terms are literals."""
        if all(t == self.one for _, t in terms):
            total = terms[0][0]
            for c, _ in terms[1:]:
                total += c
            return [(total, self.one)] if isfinite(total) else terms
        merged: dict[tuple[int, int], float] = {}
        for c, t in terms:
            slot = (t, (c > 0) - (c < 0) if c else 2 + (repr(c)[0] == "-"))
            total = merged[slot] + c if slot in merged else c
            merged[slot if isfinite(total) else (t, 4 + len(merged))] = total if isfinite(total) else c
        counted = [(c, t) for (t, _), c in merged.items()]
        plain = [c for c, t in counted if t == self.one]
        needless = self.zeros_free or any(plain)
        return [(c, t) for c, t in counted if t != self.one or c or not (needless or repr(c)[0] == "-")]

    def _sum(self, terms: list[Term]) -> int:
        if len(terms) == 1:
            return self._join((terms[0][0], self._factors(terms[0][1])))
        common = self._common([self._factors(t) for _, t in terms])
        if common:
            rest = [(c, self._monic(_without(self._factors(t), common))) for c, t in terms]
            return self._join(self._times((1.0, common), self._split(self._sum(rest))))
        sizes = {abs(c) for c, _ in terms}
        scale = sizes.pop() if len(sizes) == 1 and 0 not in sizes else 1.0
        if self.zeros_free and self._leads_negative(terms):
            scale = -scale
        inside = sorted((t, c / scale) for c, t in terms)
        node = self.add("sum", tuple(t for t, _ in inside), tuple(repr(c) for _, c in inside))
        return self._join((scale, {node: 1}))

    def _common(self, all_factors: list[Factors]) -> Factors:
        shared = {f: min(other.get(f, 0) for other in all_factors) for f in all_factors[0]}
        return {i: n for i, n in shared.items() if n and self._distributes(i)}

    def _leads_negative(self, terms: Iterable[Term]) -> bool:
        """Whether the first terms, in an order that names and literals do not change, are mostly negative.

        A plain literal is first; the others go by what they are, and by what is below them where that is not enough.
        """
        kinds: dict[int, list[Term]] = {}
        for c, t in terms:
            kinds.setdefault(-1 if t == self.one else own(self.graph.nodes[t]), []).append((c, t))
        for _, alike in sorted(kinds.items()):
            signs = {c > 0 for c, _ in alike if c}
            if len(signs) == 1:
                return not signs.pop()
            balance: dict[int, int] = {}
            for c, t in alike if signs else ():
                balance[self.key(t)] = balance.get(self.key(t), 0) + (c > 0) - (c < 0)
            first = next((n for _, n in sorted(balance.items()) if n), 0)
            if first:
                return first < 0
        return False


def _without(factors: Factors, common: Factors) -> Factors:
    return {f: n - common.get(f, 0) for f, n in factors.items() if n > common.get(f, 0)}
