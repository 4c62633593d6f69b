"""The named rewrites: each turns one expression into a cheaper one of the same values; none knows where it stands.

The law. Values are extended reals (see `facts.py`), and a rewrite must be exact there: NaN and infinities stay where
they were, and so do the signs of zeros wherever the rule could tell. Regrouping products and sums may change rounding,
and may meet or avoid the overflow and underflow of an intermediate value; nothing else may change. So `x*0`, `x - x`,
`x/x` and `2*x - x` stand as written, and nothing moves in or out of a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from .known import Builder, Known, Rewrite
from .operators import OPERATORS
from .syntax import Bool

SMALLEST, LARGEST = 1.1754943508222875e-38, 3.4028234663852886e38
"""The range of normal float32 numbers: a literal meets tensors in float32."""
ODD = tuple(o.name for o in OPERATORS.values() if o.parity == "odd" and o.arity == 1 and o.name != "neg")
EVEN = tuple(o.name for o in OPERATORS.values() if o.parity == "even")


# ---------------------------------------------------------------- literals


def fold(b: Builder, k: Known) -> Known | None:
    values = [a.value for a in k.args]
    operator = OPERATORS[k.op]
    if any(v is None for v in values) or "bool" in operator.takes:
        return None
    import numpy as np

    with np.errstate(all="ignore"):
        result = operator.numpy(np, *(np.float64(v) for v in values))
    if operator.gives == "bool":
        return _condition(bool(result))
    return b.number(float(result)) if representable(k.op, float(result), values) else None


def representable(op: str, result: float, operands: Sequence[float | None]) -> bool:
    """Whether folding lost nothing but rounding: the result neither overflows nor underflows."""
    if result == 0:
        return 0 in operands or op not in ("mul", "div", "pow", "square", "exp")
    return SMALLEST <= abs(result) <= LARGEST


def _condition(value: bool) -> Known:
    from .cost import NODE
    from .facts import literal

    return Known(Bool(value), literal(float(value)), NODE)


def _bool(k: Known) -> bool | None:
    return k.expr.value if isinstance(k.expr, Bool) else None


# ---------------------------------------------------------------- neutral elements and signs


def neutral(b: Builder, k: Known) -> Known | None:
    x, y = k.args
    match k.op:
        case "mul":
            return _unit(b, x, y) or _unit(b, y, x)
        case "div":
            return _unit(b, x, y)
        case "pow":
            return x if y.value == 1 else None
        case "sub":
            if y.value == 0 and (b.zeros_free or not y.fact.minus_zero or not x.fact.minus_zero):
                return x
            return b.make("neg", y) if x.value == 0 and (b.zeros_free or x.fact.minus_zero) else None
    return _without_zero(b, x, y) or _without_zero(b, y, x)


def _unit(b: Builder, x: Known, one: Known) -> Known | None:
    if one.value == 1:
        return x
    return b.make("neg", x) if one.value == -1 else None


def _without_zero(b: Builder, x: Known, zero: Known) -> Known | None:
    return x if zero.value == 0 and (b.zeros_free or zero.fact.minus_zero or not x.fact.minus_zero) else None


def _negated(k: Known) -> Known | None:
    """What a negation, other than a negative literal, negates."""
    return k.args[0] if k.op == "neg" and k.value is None else None


def signs(b: Builder, k: Known) -> Known | None:
    x, y = k.args[0], k.args[-1]
    minus_x, minus_y = _negated(x), _negated(y)
    match k.op:
        case "neg":
            return b.make("sub", x.args[1], x.args[0]) if x.op == "sub" and b.zeros_free else minus_x
        case "add":
            return b.make("sub", x, minus_y) if minus_y else b.make("sub", y, minus_x) if minus_x else None
        case "sub":
            return b.make("add", x, minus_y) if minus_y else None
    if minus_x and minus_y:
        return b.make(k.op, minus_x, minus_y)
    if minus_x and y.value is not None:
        return b.make(k.op, minus_x, b.number(-y.value))
    return b.make(k.op, b.number(-x.value), minus_y) if minus_y and x.value is not None else None


def parity(b: Builder, k: Known) -> Known | None:
    (x,) = k.args
    if k.op in EVEN:
        return b.make(k.op, x.args[0]) if x.op == "neg" or (x.op == "abs" and k.op != "abs") else None
    return None


def idempotent(b: Builder, k: Known) -> Known | None:
    x = k.args[0]
    if k.op in ("sign", "floor"):
        return x if x.op == k.op else None
    if k.op == "abs":
        return x if x.fact.nonnegative and (b.zeros_free or not x.fact.minus_zero) else None
    return _distinct(b, k)


def _distinct(b: Builder, k: Known) -> Known | None:
    """Repeated arguments of `min`, `max`, `and`, `or` go, and literals among them meet."""
    flat = _flat(k.op, k)
    kept: list[Known] = []
    for a in flat:
        if not any(a.same(seen) for seen in kept):
            kept.append(a)
    numbers = [a for a in kept if a.value is not None]
    if len(numbers) > 1:
        one = _joined(b, k.op, numbers)
        kept = [one if a is numbers[0] else a for a in kept if a is numbers[0] or a.value is None]
    return _joined(b, k.op, kept) if len(kept) < len(flat) else None


def _flat(op: str, k: Known) -> list[Known]:
    return [k] if k.op != op else [inner for a in k.args for inner in _flat(op, a)]


def _joined(b: Builder, op: str, parts: list[Known]) -> Known:
    result = parts[0]
    for part in parts[1:]:
        result = b.make(op, result, part)
    return result


def bounded(b: Builder, k: Known) -> Known | None:
    if k.op == "clip":
        x, low, high = k.args
        return x if _never_below(b, x, low) and _never_above(b, x, high) else None
    never = _never_below if k.op == "max" else _never_above
    for x, bound in (k.args, k.args[::-1]) if len(k.args) == 2 else ():
        if never(b, x, bound):
            return x
    return None


def _never_below(b: Builder, x: Known, bound: Known) -> bool:
    return bound.value is not None and x.fact.low >= bound.value and (b.zeros_free or not x.fact.minus_zero)


def _never_above(b: Builder, x: Known, bound: Known) -> bool:
    return bound.value is not None and x.fact.high <= bound.value and (b.zeros_free or not x.fact.minus_zero)


def unscaled_sign(b: Builder, k: Known) -> Known | None:
    (x,) = k.args
    if x.op not in ("mul", "div"):
        return None
    low, high = (1.0, inf) if x.op == "mul" else (SMALLEST, 1.0)
    for scale, rest in (x.args, x.args[::-1]) if x.op == "mul" else (x.args[::-1],):
        # A smaller multiple could underflow to a zero, whose sign is 0.
        if scale.value is not None and low <= scale.value <= high and scale.value < inf:
            return b.make("sign", rest)
    return None


# ---------------------------------------------------------------- powers


def powers(b: Builder, k: Known) -> Known | None:
    x = k.args[0]
    if k.op == "mul":
        return b.make("square", x) if x.same(k.args[1]) else None
    exponent = k.args[1].value
    rooted = x.fact.nonnegative and (b.zeros_free or not x.fact.minus_zero)
    if exponent == 2:
        return b.make("square", x)
    if exponent == 3:
        return b.make("mul", x, b.make("square", x))
    if exponent in (-1, -2):
        return b.make("div", b.number(1.0), x if exponent == -1 else b.make("square", x))
    if exponent in (0.5, -0.5) and rooted:
        root = b.make("sqrt", x)
        return root if exponent == 0.5 else b.make("div", b.number(1.0), root)
    return None


def roots(b: Builder, k: Known) -> Known | None:
    (x,) = k.args
    if k.op == "sqrt":
        return b.make("abs", x.args[0]) if x.op == "square" else None
    if x.op == "sqrt":
        inside = x.args[0]
        return inside if inside.fact.nonnegative and (b.zeros_free or not inside.fact.minus_zero) else None
    return None


# ---------------------------------------------------------------- conditions


def conditions(b: Builder, k: Known) -> Known | None:
    c = k.args[0]
    if k.op == "not":
        flipped = {"eq": "ne", "ne": "eq"}.get(c.op)
        if (value := _bool(c)) is not None:
            return _condition(not value)
        return c.args[0] if c.op == "not" else b.make(flipped, *c.args) if flipped else None
    if k.op == "where":
        _, x, y = k.args
        if (value := _bool(c)) is not None:
            return x if value else y
        if x.same(y):
            return x
        return b.make("where", c.args[0], y, x) if c.op == "not" else None
    for condition, other in (k.args, k.args[::-1]):
        if (value := _bool(condition)) is not None:
            return other if value == (k.op == "and") else _condition(value)
    return None


# ---------------------------------------------------------------- products


@dataclass(slots=True)
class _Product:
    """A chain of `*` and `/` taken apart; the host's factors apart from the others, in the order written."""

    host: tuple[list[Known], list[Known]] = field(default_factory=lambda: ([], []))
    rest: tuple[list[Known], list[Known]] = field(default_factory=lambda: ([], []))

    def collect(self, k: Known, below: int = 0) -> None:
        if k.op in ("mul", "div") and not k.on_host:
            self.collect(k.args[0], below)
            self.collect(k.args[1], below ^ (k.op == "div"))
        else:
            (self.host if k.on_host else self.rest)[below].append(k)


