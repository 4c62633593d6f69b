"""A rule's first step where the gradient is zero, as far as it can be known: each value is a number, or unknown.

Hyperparameters have their defaults, states what they begin with; theta and noise are unknown, and so is whatever
depends on them. Nothing is imported for it, so that `optc check` stays fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..rule import Rule, flattened
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Number, Prev, Reduce
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When

Known = float | None
"""A number (a condition is 0 or 1), or None: it cannot be told."""


@dataclass(frozen=True, slots=True)
class Pole:
    """`divisor` is 0 on the first step, and so is the dividend where `zero_over_zero`."""

    quotient: Apply
    zero_over_zero: bool


@dataclass
class Probe:
    """`whole` says that every element of the gradient is zero, so that its reductions are too."""

    rule: Rule
    whole: bool = False
    values: dict[str, Known] = field(default_factory=dict)
    poles: list[Pole] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values |= {p.name: None if p.default is None else float(p.default) for p in self.rule.params}
        self.values |= {"t": 1.0, "g": 0.0, "pi": math.pi, "inf": math.inf}
        self.start = {s.name: self.value(s.init) for s in self.rule.states}
        self.values |= self.start

    def run(self) -> list[Pole]:
        """The quotients of the step whose divisor is zero."""
        self._run(self.rule.body)
        return self.poles

    def _run(self, body: Iterable[Statement]) -> None:
        for s in body:
            match s:
                case Assign(name="theta"):
                    self.value(s.value)
                case Let() | Assign() | Output():
                    self.values[s.name] = self.value(s.value)
                case Repeat():
                    self._run(s.body)
                    written = (inner for inner in flattened(s.body) if isinstance(inner, Let | Assign | Output))
                    self.values |= dict.fromkeys(inner.name for inner in written)
                case When():
                    self._when(s)

    def _when(self, s: When) -> None:
        condition = self.value(s.condition)
        if condition is not None:
            self._run(s.then if condition else s.otherwise)
            return
        before = dict(self.values)
        self._run(s.then)
        then, self.values = self.values, before
        self._run(s.otherwise)
        self.values = {n: v if then.get(n) == v else None for n, v in self.values.items()}

    def value(self, e: Expr) -> Known:
        """What an expression comes to."""
        match e:
            case Number(value=value) | Bool(value=value):
                return float(value)
            case Name(id=name):
                return self.values.get(name)
            case Prev(state=state):
                return self.start.get(state)
            case Cast(value=inner) | Matrix(op="transpose", args=(inner,)):
                return self.value(inner)
            case Reduce(args=args):
                zero = any(v == 0 for v in [self.value(a) for a in args])
                return 0.0 if self.whole and zero else None
            case Matrix(args=args):
                zero = any(v == 0 for v in [self.value(a) for a in args])
                return 0.0 if self.whole and e.op == "matmul" and zero else None
            case Apply(op="where", args=(condition, x, y)):
                return self._where(condition, x, y)
            case Apply():
                return self._apply(e, [self.value(a) for a in e.args])
        return None

    def _where(self, condition: Expr, x: Expr, y: Expr) -> Known:
        """A quotient in the arm that is not taken does no harm."""
        holds = self.value(condition)
        if holds is not None:
            return self.value(x if holds else y)
        a, b = self.value(x), self.value(y)
        return a if a == b else None

    def _apply(self, e: Apply, args: list[Known]) -> Known:
        zero_power = e.op == "pow" and args[0] == 0 and args[1] is not None and args[1] < 0
        if zero_power or (e.op == "div" and args[1] == 0):
            self.poles.append(Pole(e, e.op == "div" and args[0] == 0))
            return None
        absorbing = _ABSORBING.get(e.op)
        if absorbing is not None and any(a == absorbing for a in args):
            return absorbing
        if e.op == "div" and args[0] == 0:
            return 0.0
        known = [a for a in args if a is not None]
        if len(known) < len(args) or e.op not in _MEANING:
            return None
        try:
            return float(_MEANING[e.op](*known))
        except (ArithmeticError, ValueError):
            return None


_ABSORBING = {"mul": 0.0, "and": 0.0, "or": 1.0}
"""The value that decides an operator's result whatever its other arguments are (a finite one is meant)."""

_MEANING: dict[str, Callable[..., float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": math.pow,
    "neg": lambda x: -x,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "and": lambda x, y: x and y,
    "or": lambda x, y: x or y,
    "not": lambda x: not x,
    "sqrt": math.sqrt,
    "cbrt": math.cbrt,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "erf": math.erf,
    "sign": lambda x: (x > 0) - (x < 0),
    "abs": abs,
    "floor": math.floor,
    "square": lambda x: x * x,
    "min": min,
    "max": max,
    "clip": lambda x, low, high: min(max(x, low), high),
    "lerp": lambda a, b, w: a + w * (b - a),
}


def kept_fraction(probe: Probe, state: str, e: Expr) -> Known:
    """How much of a state's old value its new one holds: d e / d state, where that is a constant."""
    match e:
        case Name(id=name) | Prev(state=name) if name == state:
            return 1.0
        case Number() | Bool() | Name() | Prev():
            return 0.0
        case Cast(value=inner):
            return kept_fraction(probe, state, inner)
        case Apply(op="add" | "sub" | "neg" | "mul" | "div" | "lerp", args=args):
            return _kept(probe, e.op, list(args), [kept_fraction(probe, state, a) for a in args])
    return None


def _kept(probe: Probe, op: str, args: list[Expr], kept: list[Known]) -> Known:
    if any(k is None for k in kept):
        return None
    parts = [k for k in kept if k is not None]
    if op in ("add", "sub", "neg"):
        signs = {"add": (1, 1), "sub": (1, -1), "neg": (-1,)}[op]
        return sum(s * k for s, k in zip(signs, parts, strict=True))
    if not any(parts):
        return 0.0
    factor = probe.value(args[-1] if op != "mul" or parts[0] else args[0])
    if factor is None or (op == "mul" and all(parts)) or (op != "mul" and parts[-1]):
        return None
    if op == "lerp":
        return parts[0] + factor * (parts[1] - parts[0])
    return (parts[0] or parts[1]) * factor if op == "mul" else parts[0] / factor if factor else None
