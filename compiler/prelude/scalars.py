"""Float64 arithmetic on Python numbers that never raises: what IEEE 754 says, where `math` would throw.

The generated modules hold copies of those functions that their rule needs.
"""

from __future__ import annotations

import math


def divide(x: float, y: float) -> float:
    if y != 0.0 or math.isnan(x):
        return x / y if y != 0.0 else math.nan
    return math.nan if x == 0.0 else math.copysign(math.inf, x) * math.copysign(1.0, y)


def power(x: float, y: float) -> float:
    if x < 0.0 and math.isfinite(y) and not y.is_integer():
        return math.nan
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0.0 and y % 2.0 == 1.0 else math.inf
    except ValueError:  # 0 to a negative power
        return math.copysign(math.inf, x) if y % 2.0 == 1.0 else math.inf


def modulo(x: float, y: float) -> float:
    if y == 0.0 or math.isinf(x):
        return math.nan
    return x % y


def square_root(x: float) -> float:
    return math.nan if x < 0.0 else math.sqrt(x)


def cube_root(x: float) -> float:
    return math.cbrt(x)


def exponential(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def logarithm(x: float) -> float:
    if x == 0.0:
        return -math.inf
    return math.nan if x < 0.0 else math.log(x)


def sine(x: float) -> float:
    return math.nan if math.isinf(x) else math.sin(x)


def cosine(x: float) -> float:
    return math.nan if math.isinf(x) else math.cos(x)


def signum(x: float) -> float:
    return x if math.isnan(x) else float((x > 0.0) - (x < 0.0))


def round_down(x: float) -> float:
    return math.copysign(math.floor(x), x) if math.isfinite(x) else x


def minimum(x: float, y: float) -> float:
    return x if x < y or math.isnan(x) else y


def maximum(x: float, y: float) -> float:
    return x if x > y or math.isnan(x) else y


def clip(x: float, low: float, high: float) -> float:
    return minimum(maximum(x, low), high)


def lerp(a: float, b: float, w: float) -> float:
    return a + w * (b - a)
