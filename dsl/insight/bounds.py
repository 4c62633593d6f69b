"""Rule → how far one step can go: a bound on |update| at the default hyperparameters, where one can be proven.

Values are enclosed from the inside out. Where an average of x is divided by the root of an average of x^2, as in Adam,
the Cauchy-Schwarz inequality gives what enclosures alone cannot: for m <- a*m + b*x and v <- c*v + d*x^2 from 0,
|m| <= b / sqrt(d*(1 - a^2/c)) * sqrt(v) wherever a^2 < c; x itself is such an average with a = 0, b = 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, sqrt

from ..algebra.facts import HOST, Fact, apply, literal
from ..algebra.normal_facts import fact_of, facts_of_all, leaf_facts
from ..algebra.study import Study
from ..meaning.graph import Memory, reachable
from ..rule import Interval, Rule


@dataclass(frozen=True, slots=True)
class Average:
    """decay*itself + gain*x, from 0; `factors` are x's, in the normal form."""

    decay: float
    gain: float
    factors: tuple[tuple[int, int], ...]


ENCLOSED = Fact(-1.0, 1.0, True, False, False)


def pinned(rule: Rule) -> Rule:
    """The rule with each hyperparameter that has a default allowed that value alone."""
    params = [
        p if p.default is None else replace(p, interval=Interval(float(p.default), float(p.default), False, False))
        for p in rule.params
    ]
    return replace(rule, params=tuple(params))


def bound(s: Study) -> float | None:
    """The largest |update| of any step after any finite gradients; None where none was found."""
    root = s.traced.outputs.get("update")
    if root is None:
        return None
    fact = _Bounds(s, root).fact
    size = max(abs(fact.low), abs(fact.high))
    return size if size < inf else None


class _Bounds:
    def __init__(self, s: Study, root: int) -> None:
        self.study = s
        self.nodes = s.traced.graph.nodes
        rule = pinned(s.rule)
        states, loose, _ = facts_of_all(rule, self.nodes, [root], s.traced.states)
        self.facts = loose
        leaf = leaf_facts(rule, states)
        normal = s.normal
        _, self.normal_facts, _ = facts_of_all(rule, normal.graph.nodes, [normal.of[root]], _normal_memory(s))
        self.averages = {name: self._average(name) for name in s.traced.states}
        for i in reachable(self.nodes, [root]):
            self.facts[i] = self._ratio(i) or fact_of(self.nodes[i], self.facts, leaf)
        self.fact = self.facts[root]

    # ------------------------------------------------------------ averages

    def _average(self, name: str) -> Average | None:
        s = self.study
        state = s.normal.add("state", (), name)
        init, _ = s.memory[name]
        if s.nodes[init].op != "number" or float(s.nodes[init].data) != 0:
            return None
        decay, gain, of = 0.0, 0.0, None
        for c, term in s.normal.terms(s.traced.states[name].update):
            factors = s.normal.factors(term)
            weight = self._weight(c, factors)
            tensors = tuple(sorted((i, n) for i, n in factors if s.normal.facts[i].shape != HOST))
            if weight is None or weight < 0:
                return None
            if tensors == ((state, 1),):
                decay += weight
            elif of in (None, tensors):
                gain, of = gain + weight, tensors
            else:
                return None
        return None if of is None or not decay <= 1 else Average(decay, gain, of)

    def _weight(self, scale: float, factors: list[tuple[int, int]]) -> float | None:
        """The product of a term's host factors, where it is one number."""
        for i, n in factors:
            if self.study.normal.facts[i].shape == HOST:
                fact = self.normal_facts[i]
                if fact.low != fact.high:
                    return None
                scale *= fact.low**n
        return scale

    def _as_average(self, i: int) -> Average:
        """What a node is an average of: a state after its update, or itself."""
        for name, memory in self.study.traced.states.items():
            average = self.averages[name]
            if average is not None and memory.update == i:
                return average
        return Average(0.0, 1.0, tuple(sorted(self.study.normal.factors(self.study.normal.of[i]))))

    def _quotient(self, m: int, v: int) -> float | None:
        """A bound on |m|/sqrt(v)."""
        x, y = self._as_average(m), self._as_average(v)
        squared = tuple((i, 2 * n) for i, n in x.factors) == y.factors
        if not squared or not x.factors or y.gain <= 0 or not (x.decay == 0 or x.decay**2 < y.decay):
            return None
        return x.gain / sqrt(y.gain * (1 - (x.decay**2 / y.decay if x.decay else 0.0)))

    # ------------------------------------------------------------ quotients

    def _ratio(self, i: int) -> Fact | None:
        """A tighter fact of `a*m / (... + b*sqrt(c*v) + ...)` than its parts give."""
        node = self.nodes[i]
        if node.op != "div":
            return None
        fact = self._over(node.args[0], node.args[1])
        return None if fact is None else fact._replace(shape=self.facts[i].shape)

    def _over(self, above: int, below: int) -> Fact | None:
        """The fact of a quotient, term by term."""
        scale, m = self._stripped(above)
        node = self.nodes[m]
        if node.op in ("add", "sub"):
            parts = [self._over(a, below) for a in node.args]
            if all(part is not None for part in parts):
                return apply("mul", (scale, apply(node.op, tuple(p for p in parts if p is not None))))
        for addend in self._addends(below):
            factor, root = self._stripped(addend)
            size = self._over_root(m, root)
            if size is not None and factor.low >= 0:
                return apply("mul", (scale, apply("div", (size, factor))))
        return None

    def _over_root(self, m: int, root: int) -> Fact | None:
        """The fact of m/sqrt(c*v) or m/abs(m)."""
        node = self.nodes[root]
        if node.op == "abs" and node.args[0] == m:
            return ENCLOSED
        for inside in self._addends(node.args[0]) if node.op == "sqrt" else ():
            scale, v = self._stripped(inside)
            size = self._quotient(m, v)
            if size is not None and scale.low >= 0:
                return apply("div", (apply("mul", (literal(size), ENCLOSED)), apply("sqrt", (scale,))))
        return None

    def _addends(self, i: int) -> Iterator[int]:
        """What a value is at least as large as: itself, terms of a sum without negative ones, what `max` picks from."""
        yield i
        node = self.nodes[i]
        if node.op == "max" or (node.op == "add" and all(self.facts[a].nonnegative for a in node.args)):
            for a in node.args:
                yield from self._addends(a)

    def _stripped(self, i: int) -> tuple[Fact, int]:
        """A value as a factor on the host times another value."""
        node = self.nodes[i]
        if node.op in ("mul", "div") and self.facts[node.args[1]].shape == HOST:
            factor, rest = self._stripped(node.args[0])
            return apply(node.op, (factor, self.facts[node.args[1]])), rest
        if node.op == "mul" and self.facts[node.args[0]].shape == HOST:
            factor, rest = self._stripped(node.args[1])
            return apply("mul", (self.facts[node.args[0]], factor)), rest
        return literal(1.0), i


def _normal_memory(s: Study) -> dict[str, Memory]:
    return {name: Memory(init, update, None) for name, (init, update) in s.memory.items()}
