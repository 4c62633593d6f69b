"""What is known of the values that a rule starts from: its hyperparameters, the gradient, sizes, noise."""

from __future__ import annotations

from math import inf, nextafter, pi

from ..rule import Param
from .facts import CONDITION, HOST, UNKNOWN, Fact, literal


def of_param(param: Param) -> Fact:
    """What a hyperparameter's type and interval promise, since a violation never gets past the constructor."""
    if param.type == "bool":
        return CONDITION._replace(shape=HOST)
    whole = param.type == "int"
    if param.interval is None:
        return Fact(infinite=not whole, nan=not whole, minus_zero=not whole, shape=HOST)
    i = param.interval
    closed_infinity = (i.low == -inf and not i.low_open) or (i.high == inf and not i.high_open)
    low = nextafter(i.low, inf) if i.low_open and i.low > -inf else i.low
    high = nextafter(i.high, -inf) if i.high_open and i.high < inf else i.high
    return Fact(low, high, 0.0 in i, closed_infinity, False, 0.0 in i and not whole, HOST)


def _count(low: float) -> Fact:
    return Fact(low, inf, zero=low <= 0, infinite=False, nan=False, minus_zero=False, shape=HOST)


NOISE = Fact(infinite=False, nan=False)

GIVEN = {
    "g": UNKNOWN,
    "theta": UNKNOWN,
    "t": _count(1),
    "ndim": _count(0),
    "rows": _count(0),
    "cols": _count(0),
    "numel": _count(0),
    "pi": literal(pi),
    "inf": literal(inf),
}
