"""Values of a rule ⇄ sympy, through the operator table; what the rule tends to as steps go on. Text never gets here.

sympy is slow to import and knows no NaN, so nothing that must be exact or quick depends on this module: it serves
explanations alone. Every symbol is made here from a checked name; nothing is ever parsed by sympy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..meaning.graph import Node, Traced, reachable
from ..operators import OPERATORS
from ..rule import Rule
from ..text.expressions import Apply, Expr, Name, Number

Sym = Any
"""A sympy expression; sympy has no types to speak of."""
MAX_OPERATIONS, MAX_NODES, MAX_EXPONENT = 80, 300, 8
"""Beyond these a limit, a fixed point or a product multiplied out may take minutes, and is not tried."""


class UnknownError(Exception):
    """What was asked has no answer here."""


class Symbolic:
    """The nodes of a traced rule as sympy expressions, with the assumptions that intervals and states allow."""

    def __init__(self, rule: Rule, traced: Traced) -> None:
        import sympy

        self.sp = sympy
        self.nodes = traced.graph.nodes
        self.t = sympy.Symbol("t", positive=True)
        self.leaves: dict[str, Sym] = {"t": self.t, "pi": sympy.pi, "inf": sympy.oo}
        self.defaults: dict[Sym, Sym] = {}
        for p in rule.params:
            positive = p.interval is not None and (p.interval.low > 0 or (p.interval.low == 0 and p.interval.low_open))
            nonnegative = p.interval is not None and p.interval.low >= 0
            symbol = sympy.Symbol(p.name, real=True, positive=positive or None, nonnegative=nonnegative or None)
            self.leaves[p.name] = symbol
            if p.default is not None and not isinstance(p.default, bool):
                self.defaults[symbol] = sympy.Rational(repr(p.default))
        self._made: dict[int, Sym] = {}

    def leaf(self, name: str) -> Sym:
        if name not in self.leaves:
            self.leaves[name] = self.sp.Symbol(name, real=True)
        return self.leaves[name]

    def of(self, root: int) -> Sym:
        """A node as sympy sees it. Raises UnknownError where it has no words for something below it."""
        below = reachable(self.nodes, [root])
        if len(below) > MAX_NODES:
            raise UnknownError("too large")
        for i in below:
            if i not in self._made:
                self._made[i] = self._convert(self.nodes[i])
        return self._made[root]

    def _convert(self, node: Node) -> Sym:
        if node.op == "number":
            return self.sp.Rational(node.data)
        if node.op in ("given", "param", "state", "input"):
            return self.leaf(str(node.data))
        if node.op == "bool":
            return self.sp.true if node.data else self.sp.false
        if node.op not in OPERATORS:
            raise UnknownError(node.op)
        args = [self._made[a] for a in node.args]
        if node.op == "pow" and not _is_modest(*args):
            raise UnknownError("a power")
        return OPERATORS[node.op].sympy(self.sp, *args)

    def at_defaults(self, e: Sym) -> Sym:
        return e.subs(self.defaults)

    # ------------------------------------------------------------ as t grows

    def limit(self, e: Sym) -> Sym:
        """What an expression tends to as t grows; an interval where it swings. Raises UnknownError."""
        if not e.has(self.t):
            return e
        if isinstance(e, self.sp.Piecewise):
            return self._later_arm(e)
        if e.is_Pow and not e.base.has(self.t):
            return self._power(e)
        parts = [self.limit(a) for a in e.args]
        if parts and not any(p.has(self.sp.oo, self.sp.zoo, self.sp.nan) for p in parts):
            return e.func(*parts)
        if isinstance(e, self.sp.Min | self.sp.Max):
            return e.func(*parts)
        return self._by_sympy(e)

    def _by_sympy(self, e: Sym) -> Sym:
        if e == self.t:
            return self.sp.oo
        if e.count_ops() > MAX_OPERATIONS:
            raise UnknownError("too large")
        try:
            result = self.sp.limit(e, self.t, self.sp.oo)
        except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
            raise UnknownError(str(error)) from error
        if result.has(self.sp.Limit, self.sp.nan):
            raise UnknownError("no limit")
        return result

    def _power(self, e: Sym) -> Sym:
        """base^n as n grows: by how large the base is at the default hyperparameters."""
        exponent = self.limit(e.exp)
        if exponent not in (self.sp.oo, -self.sp.oo):
            return self.sp.Pow(e.base, exponent)
        size = abs(self.at_defaults(e.base))
        if not size.is_number or size == 1:
            raise UnknownError("no limit")
        return self.sp.Integer(0) if (size < 1) == (exponent == self.sp.oo) else self.sp.oo

    def _later_arm(self, e: Sym) -> Sym:
        """The arm of a choice by t that holds once t is large."""
        for value, condition in e.args:
            if not condition.has(self.t):
                if condition == True:  # noqa: E712 (sympy's true is not Python's)
                    return self.limit(value)
                raise UnknownError("a condition")
            if self._holds_late(condition):
                return self.limit(value)
        raise UnknownError("a condition")

    def _holds_late(self, c: Sym) -> bool:
        if not c.is_Relational:
            raise UnknownError("a condition")
        gap = self.at_defaults(self.limit(self.at_defaults(c.lhs - c.rhs)))
        if gap not in (self.sp.oo, -self.sp.oo):
            raise UnknownError("a condition")
        large = self.sp.Integer(1) if gap == self.sp.oo else self.sp.Integer(-1)
        return bool(c.func(large, self.sp.Integer(0)))

    # ------------------------------------------------------------ under a constant gradient

    def steady(self, updates: Mapping[str, int]) -> dict[str, Sym]:
        """What each state tends to if the gradient never changes, found one state after another.

        Left out are states whose updates are not affine in them, do not contract, or wait for such a state.
        """
        pending = {name: u for name, i in updates.items() if (u := self.of_or_none(i)) is not None}
        found: dict[str, Sym] = {}
        for _ in range(len(updates)):
            for name in list(pending):
                others = {self.leaf(n) for n in updates if n != name and n not in found}
                if pending[name].free_symbols & others:
                    continue
                value = self._fixed_point(self.leaf(name), pending.pop(name))
                if value is not None:
                    found[name] = value
                    pending = {n: u.subs(self.leaf(name), value) for n, u in pending.items()}
        return found

    def of_or_none(self, i: int) -> Sym | None:
        try:
            return self.of(i)
        except UnknownError:
            return None

    def _fixed_point(self, s: Sym, update: Sym) -> Sym | None:
        try:
            late = self.limit(update)
        except UnknownError:
            return None
        if late.count_ops() > MAX_OPERATIONS:
            return None
        slope = self.sp.diff(late, s)
        rest = late.subs(s, 0)
        size = self.at_defaults(slope)
        if size == 1 and rest.is_nonnegative and rest != 0:
            return self.sp.oo
        if slope.has(s) or not size.is_number or not abs(size) < 1:
            return None
        return self.tidy(rest / (1 - slope))

    def swing(self, e: Sym) -> tuple[Sym, Sym] | None:
        """The ends between which a value swings for ever, where `limit` found no more than that."""
        bounds = e.atoms(self.sp.AccumBounds)
        if len(bounds) != 1:
            return None
        (found,) = bounds
        return e.subs(found, found.min), e.subs(found, found.max)

    def tidy(self, e: Sym) -> Sym | None:
        """The expression multiplied out and cancelled; None where infinities meet in it."""
        if e.count_ops() > MAX_OPERATIONS or not all(_is_modest(p.base, p.exp) for p in e.atoms(self.sp.Pow)):
            return e
        e = e.replace(lambda x: x.is_Add, self.sp.expand)
        e = self.sp.cancel(e) if e.is_rational_function() else e
        return None if e.has(self.sp.nan, self.sp.zoo) or (e.has(self.sp.oo) and e != self.sp.oo) else e


def _is_modest(base: Sym, exponent: Sym) -> bool:
    """Whether a power can be worked with: sympy works numbers out to the last digit, and multiplies sums out."""
    if not (exponent.is_number and (base.is_number or base.is_Add)):
        return True
    if base.is_Add:
        return bool(abs(exponent) <= 2)
    return bool(abs(exponent) <= MAX_EXPONENT) and base.count_ops() == 0


# ---------------------------------------------------------------- back again


def from_sympy(e: Sym) -> Expr:
    """A sympy expression as one of ours, for showing. Raises UnknownError for what the language has no word for."""
    import sympy as sp

    if e in (sp.oo, -sp.oo):
        return Name("inf") if e == sp.oo else Apply("neg", (Name("inf"),))
    if e == sp.pi:
        return Name("pi")
    if e.is_Symbol:
        return Name(e.name)
    if e.is_Rational:
        return _ratio(e)
    if e.is_Add:
        return _sum([from_sympy(a) for a in sorted(e.as_ordered_terms(), key=_last)])
    if e.is_Mul:
        top, bottom = e.as_numer_denom()
        if (bottom.is_Add and bottom.as_coeff_Add()[0] < 0) or bottom.could_extract_minus_sign():
            top, bottom = -top, -bottom
        return _product(top) if bottom == 1 else Apply("div", (_product(top), _product(bottom)))
    if e.is_Pow:
        if e.exp == sp.Rational(1, 2):
            return Apply("sqrt", (from_sympy(e.base),))
        if e.exp.is_negative:
            return Apply("div", (Number(1.0), from_sympy(1 / e)))
        return Apply("pow", (from_sympy(e.base), from_sympy(e.exp)))
    names = {"Abs": "abs", "Min": "min", "Max": "max", "sign": "sign", "floor": "floor", "exp": "exp", "log": "log",
             "sin": "sin", "cos": "cos", "tanh": "tanh", "erf": "erf"}  # fmt: skip
    name = names.get(type(e).__name__)
    if name is None:
        raise UnknownError(type(e).__name__)
    return _chained(name, [from_sympy(a) for a in e.args])


def _last(term: Sym) -> bool:
    """Hyperparameters come after what depends on the gradient, as in sqrt(v) + eps; and negative terms last."""
    return bool(term.is_number is False and not any(s.name == "g" for s in term.free_symbols))


def _ratio(e: Sym) -> Expr:
    size: Expr = (
        Number(float(abs(e)))
        if e.q in (1, 2, 4, 5, 10, 100) or e.q > 1000
        else Apply("div", (Number(float(abs(e.p))), Number(float(e.q))))
    )
    return Apply("neg", (size,)) if e < 0 else size


def _sum(terms: list[Expr]) -> Expr:
    total = terms[0]
    for term in terms[1:]:
        negated = term.args[0] if isinstance(term, Apply) and term.op == "neg" else None
        total = Apply("add", (total, term)) if negated is None else Apply("sub", (total, negated))
    return total


def _product(e: Sym) -> Expr:
    factors = list(e.as_ordered_factors()) if e.is_Mul else [e]
    negative = bool(factors[0].is_Rational and factors[0] < 0)
    if negative:
        factors = [-factors[0], *factors[1:]]
    shown = [from_sympy(f) for f in factors if f != 1] or [Number(1.0)]
    product = _chained("mul", shown)
    return Apply("neg", (product,)) if negative else product


def _chained(op: str, args: list[Expr]) -> Expr:
    result = args[0] if op in ("mul", "min", "max") else Apply(op, tuple(args))
    for arg in args[1:] if op in ("mul", "min", "max") else ():
        result = Apply(op, (result, arg))
    return result
