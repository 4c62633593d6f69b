"""Expressions of literals alone: what they come to, and the ones that come to nothing usable."""

from __future__ import annotations

import math
from typing import Any

from ..diagnostics import Diagnostic
from ..operators import OPERATORS
from ..text.expressions import Apply, Bool, Expr, Name, Number

FLOAT32_MAX = 3.4028234663852886e38
FLOAT32_TINY = 2.0**-150
"""Half the smallest subnormal: what is not larger rounds to zero in float32."""
MAX_EXPONENT = 64
_NAMED = {"pi": math.pi, "inf": math.inf}


def literal(number: Number) -> Diagnostic | None:
    """The error of a literal that float32 cannot hold, or None."""
    size = abs(number.value)
    if size > FLOAT32_MAX:
        text = "is not finite" if math.isinf(size) else "is larger than float32 can hold (3.4e38)"
        return Diagnostic("E401", f"`{number.text}` {text}", number.span, help="`inf` is infinity")
    if 0 < size <= FLOAT32_TINY:
        help = "float32 keeps nothing below 1.4e-45; was a smaller exponent meant?"
        return Diagnostic("E401", f"`{number.text}` is zero in float32", number.span, help=help)
    return None


def evaluate(expr: Expr) -> float | bool | None:
    """The value of an expression without names other than `pi` and `inf`; None where it has others. Never raises."""
    if isinstance(expr, (Number, Bool)):  # a union would be made anew at every call
        return expr.value
    if isinstance(expr, Name):
        return _NAMED.get(expr.id)
    if not isinstance(expr, Apply) or (len(expr.args) != OPERATORS[expr.op].arity and not OPERATORS[expr.op].variadic):
        return None
    values: list[float | bool] = []
    for arg in expr.args:
        value = evaluate(arg)
        if value is None:
            return None
        values.append(value)
    return _apply(expr.op, values)


_PLAIN: dict[str, Any] = {
    "neg": lambda x: -x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
}


def _apply(op: str, values: list[Any]) -> float | bool:
    if op in _PLAIN:  # no numpy for what nearly every default is made of: `optc check` starts faster without it
        return float(_PLAIN[op](*values))
    import numpy as np

    with np.errstate(all="ignore"):
        result = values[0]
        if OPERATORS[op].variadic:
            for value in values[1:]:
                result = OPERATORS[op].numpy(np, result, value)
        else:
            result = OPERATORS[op].numpy(np, *(np.float64(v) if not isinstance(v, bool) else v for v in values))
    return bool(result) if OPERATORS[op].gives == "bool" else float(result)


def faults(expr: Expr) -> Diagnostic | None:
    """The innermost thing that constant folding finds wrong in one operation: 1/0, g/(1 - 1), log(-1), g^1000."""
    if not isinstance(expr, Apply):
        return None
    last = evaluate(expr.args[-1])
    if last is None:
        return None
    values = [*(evaluate(a) for a in expr.args[:-1]), last]
    if expr.op == "div" and last == 0:
        return Diagnostic("E401", "division by zero", expr.args[-1].span, help="this divisor is always 0")
    if expr.op == "pow" and isinstance(last, float) and MAX_EXPONENT < abs(last) < math.inf:
        help = "no optimizer needs such a power; `exp` grows as fast as anything"
        return Diagnostic("E402", f"an exponent beyond {MAX_EXPONENT}", expr.args[-1].span, help=help)
    if None in values or any(isinstance(v, float) and not math.isfinite(v) for v in values):
        return None
    value = _apply(expr.op, values)
    if math.isfinite(value) and abs(value) <= FLOAT32_MAX:
        return None
    what = "is not a number" if math.isnan(value) else "is not finite in float32"
    return Diagnostic("E401", f"this {what}", expr.span, help="it is the same at every step")
