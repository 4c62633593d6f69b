"""Products in normal form: a literal coefficient, and nodes with whole powers; `sums.py`, `normal.py` build on it.

Products are flat, quotients are not: (a*b)/c, a*(b/c) and a*b*(1/c) overflow and underflow at different places.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign

from ..meaning.graph import Graph, Node
from .facts import Fact
from .literals import MODERATE, folded, may_meet
from .normal_facts import fact_of
from .shuffle import edges, key_of, own

MAX_POWER = 64

Factors = dict[int, int]
"""How often each node is a factor."""
Product = tuple[float, Factors]


class Products:
    """A graph of nodes in normal form, and what can be multiplied and divided in it.

    A "product" node has factors with whole positive powers (its `data`), a "div" node is a quotient of two nodes.
    `facts` are what is known of each node; `unproven` are the nodes of which more was asked than is known.
    """

    def __init__(self, leaf_fact: Callable[[Node], Fact], zeros_free: bool) -> None:
        self.graph = Graph()
        self.facts: list[Fact] = []
        self._keys: list[int] = []
        self.zeros_free = zeros_free
        self.unproven: set[int] = set()
        self._leaf_fact = leaf_fact
        self.one = self.number(1.0)

    def add(self, op: str, args: tuple[int, ...] = (), data: object = None) -> int:
        i = self.graph.add(op, args, data)
        if i == len(self.facts):
            node = self.graph.nodes[i]
            self.facts.append(fact_of(node, self.facts, self._leaf_fact))
        return i

    def number(self, value: float) -> int:
        return self.add("number", (), repr(value))

    def key(self, i: int) -> int:
        """A number that depends on a node's structure alone, not on names or literals."""
        for node in self.graph.nodes[len(self._keys) : i + 1]:
            self._keys.append(key_of(own(node), edges(node, self.one), self._keys))
        return self._keys[i]

    def _value(self, i: int) -> float | None:
        node = self.graph.nodes[i]
        return float(node.data) if node.op == "number" else None

    def factors(self, i: int) -> list[tuple[int, int]]:
        """(node, power) for each factor of a node; a negative power divides. The node's coefficient is left out.

        Quotients are taken apart as real numbers allow: this is for those who explain a rule, not for its normal form.
        """
        out: list[tuple[int, int]] = []
        for j, n in self._split(i)[1].items():
            node = self.graph.nodes[j]
            if node.op != "div":
                out.append((j, n))
                continue
            for part, power in zip(node.args, (n, -n), strict=True):
                scale = abs(self._split(part)[0])
                out += [(self.number(scale), power)] if scale != 1 else []
                out += [(k, m * power) for k, m in self.factors(part)]
        return out

    def _factors(self, i: int) -> Factors:
        node = self.graph.nodes[i]
        if node.op == "product":
            return dict(zip(node.args, node.data, strict=True))
        return {} if i == self.one else {i: 1}

    def _split(self, i: int) -> Product:
        node = self.graph.nodes[i]
        if node.op == "number":
            return float(node.data), {}
        if node.op == "sum" and len(node.args) == 1:
            return float(node.data[0]), self._factors(node.args[0])
        return 1.0, self._factors(i)

    def _join(self, product: Product) -> int:
        scale, factors = product
        monic = self._monic(factors)
        if monic == self.one:
            return self.number(scale)
        return monic if scale == 1 else self.add("sum", (monic,), (repr(scale),))

    def _monic(self, factors: Factors) -> int:
        items = sorted(factors.items())
        if not items:
            return self.one
        if len(items) == 1 and items[0][1] == 1:
            return items[0][0]
        return self.add("product", tuple(i for i, _ in items), tuple(n for _, n in items))

    def _times(self, a: Product, b: Product) -> Product:
        """a*b. Of two literals that may not meet, the smaller stays a factor of its own; so does a power too large."""
        scale, factors = self._scaled(a, b)
        for i, count in b[1].items():
            factors[i] = factors.get(i, 0) + count
        if max(factors.values(), default=0) > MAX_POWER:
            whole = {self._join(a): 1}
            other = self._join(b)
            whole[other] = whole.get(other, 0) + 1
            return 1.0, whole
        return self._without_roots((scale, factors))

    def _scaled(self, a: Product, b: Product) -> Product:
        """The coefficient of a*b, and a's factors."""
        factors = dict(a[1])
        literal = None if a[1] or b[1] else folded("mul", (a[0], b[0]))
        if literal is not None:
            return literal, factors
        if may_meet((a[0], b[0])):
            return a[0] * b[0], factors
        small, large = sorted((a[0], b[0]), key=abs)
        apart = self.number(abs(small))
        factors[apart] = factors.get(apart, 0) + 1
        return copysign(1.0, small) * large, factors

    def _over(self, above: int, below: int) -> int:
        """A quotient; its sign comes out, and a literal of moderate size divides as its inverse multiplies."""
        a, b = self._split(above), self._split(below)
        if not b[1]:
            literal = None if a[1] else folded("div", (a[0], b[0]))
            if literal is not None:
                return self.number(literal)
            if 1 / MODERATE <= abs(b[0]) <= MODERATE:
                return self._join(self._times(a, (1 / b[0], {})))
        node = self.add("div", (self._join((abs(a[0]), a[1])), self._join((abs(b[0]), b[1]))))
        return self._join((copysign(1.0, a[0]) * copysign(1.0, b[0]), {node: 1}))

    def _without_roots(self, product: Product) -> Product:
        """sqrt(v)*sqrt(v) is v where v cannot be negative; a root neither overflows nor underflows."""
        for i, count in product[1].items():
            node = self.graph.nodes[i]
            if count > 1 and node.op == "sqrt" and self._nonnegative(node.args[0]):
                rest = {f: n for f, n in product[1].items() if f != i}
                result: Product = (product[0], rest | ({i: 1} if count % 2 else {}))
                for _ in range(count // 2):
                    result = self._times(result, self._split(node.args[0]))
                return result
        return product

    def _nonnegative(self, i: int) -> bool:
        proven = self.facts[i].nonnegative and (self.zeros_free or not self.facts[i].minus_zero)
        if not proven:
            self.unproven.add(i)
        return proven
