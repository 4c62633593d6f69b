"""Literals → the literal that an operator makes of them, where folding loses nothing but rounding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..operators import OPERATORS

SMALLEST, LARGEST = 1.1754943508222875e-38, 3.4028234663852886e38
"""The range of normal float32 numbers: a literal meets tensors in float32."""
MODERATE = 2.0**20
"""Literals beyond this, or below its inverse, are not multiplied together across a tensor."""


def folded(op: str, values: Sequence[float | None]) -> float | bool | None:
    """An operator's value for literals, in float64; None where one is no literal, or where folding would lose more."""
    operator = OPERATORS[op]
    if None in values or "bool" in operator.takes:
        return None
    import numpy as np

    with np.errstate(all="ignore"):
        result = operator.numpy(np, *(np.float64(v) for v in values))
    if operator.gives == "bool":
        return bool(result)
    return float(result) if representable(op, float(result), values) else None


def representable(op: str, result: float, operands: Sequence[float | None]) -> bool:
    """Whether a result neither overflowed nor underflowed."""
    if result == 0:
        return 0 in operands or op not in ("mul", "div", "pow", "square", "exp")
    return SMALLEST <= abs(result) <= LARGEST


def may_meet(factors: Iterable[float]) -> bool:
    """Whether c1*(c2*x) may become (c1*c2)*x.

    Both must scale the same way: 0.25*(4*x) is infinite where 4*x overflows, and 1e30*(1e-30*x) is 0 where 1e-30*x
    underflows.
    """
    sizes = [abs(c) for c in factors if abs(c) != 1]
    product = 1.0
    for size in sizes:
        product *= size
    if len(sizes) < 2:
        return True
    upwards = all(size > 1 for size in sizes) and product <= MODERATE
    downwards = all(size < 1 for size in sizes) and product >= 1 / MODERATE
    return upwards or downwards
