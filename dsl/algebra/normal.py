"""A graph of values → the same values in normal form: what equals by algebra that is exact becomes one node.

Exact means over the extended reals of `facts.py`: commutativity, associativity, neutral elements, double negation,
folded literals, finite common factors. `x - x`, `x/x`, `0*x` and `2*x - x` stay, since x may be infinite or NaN.
Quotients are not regrouped, and powers only where all factors are one node: `x/(1/y)`, `sqrt(x^2)` stay as written.
Sums and products take the place of the given graph's arithmetic (`sums.py`, `products.py`); the other operators are
normalised here. Arguments stand in the order of their numbers; `labels.py` finds one that does not depend on names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import copysign

from ..meaning.graph import Graph, Node
from ..operators import OPERATORS
from .facts import Fact
from .literals import folded
from .products import MAX_POWER, Product
from .shuffle import ORDERED
from .sums import Sums


class Normal(Sums):
    """The normal form of a graph's live nodes, arguments first; its leaves have the facts that `leaf_fact` gives.

    `zeros_free` says that nothing can tell the sign of a zero; then x + 0 is x, and -(a - b) is b - a.
    """

    def __init__(self, given: Graph, live: Iterable[int], leaf_fact: Callable[[Node], Fact], zeros_free: bool) -> None:
        super().__init__(leaf_fact, zeros_free)
        of = self.of
        for i in live:
            node = given.nodes[i]
            of[i] = self._normal(i, node, tuple([of[a] for a in node.args]))

    def _normal(self, i: int, node: Node, args: tuple[int, ...]) -> int:
        match node.op:
            case "add" | "sub" | "neg":
                return self._chain(i, node, node.args)
            case "mul":
                return self._power_of(args[0], 2) if args[0] == args[1] else self._product(*args)
            case "div":
                return self._over(*args)
        if args and node.op in OPERATORS and (folded := self._folded(node.op, args)) is not None:
            return folded
        match node.op:
            case "pow":
                return self._power(*args)
            case "min" | "max" | "and" | "or":
                return self._lattice(node.op, args)
            case "not":
                return self._not(*args)
            case "where" | "when":
                return self._choice(node.op, args)
            case "eq" | "ne":
                return self.add(node.op, tuple(sorted(args)))
            case "reduce" if len(args) == 2:
                return self.add("reduce", tuple(sorted(args)), node.data)
            case "matrix" if node.data == "transpose" and self._is_transpose(args[0]):
                return self.graph.nodes[args[0]].args[0]
        if node.op in OPERATORS and len(args) == 1:
            return self._unary(node.op, args[0])
        return self.add(node.op, args, node.data)

    def _is_transpose(self, i: int) -> bool:
        return self.graph.nodes[i].op == "matrix" and self.graph.nodes[i].data == "transpose"

    def _folded(self, op: str, args: tuple[int, ...]) -> int | None:
        value = folded(op, [self._value(a) for a in args])
        if value is None:
            return None
        return self.add("bool", (), value) if isinstance(value, bool) else self.number(value)

    def _power(self, base: int, exponent: int) -> int:
        n = self._value(exponent)
        if n is not None and n in range(1, MAX_POWER + 1):
            return self._power_of(base, int(n))
        if n == -1:
            return self._over(self.one, base)
        if n in (0.5, -0.5) and self._nonnegative(base):
            root = self.add("sqrt", (base,))
            return root if n > 0 else self._over(self.one, root)
        return self.add("pow", (base, exponent))

    def _power_of(self, base: int, n: int) -> int:
        """A positive power. That of a product stays whole: (x*y)^2 is 1 where x^2 underflows and y^2 overflows."""
        scale, factors = self._split(base)
        if n > 1 and len(factors) + (abs(scale) != 1) > 1:
            sign = copysign(1.0, scale) ** n
            return self._join((sign, {self._join((abs(scale), factors)): n}))
        result: Product = (1.0, {})
        for _ in range(n):
            result = self._times(result, (scale, factors))
        return self._join(result)

    def _product(self, x: int, y: int) -> int:
        return self._join(self._times(self._split(x), self._split(y)))

    def _unary(self, op: str, x: int) -> int:
        """The sign of the argument comes out of an odd function, and is lost in an even one."""
        scale, factors = self._split(x)
        parity, size = OPERATORS[op].parity, abs(scale)
        if op == "sign" and not self.zeros_free:
            parity = None  # the sign of -0 and that of 0 are one zero
        if op == "abs" and factors:
            inside = self._monic(factors)
            outside = inside if self._nonnegative(inside) else self.add("abs", (inside,))
            return self._join((size, self._factors(outside)))
        if op == "sign" and factors and size >= 1:
            size = 1.0  # a factor below 1 could underflow to a zero, whose sign is 0
        inside = self._join((size if parity else scale, factors))
        same = op in ("sign", "floor") and self.graph.nodes[inside].op == op
        outside = inside if same else self.add(op, (inside,))
        return self._join((-1.0, self._factors(outside))) if parity == "odd" and scale < 0 else outside

    def _lattice(self, op: str, args: tuple[int, ...]) -> int:
        """`min`, `max`, `and`, `or`: flat, without repeats, at most one literal, and that first.

        Which of two zeros `min` and `max` give may depend on their order, so all stays where signs of zeros matter.
        """
        if op in ("min", "max") and not self.zeros_free:
            return args[0] if len(set(args)) == 1 else self.add(op, args, ORDERED)
        nested = ((self.graph.nodes[a].args if self.graph.nodes[a].op == op else (a,)) for a in args)
        flat = list(dict.fromkeys(b for part in nested for b in part))
        numbers = [v for v in map(self._value, flat) if v is not None]
        if len(numbers) > 1:
            one = self.number(min(numbers) if op == "min" else max(numbers))
            flat = [one, *(a for a in flat if self._value(a) is None)]
        neutral = self.add("bool", (), op == "and")
        flat = [a for a in flat if a != neutral] or [neutral]
        if len(flat) == 1:
            return flat[0]
        return self.add(op, tuple(sorted(flat)))

    def _not(self, x: int) -> int:
        condition = self.graph.nodes[x]
        match condition.op:
            case "not":
                return condition.args[0]
            case "bool":
                return self.add("bool", (), not condition.data)
            case "eq" | "ne":
                return self.add("ne" if condition.op == "eq" else "eq", condition.args)
        return self.add("not", (x,))

    def _choice(self, op: str, args: tuple[int, ...]) -> int:
        """`where`, or `when` of a static condition; an arm alone only where it is as large as both."""
        condition = self.graph.nodes[args[0]]
        if condition.op == "not":
            return self._choice(op, (condition.args[0], args[2], args[1]))
        x, y = (self.facts[a].shape for a in args[1:])
        if condition.op == "bool":
            kept = args[1] if condition.data else args[2]
            return kept if op == "when" or self.facts[kept].shape == x | y else self.add(op, args)
        same = args[1] == args[2] and (op == "when" or self.facts[args[0]].shape | x == x)
        return args[1] if same else self.add(op, args)