def host_factors(b: Builder, k: Known) -> Known | None:
    if k.on_host:
        return None
    product = _Product()
    product.collect(k)
    above, below = product.host
    if len(above) + len(below) < 2:
        return None
    tensors = _fraction(b, *product.rest)
    if not above:
        return b.make("div", tensors, _joined(b, "mul", below))
    return _times(b, _fraction(b, above, below), product.rest)


def _times(b: Builder, scale: Known, rest: tuple[list[Known], list[Known]]) -> Known:
    above, below = rest
    top = b.make("mul", scale, _joined(b, "mul", above)) if above else scale
    return b.make("div", top, _joined(b, "mul", below)) if below else top


def _fraction(b: Builder, above: list[Known], below: list[Known]) -> Known:
    top = _joined(b, "mul", above) if above else b.number(1.0)
    return b.make("div", top, _joined(b, "mul", below)) if below else top


# ---------------------------------------------------------------- sums


Term = tuple[float, Known | None]
"""A literal coefficient and what it multiplies; None is 1."""


def _terms(b: Builder, k: Known, scale: float = 1.0) -> list[Term]:
    if k.value is not None:
        return [(scale * k.value, None)]
    if k.op in ("add", "sub"):
        return _terms(b, k.args[0], scale) + _terms(b, k.args[1], -scale if k.op == "sub" else scale)
    if k.op == "mul" and k.args[0].value is not None:
        return [(scale * k.args[0].value, k.args[1])]
    if k.op == "mul" and k.args[1].value is not None:
        return [(scale * k.args[1].value, k.args[0])]
    return [(-scale, k.args[0])] if k.op == "neg" else [(scale, k)]


