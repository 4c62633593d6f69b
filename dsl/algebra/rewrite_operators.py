"""Rewrites of one operator and its arguments: literals, signs, repeats, powers, conditions. The law: `rewrites.py`."""

from __future__ import annotations

from math import inf

from ..text.expressions import Bool
from .cost import NODE
from .facts import literal
from .known import Builder, Known, joined
from .literals import SMALLEST, folded

# ---------------------------------------------------------------- literals


def fold(b: Builder, k: Known) -> Known | None:
    value = folded(k.op, [a.value for a in k.args])
    if value is None:
        return None
    return _condition(value) if isinstance(value, bool) else b.number(value)


def _condition(value: bool) -> Known:
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


def even(b: Builder, k: Known) -> Known | None:
    (x,) = k.args
    return b.make(k.op, x.args[0]) if x.op == "neg" or (x.op == "abs" and k.op != "abs") else None


def idempotent(b: Builder, k: Known) -> Known | None:
    x = k.args[0]
    if k.op in ("sign", "floor"):
        return x if x.op == k.op else None
    if k.op == "abs":
        return x if x.fact.nonnegative and (b.zeros_free or not x.fact.minus_zero) else None
    return _distinct(b, k)


def _distinct(b: Builder, k: Known) -> Known | None:
    """Repeated arguments of `min`, `max`, `and`, `or` go, and literals among them meet.

    Which of two zeros `min` and `max` give may depend on their order.
    """
    if k.op in ("min", "max") and not b.zeros_free:
        return k.args[0] if all(a.same(k.args[0]) for a in k.args) else None
    flat = _flat(k.op, k)
    kept: list[Known] = []
    for a in flat:
        if not any(a.same(seen) for seen in kept):
            kept.append(a)
    numbers = [a for a in kept if a.value is not None]
    if len(numbers) > 1:
        one = joined(b, k.op, numbers)
        kept = [one if a is numbers[0] else a for a in kept if a is numbers[0] or a.value is None]
    return joined(b, k.op, kept) if len(kept) < len(flat) else None


def _flat(op: str, k: Known) -> list[Known]:
    return [k] if k.op != op else [inner for a in k.args for inner in _flat(op, a)]


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
    if exponent == -1:
        return b.make("div", b.number(1.0), x)
    if exponent in (0.5, -0.5) and rooted:
        root = b.make("sqrt", x)
        return root if exponent == 0.5 else b.make("div", b.number(1.0), root)
    return None


def roots(b: Builder, k: Known) -> Known | None:
    (x,) = k.args
    if x.op != "sqrt":
        return None
    inside = x.args[0]
    return inside if inside.fact.nonnegative and (b.zeros_free or not inside.fact.minus_zero) else None


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
