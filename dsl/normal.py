"""A graph of values → the same values in normal form: what equals by algebra that is exact becomes one node.

Exact means over the extended reals of `facts.py`: commutativity, associativity, neutral elements, double negation,
folded literals, finite common factors. `x - x`, `x/x`, `0*x` and `2*x - x` stay, since x may be infinite or NaN.

Two ops take the place of the given graph's arithmetic. A "sum" has terms with literal coefficients (its `data`, as
text); the term ONE stands for a plain literal, and a multiple of one node is a sum of one term. A "product" has
factors with whole powers (its `data`); a negative power divides, and x*(1/x) keeps both. Arguments stand in the order
of their numbers; `canonical.py` finds an order that does not depend on names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite

from .facts import Fact
from .graph import Graph, Node
from .normal_facts import fact_of, fact_of_power
from .operators import OPERATORS
from .rewrites import representable
from .shuffle import key_of

MAX_TERMS = 200
MAX_POWER = 64

Factors = dict[tuple[int, bool], int]
"""How often each (node, whether it divides) is a factor."""
Product = tuple[float, Factors]
Term = tuple[float, int]
"""A literal coefficient and a node, ONE for a plain literal."""


class Normal:
    """The normal form of a graph whose leaves have the facts that `leaf_fact` gives.

    `zeros_free` says that nothing can tell the sign of a zero; then x + 0 is x, and -(a - b) is b - a.
    `of` holds the normal node of each given node, `facts` and `keys` what is known of each normal node and a number
    that depends on its structure alone, not on names or literals; it is needed, and set, only where zeros are free.
    `unproven` are the nodes of which more was asked than is known.
    """

    def __init__(self, given: Graph, leaf_fact: Callable[[Node], Fact], zeros_free: bool) -> None:
        self.graph = Graph()
        self.facts: list[Fact] = []
        self.keys: list[int] = []
        self.zeros_free = zeros_free
        self.unproven: set[int] = set()
        self._leaf_fact = leaf_fact
        self._terms: dict[int, list[Term]] = {}
        self.one = self.number(1.0)
        self.of: list[int] = []
        for i, node in enumerate(given.nodes):
            self.of.append(self._normal(i, node, tuple(self.of[a] for a in node.args)))

    # ------------------------------------------------------------ nodes

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

    def terms(self, given: int) -> list[Term]:
        """What a given node is the sum of; one term where it is no sum."""
        return self._terms.get(given) or self._expanded(self.of[given])

    def total(self, terms: list[Term]) -> int:
        """The node that is the sum of these terms; 0 of none."""
        return self._sum(self._merged(terms)) if terms else self.number(0.0)

    def factors(self, i: int) -> list[tuple[int, int]]:
        """(node, power) for each factor of a node; a negative power divides. Literal coefficients are left out."""
        return [(j, -n if below else n) for (j, below), n in self._split(i)[1].items()]

    # ------------------------------------------------------------ products

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
                rest = {f: n for f, n in product[1].items() if f != (i, divides)} | (
                    {(i, divides): 1} if count % 2 else {}
                )
                result: Product = (product[0], rest)
                for _ in range(count // 2):
                    result = self._times(result, self._split(node.args[0]), divides)
                return result
        return product

    def _nonnegative(self, i: int) -> bool:
        proven = self.facts[i].nonnegative and (self.zeros_free or not self.facts[i].minus_zero)
        if not proven:
            self.unproven.add(i)
        return proven

    def _power(self, base: int, exponent: int) -> int:
        n = self._value(exponent)
        if n is not None and n == int(n if isfinite(n) else 0) and 0 < abs(n) <= MAX_POWER:
            one: Product = (1.0, {})
            result = one
            for _ in range(int(abs(n))):
                result = self._times(result, self._split(base))
            return self._join(self._times(one, result, divide=True) if n < 0 else result)
        if n in (0.5, -0.5) and self._nonnegative(base):
            return self._join(self._times((1.0, {}), self._split(self._sqrt(base)), divide=n < 0))
        return self.add("pow", (base, exponent))

    # ------------------------------------------------------------ sums

    def _distributes(self, i: int, power: int = 1) -> bool:
        """inf*(2 - 1) is inf where inf*2 - inf*1 is NaN; a negative or zero factor moves the sign of a zero sum."""
        fact = fact_of_power(self.facts[i], power)
        proven = not fact.infinite and (self.zeros_free or (fact.nonnegative and not fact.zero))
        if not proven:
            self.unproven.add(i)
        return proven

    def _chain(self, i: int, node: Node, given: tuple[int, ...]) -> int:
        signs = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,)}[node.op]
        terms: list[Term] = []
        for sign, original, normal in zip(signs, given, (self.of[a] for a in given), strict=True):
            part = self.terms(original)
            if (sign < 0 and len(part) > 1 and not self.zeros_free) or len(part) > MAX_TERMS:
                scale, factors = self._split(normal)
                part = [(scale, self._monic(factors))]
            terms += [(sign * c, t) for c, t in part]
        terms = self._merged(terms)
        total = self._sum(terms)
        self._terms[i] = terms if len(terms) > 1 else self._expanded(total)
        return total

    def _expanded(self, i: int) -> list[Term]:
        """c*a*(x + y) is c*a*x + c*a*y where a is finite, so that it may join the terms around it."""
        scale, factors = self._split(i)
        sums = [f for f in factors if self.graph.nodes[f[0]].op == "sum"]
        whole = [(scale, self._monic(factors))]
        if len(sums) != 1 or sums[0][1] or factors[sums[0]] > 1 or not (self.zeros_free or scale > 0):
            return whole
        others = {f: n for f, n in factors.items() if f != sums[0]}
        if not all(self._distributes(j, -n if d else n) for (j, d), n in others.items()):
            return whole
        inner = self.graph.nodes[sums[0][0]]
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
        return self._join((scale, {(node, False): 1}))

    def _common(self, all_factors: list[Factors]) -> Factors:
        shared = {f: min(other.get(f, 0) for other in all_factors) for f in all_factors[0]}
        return {(i, below): n for (i, below), n in shared.items() if n and self._distributes(i, -1 if below else 1)}

    def _leads_negative(self, terms: Iterable[Term]) -> bool:
        """Whether the first terms, in an order that names and literals do not change, are mostly negative."""
        balance: dict[int, int] = {}
        for c, t in terms:
            key = -1 if t == self.one else self.keys[t]
            balance[key] = balance.get(key, 0) + (c > 0) - (c < 0)
        return next((n < 0 for _, n in sorted(balance.items()) if n), False)

    # ------------------------------------------------------------ everything else

    def _normal(self, i: int, node: Node, args: tuple[int, ...]) -> int:
        match node.op:
            case "add" | "sub" | "neg":
                return self._chain(i, node, node.args)
            case "mul" | "div":
                return self._join(self._times(self._split(args[0]), self._split(args[1]), node.op == "div"))
        if args and node.op in OPERATORS and (folded := self._folded(node.op, args)) is not None:
            return folded
        match node.op:
            case "pow":
                return self._power(*args)
            case "sqrt":
                return self._sqrt(*args)
            case "min" | "max" | "and" | "or":
                return self._lattice(node.op, args)
            case "where" | "when" | "not":
                return self._choice(node.op, args)
            case "eq" | "ne":
                return self.add(node.op, tuple(sorted(args)))
            case "reduce" if len(args) == 2:
                return self.add("reduce", tuple(sorted(args)), node.data)
        if node.op in OPERATORS and len(args) == 1:
            return self._unary(node.op, args[0])
        return self.add(node.op, args, node.data)

    def _folded(self, op: str, args: tuple[int, ...]) -> int | None:
        values = [self._value(a) for a in args]
        if None in values or "bool" in OPERATORS[op].takes:
            return None
        import numpy as np

        with np.errstate(all="ignore"):
            result = OPERATORS[op].numpy(np, *(np.float64(v) for v in values))
        if OPERATORS[op].gives == "bool":
            return self.add("bool", (), bool(result))
        return self.number(float(result)) if representable(op, float(result), values) else None

    def _sqrt(self, x: int) -> int:
        scale, factors = self._split(x)
        if scale == 1 and factors and not any(n % 2 for n in factors.values()):
            return self._unary("abs", self._monic({f: n // 2 for f, n in factors.items()}))
        return self.add("sqrt", (x,))

    def _unary(self, op: str, x: int) -> int:
        """The sign of the argument comes out of an odd function, and is lost in an even one."""
        scale, factors = self._split(x)
        parity, size = OPERATORS[op].parity, abs(scale)
        if op == "abs" and factors:
            inside = self._monic(factors)
            return self._join(
                (size, self._factors(inside if self._nonnegative(inside) else self.add("abs", (inside,))))
            )
        if op == "sign" and factors and size >= 1:
            size = 1.0  # a factor below 1 could underflow to a zero, whose sign is 0
        inside = self._join((size if parity else scale, factors))
        same = op in ("sign", "floor") and self.graph.nodes[inside].op == op
        outside = inside if same else self.add(op, (inside,))
        return self._join((-1.0, self._factors(outside))) if parity == "odd" and scale < 0 else outside

    def _lattice(self, op: str, args: tuple[int, ...]) -> int:
        """`min`, `max`, `and`, `or`: flat, without repeats, at most one literal."""
        flat = {b for a in args for b in (self.graph.nodes[a].args if self.graph.nodes[a].op == op else (a,))}
        numbers = [v for v in map(self._value, flat) if v is not None]
        if len(numbers) > 1:
            flat = {a for a in flat if self._value(a) is None} | {
                self.number(min(numbers) if op == "min" else max(numbers))
            }
        for a in [a for a in flat if self.graph.nodes[a].op == "bool"]:
            if bool(self.graph.nodes[a].data) == (op == "and") and len(flat) > 1:
                flat.discard(a)
        return flat.pop() if len(flat) == 1 else self.add(op, tuple(sorted(flat)))

    def _choice(self, op: str, args: tuple[int, ...]) -> int:
        condition = self.graph.nodes[args[0]]
        if op == "not":
            opposite = {"eq": "ne", "ne": "eq"}.get(condition.op)
            if condition.op == "bool":
                return self.add("bool", (), not condition.data)
            return (
                condition.args[0]
                if condition.op == "not"
                else self.add(opposite or "not", condition.args if opposite else args)
            )
        if condition.op == "not":
            return self._choice(op, (condition.args[0], args[2], args[1]))
        x, y = (self.facts[a].shape for a in args[1:])
        if condition.op == "bool":
            kept = args[1] if condition.data else args[2]
            return kept if op == "when" or self.facts[kept].shape == x | y else self.add(op, args)
        same = args[1] == args[2] and (op == "when" or self.facts[args[0]].shape | x == x)
        return args[1] if same else self.add(op, args)


def _without(factors: Factors, common: Factors) -> Factors:
    return {f: n - common.get(f, 0) for f, n in factors.items() if n > common.get(f, 0)}