def like_terms(b: Builder, k: Known) -> Known | None:
    merged: list[Term] = []
    terms = _terms(b, k)
    for factor, base in terms:
        for i, (other, seen) in enumerate(merged):
            alike = seen is base or (seen is not None and base is not None and seen.same(base))
            # Of one sign only: 2*x - x is NaN where x is infinite, and a cancelled literal loses digits.
            if alike and factor * other > 0 and isfinite(factor + other):
                merged[i] = (factor + other, seen)
                break
        else:
            merged.append((factor, base))
    return _sum(b, merged) if len(merged) < len(terms) else None


def _sum(b: Builder, terms: list[Term]) -> Known:
    result = _term(b, *terms[0])
    for factor, base in terms[1:]:
        result = b.make("sub" if factor < 0 else "add", result, _term(b, abs(factor), base))
    return result


def _term(b: Builder, factor: float, base: Known | None) -> Known:
    if base is None:
        return b.number(factor)
    return base if factor == 1 else b.make("neg", base) if factor == -1 else b.make("mul", b.number(factor), base)


def common_factor(b: Builder, k: Known) -> Known | None:
    x, y = k.args
    if x.op != y.op or x.op not in ("mul", "div"):
        return None
    if x.op == "div":
        by = x.args[1]
        if by.same(y.args[1]) and not by.fact.zero and _may_distribute(b, by):
            return b.make("div", b.make(k.op, x.args[0], y.args[0]), by)
        return None
    for a, p in (x.args, x.args[::-1]):
        for c, q in (y.args, y.args[::-1]):
            if a.same(c) and _may_distribute(b, a):
                return b.make("mul", a, b.make(k.op, p, q))
    return None


