"""How every value of a rule answers when all gradients are scaled, or flipped: by a power of the scale, or by a sign.

A value has the weight d if multiplying every gradient since the first step by c multiplies it by c^d: for all c > 0
where the group is SCALE, for c = -1 where it is FLIP (then d is 0 or 1). States weigh what their updates weigh. ZERO is
the weight of what is 0 whatever happens; MIXED says that no weight was found, not that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import reduce

from ..meaning.graph import Node, reachable
from ..operators import OPERATORS


class Special(Enum):
    ZERO = "zero"
    MIXED = "mixed"


ZERO, MIXED = Special.ZERO, Special.MIXED
Weight = Fraction | Special
NONE = Fraction(0)


def either(a: Weight, b: Weight) -> Weight:
    """The weight of a sum, or of a value that is one of two."""
    if a is ZERO or a == b:
        return b
    return a if b is ZERO else MIXED


def _scaled(w: Weight, by: Fraction) -> Weight:
    return w if isinstance(w, Special) else w * by


def _product(a: Weight, b: Weight) -> Weight:
    if isinstance(a, Special) or isinstance(b, Special):
        return MIXED if MIXED in (a, b) else ZERO
    return a + b


def _fixed(w: Weight) -> Weight:
    """The weight of a function of what must not change."""
    return NONE if w in (ZERO, NONE) else MIXED


@dataclass(frozen=True, slots=True)
class Group:
    """`modulus` is what weights count up to: flipping twice is not flipping."""

    name: str
    modulus: int

    def reduced(self, w: Weight) -> Weight:
        return w % self.modulus if self.modulus and not isinstance(w, Special) else w


SCALE, FLIP = Group("scale", 0), Group("flip", 2)


def _unary(group: Group, op: str, w: Weight) -> Weight:
    odd, even = (OPERATORS[op].parity == p for p in ("odd", "even"))
    if group is FLIP:
        return w if odd else NONE if even and w is not MIXED else _fixed(w)
    if op in ("sqrt", "cbrt"):
        return _scaled(w, Fraction(1, 2 if op == "sqrt" else 3))
    if op == "abs":
        return w
    if op == "sign":
        return w if isinstance(w, Special) else NONE
    return ZERO if w is ZERO and odd else _fixed(w)


def _reduction(group: Group, op: str, weights: Sequence[Weight]) -> Weight:
    if op == "dot":
        return _product(*weights)
    if group is FLIP and op in ("norm", "rms"):
        return NONE if weights[0] is not MIXED else MIXED
    return _fixed(weights[0]) if group is FLIP and op == "max_of" else weights[0]


def _matrix(group: Group, op: str, weights: Sequence[Weight], power: float | None) -> Weight:
    match op:
        case "matmul":
            return _product(weights[0], weights[1])
        case "transpose":
            return weights[0]
        case "orthogonalize":
            return weights[0] if group is FLIP or isinstance(weights[0], Special) else NONE
        case "inv_root" if group is SCALE and power:
            return _scaled(weights[0], -1 / Fraction(power))
        case "eigenbasis" | "qr_basis" if group is SCALE and weights[0] is not MIXED:
            return NONE
    return _fixed(weights[0])


class Weights:
    """The weights of all nodes of a normal form. `leaf` gives those of all leaves but states.

    Literals up to `negligible` that are added to something count as 0.
    """

    def __init__(
        self,
        group: Group,
        nodes: Sequence[Node],
        memory: dict[str, tuple[int, int]],
        leaf: Callable[[Node], Weight],
        one: int,
        negligible: float = 0.0,
    ) -> None:
        self.group, self.nodes, self.leaf, self.one, self.negligible = group, nodes, leaf, one, negligible
        self.of: list[Weight] = [MIXED] * len(nodes)
        self.states: dict[str, Weight] = dict.fromkeys(memory, ZERO)
        self.carried: dict[tuple[int, int], Weight] = {}
        live = reachable(nodes, range(len(nodes)))
        # A weight only ever goes from ZERO to a number to MIXED, so this ends.
        for _ in range(2 * len(memory) + 4):
            for i in live:
                self.of[i] = group.reduced(self._weight(nodes[i]))
            states = {n: either(self.of[init], self.of[update]) for n, (init, update) in memory.items()}
            carried = self._loops()
            if states == self.states and carried == self.carried:
                return
            self.states, self.carried = states, carried
        self.of = [MIXED] * len(nodes)

    def _loops(self) -> dict[tuple[int, int], Weight]:
        out: dict[tuple[int, int], Weight] = {}
        for node in self.nodes:
            if node.op == "repeat":
                count = (len(node.args) - 1) // 2
                for k in range(count):
                    out[node.data, k] = either(self.of[node.args[1 + k]], self.of[node.args[1 + count + k]])
        return out

    def _weight(self, node: Node) -> Weight:
        match node.op:
            case "number":
                return ZERO if abs(float(node.data)) <= self.negligible else NONE
            case "state":
                return self.states[str(node.data)]
            case "carried":
                return self.carried.get(node.data, ZERO)
            case "item":
                loop = self.nodes[node.args[0]].args
                after = loop[1 + (len(loop) - 1) // 2 :]
                return self.of[after[int(node.data)]]
            case "repeat" | "undefined":
                return ZERO
        return self._computed(node, [self.of[a] for a in node.args]) if node.args else self.leaf(node)

    def _computed(self, node: Node, weights: list[Weight]) -> Weight:
        match node.op:
            case "sum":
                return self._sum(node, weights)
            case "product":
                powers = [_scaled(w, Fraction(n)) for n, w in zip(node.data, weights, strict=True)]
                return reduce(_product, powers[1:], powers[0])
            case "div":
                return _product(weights[0], _scaled(weights[1], Fraction(-1)))
            case "min" | "max":
                return self._bounded(node, weights)
            case "where" | "when":
                return either(weights[1], weights[2]) if _fixed(weights[0]) is NONE else MIXED
            case "lt" | "le" | "eq" | "ne":
                alike = either(weights[0], weights[1])
                turned = self.group is FLIP and node.op in ("lt", "le") and alike not in (NONE, ZERO)
                return MIXED if turned or alike is MIXED else NONE
            case "reduce":
                return _reduction(self.group, node.data[0], weights)
            case "matrix":
                return _matrix(self.group, node.data, weights, self._literal(node.args[-1]))
            case "pow":
                return self._power(weights, self._literal(node.args[1]))
            case "cast":
                return weights[0]
        if len(weights) == 1 and node.op != "not":
            return _unary(self.group, node.op, weights[0])
        return NONE if all(_fixed(w) is NONE for w in weights) else MIXED

    def _sum(self, node: Node, weights: list[Weight]) -> Weight:
        total: Weight = ZERO
        for c, a, w in zip(node.data, node.args, weights, strict=True):
            least = self.negligible if a == self.one else 0.0
            total = either(total, w if abs(float(c)) > least else ZERO)
        return total

    def _literal(self, i: int) -> float | None:
        node = self.nodes[i]
        if node.op == "sum" and len(node.args) == 1 and node.args[0] == self.one:
            return float(node.data[0])
        return float(node.data) if node.op == "number" else None

    def _power(self, weights: list[Weight], exponent: float | None) -> Weight:
        base = weights[0]
        if exponent is None or base is MIXED:
            return NONE if all(w == NONE for w in weights) else MIXED
        if base is ZERO:
            return ZERO if exponent > 0 else MIXED
        return _fixed(base) if self.group is FLIP else _scaled(base, Fraction(exponent))

    def _bounded(self, node: Node, weights: list[Weight]) -> Weight:
        """min(max(x, -c), c) flips with x; otherwise a flip must leave every argument alone."""
        alike: Weight = ZERO
        for w in weights:
            alike = either(alike, w)
        if self.group is SCALE or alike in (NONE, ZERO):
            return alike
        inner = next((a for a in node.args if self.nodes[a].op == ("max" if node.op == "min" else "min")), None)
        if inner is None or len(node.args) != 2 or len(self.nodes[inner].args) != 2:
            return MIXED
        outer = next(a for a in node.args if a != inner)
        low = next((a for a in self.nodes[inner].args if self._opposite(a, outer)), None)
        if low is None or self.of[outer] != NONE:
            return MIXED
        return self.of[next(a for a in self.nodes[inner].args if a != low)]

    def _opposite(self, a: int, b: int) -> bool:
        x, y = self._literal(a), self._literal(b)
        if x is not None or y is not None:
            return x is not None and y is not None and x == -y
        for p, q in ((a, b), (b, a)):
            node = self.nodes[p]
            if node.op == "sum" and node.args == (q,) and node.data == ("-1.0",):
                return True
        return False
