"""Literals → the literal that an operator makes of them, where folding loses nothing but rounding."""

from __future__ import annotations

from collections.abc import Sequence

from .operators import OPERATORS

SMALLEST, LARGEST = 1.1754943508222875e-38, 3.4028234663852886e38
"""The range of normal float32 numbers: a literal meets tensors in float32."""


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