def _may_distribute(b: Builder, a: Known) -> bool:
    """inf*(2 - 1) is inf where inf*2 - inf*1 is NaN; a negative or zero factor moves the sign of a zero sum."""
    return not a.fact.infinite and (b.zeros_free or (a.fact.nonnegative and not a.fact.zero))


REWRITES: tuple[Rewrite, ...] = (
    Rewrite(
        "fold literals",
        tuple(o.name for o in OPERATORS.values()),
        fold,
        "float64 arithmetic now instead of later; a result that is not finite, or underflows, is left as written",
    ),
    Rewrite(
        "neutral element",
        ("add", "sub", "mul", "div", "pow"),
        neutral,
        "x*1, x/1, x^1, x - 0 and x + -0 are x, NaN too; x + 0 is x but for -0 + 0 = 0, so only where none can tell",
    ),
    Rewrite(
        "signs",
        ("neg", "add", "sub", "mul", "div"),
        signs,
        "negation is exact; -(a - b) is b - a but for the sign of a zero, so only where none can tell",
    ),
    Rewrite("even function", EVEN, parity, "abs, cos and square do not see their argument's sign"),
    Rewrite(
        "idempotent",
        ("sign", "floor", "abs", "min", "max", "and", "or"),
        idempotent,
        "applying them again changes nothing, NaN included; literals of one min or max are compared now",
    ),
    Rewrite(
        "bound never met",
        ("min", "max", "clip"),
        bounded,
        "x is within the bound for every value, and min(NaN, c) is NaN",
    ),
    Rewrite(
        "sign of a multiple",
        ("sign",),
        unscaled_sign,
        "a factor of at least 1 cannot underflow, and infinity keeps its sign",
    ),
    Rewrite(
        "powers", ("pow", "mul"), powers, "small literal powers; x^0.5 is a root only where x >= 0: (-inf)^0.5 is inf"
    ),
    Rewrite(
        "roots", ("sqrt", "square"), roots, "sqrt(x^2) is |x|; sqrt(x)^2 is x only where x >= 0 is proven, NaN stays"
    ),
    Rewrite(
        "conditions",
        ("not", "where", "and", "or"),
        conditions,
        "`not (a == b)` is `a != b` for NaN too; `not (a < b)` is not `a >= b`, and stays",
    ),
    Rewrite(
        "host factors",
        ("mul", "div"),
        host_factors,
        "products of extended reals associate and commute, and x/a is x*(1/a) there",
    ),
    Rewrite("like terms", ("add", "sub"), like_terms, "coefficients of one sign add up whatever x is, infinite or NaN"),
    Rewrite(
        "common factor", ("add", "sub"), common_factor, "a finite factor distributes over a sum, NaN and infinities too"
    ),
)
