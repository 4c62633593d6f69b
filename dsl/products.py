"""Products in normal form: a literal coefficient, and nodes with whole powers; `sums.py`, `normal.py` build on it."""

from __future__ import annotations

from collections.abc import Callable

from .facts import Fact
from .graph import Graph, Node
from .literals import representable
from .normal_facts import fact_of
from .shuffle import key_of

MAX_POWER = 64

Factors = dict[tuple[int, bool], int]
"""How often each (node, whether it divides) is a factor."""
Product = tuple[float, Factors]


class Products:
    """A graph of nodes in normal form, and what can be multiplied and divided in it.

    A "product" node has factors with whole powers (its `data`); a negative power divides, and x*(1/x) keeps both.
    `facts` and `keys` are what is known of each node and a number that depends on its structure alone, not on names or
    literals; keys are set only where zeros are free. `unproven` are the nodes of which more was asked than is known.
    """

    def __init__(self, leaf_fact: Callable[[Node], Fact], zeros_free: bool) -> None:
        self.graph = Graph()
        self.facts: list[Fact] = []
        self.keys: list[int] = []
        self.zeros_free = zeros_free
        self.unproven: set[int] = set()
        self._leaf_fact = leaf_fact
        self.one = self.number(1.0)

    def add(self, op: str, args: tuple[int, ...] = (), data: object = None) -> int:
        i = self.graph.add(op, args, data)
        if i == len(self.facts):
            node = self.graph.nodes[i]
            self.facts.append(fact_of(node, self.facts, self._leaf_fact))
            self.keys.append(key_of(node, self.keys) if self.zeros_free else 0)
        return i

    def number(self, value: float) -> int:
        return self.add("number", (), repr(value))

    def _value(self, i: int) -> float | None:
        node = self.graph.nodes[i]
        return float(node.data) if node.op == "number" else None

    def factors(self, i: int) -> list[tuple[int, int]]:
        """(node, power) for each factor of a node; a negative power divides. Literal coefficients are left out."""
        return [(j, -n if below else n) for (j, below), n in self._split(i)[1].items()]

    def _factors(self, i: int) -> Factors:
        node = self.graph.nodes[i]
        if node.op == "product":
            return {(a, n < 0): abs(n) for a, n in zip(node.args, node.data, strict=True)}
        return {} if i == self.one else {(i, False): 1}

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
        if len(items) == 1 and items[0][1] == 1 and not items[0][0][1]:
            return items[0][0][0]
        return self.add("product", tuple(i for (i, _), _ in items), tuple(-n if d else n for (_, d), n in items))

    def _times(self, a: Product, b: Product, divide: bool = False) -> Product:
        """a*b or a/b. A literal that would overflow or underflow, and a power too large, stays a factor of its own."""
        scale, factors = a[0], dict(a[1])
        op = "div" if divide else "mul"
        scaled = scale * b[0] if not divide else scale / b[0] if b[0] else float("nan")
        others = {(i, below != divide): n for (i, below), n in b[1].items()}
        if not representable(op, scaled, (scale, b[0])):
            others[(self.number(b[0]), divide)] = others.get((self.number(b[0]), divide), 0) + 1
            scaled = scale
        for factor, count in others.items():
            factors[factor] = factors.get(factor, 0) + count
        if max(factors.values(), default=0) > MAX_POWER:
            whole = {(self._join(a), False): 1}
            key = (self._join(b), divide)
            whole[key] = whole.get(key, 0) + 1
            return 1.0, whole
        return self._without_roots((scaled, factors))

    def _without_roots(self, product: Product) -> Product:
        """sqrt(v)*sqrt(v) is v where v cannot be negative."""
        for (i, divides), count in product[1].items():
            node = self.graph.nodes[i]
            if count > 1 and node.op == "sqrt" and self._nonnegative(node.args[0]):
                rest = {f: n for f, n in product[1].items() if f != (i, divides)}
                result: Product = (product[0], rest | ({(i, divides): 1} if count % 2 else {}))
                for _ in range(count // 2):
                    result = self._times(result, self._split(node.args[0]), divides)
                return result
        return product

    def _nonnegative(self, i: int) -> bool:
        proven = self.facts[i].nonnegative and (self.zeros_free or not self.facts[i].minus_zero)
        if not proven:
            self.unproven.add(i)
        return proven
