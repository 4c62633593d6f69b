"""What can be proven about an expression's values before any step runs: bounds, zeros, infinities, NaN, shape.

Facts speak of the extended reals: every real number, both infinities, NaN and both zeros, with IEEE 754's rules
between them but without rounding, overflow or underflow. A fact says what *may* be; what it excludes cannot happen.
`analysis.py` finds the facts of a whole rule; nothing is rewritten here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import erf, inf, isinf, tanh
from typing import NamedTuple

HOST = 0
SHAPES = {"model": 1, "tensor": 3, "matrix": 7, "row": 15, "col": 23, "element": 31, "row_pair": 31, "col_pair": 31}
"""A shape is the set of scopes it varies over, as bits: broadcasting two shapes is `|`, and row | col = element."""
ELEMENT = SHAPES["element"]


class Fact(NamedTuple):
    """`low` and `high` enclose every value that is not NaN; the four flags say which special values may occur."""

    low: float = -inf
    high: float = inf
    zero: bool = True
    infinite: bool = True
    nan: bool = True
    minus_zero: bool = True
    shape: int = ELEMENT

    def either(self, other: Fact) -> Fact:
        """What holds of a value that is one of the two."""
        return Fact(
            min(self.low, other.low),
            max(self.high, other.high),
            self.zero or other.zero,
            self.infinite or other.infinite,
            self.nan or other.nan,
            self.minus_zero or other.minus_zero,
            self.shape | other.shape,
        )

    @property
    def nonnegative(self) -> bool:
        return self.low >= 0


UNKNOWN = Fact()
CONDITION = Fact(0.0, 1.0, infinite=False, nan=False, minus_zero=False)


def literal(value: float) -> Fact:
    """The fact of one known number on the host."""
    is_nan = value != value
    bounds = (-inf, inf) if is_nan else (value + 0.0, value + 0.0)
    return Fact(*bounds, value == 0, isinf(value), is_nan, value == 0 and str(value)[0] == "-", HOST)


# ---------------------------------------------------------------- what operators do to facts


def _times(x: float, y: float) -> float:
    return 0.0 if x == 0 or y == 0 else x * y


def _add(a: Fact, b: Fact) -> Fact:
    low, high = a.low + b.low, a.high + b.high
    low, high = (-inf if low != low else low), (inf if high != high else high)
    opposite = a.infinite and b.infinite and (min(a.low, b.low) == -inf and max(a.high, b.high) == inf)
    return Fact(
        low,
        high,
        low <= 0 <= high and not (low == 0 and a.nonnegative and b.nonnegative and not (a.zero and b.zero)),
        a.infinite or b.infinite,
        a.nan or b.nan or opposite,
        a.minus_zero and b.minus_zero,
    )


def _mul(a: Fact, b: Fact) -> Fact:
    corners = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    zero = a.zero or b.zero
    positive = a.nonnegative and b.nonnegative and not (a.minus_zero or b.minus_zero)
    return Fact(
        min(corners),
        max(corners),
        zero,
        a.infinite or b.infinite,
        a.nan or b.nan or (a.zero and b.infinite) or (b.zero and a.infinite),
        zero and not positive,
    )


def _inverse(x: float) -> float:
    return inf if x == 0 else 1 / x


def _reciprocal(a: Fact) -> Fact:
    positive = a.low > 0 or (a.low == 0 and not a.minus_zero)
    low, high = (_inverse(a.high), _inverse(a.low)) if positive or a.high < 0 else (-inf, inf)
    return Fact(low, high, a.infinite, a.zero, a.nan, a.infinite and a.low == -inf)


def _neg(a: Fact) -> Fact:
    return Fact(-a.high, -a.low, a.zero, a.infinite, a.nan, a.zero)


def _abs(a: Fact) -> Fact:
    low = 0.0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high))
    return Fact(low, max(abs(a.low), abs(a.high)), a.zero, a.infinite, a.nan, False)


def _square(a: Fact) -> Fact:
    size = _abs(a)
    return size._replace(low=_times(size.low, size.low), high=_times(size.high, size.high))


def _sqrt(a: Fact) -> Fact:
    high = inf if a.high == inf else max(0.0, a.high) ** 0.5
    return Fact(
        max(0.0, a.low) ** 0.5 if a.low < inf else inf, high, a.zero, a.infinite, a.nan or a.low < 0, a.minus_zero
    )


def _pow(a: Fact, b: Fact) -> Fact:
    if b.low == b.high and b.low in range(1, 65):
        return power(a, int(b.low))
    if not a.nonnegative or (a.minus_zero and b.low < 0):
        return UNKNOWN
    high = float(a.high**b.low) if a.high <= 1 and b.low >= 0 else inf
    zero = a.zero or a.infinite or b.infinite
    infinite = a.infinite or b.infinite or (b.low < 0 and a.zero)
    return Fact(0.0, high, zero, infinite, a.nan or b.nan, a.minus_zero)


def _monotone_bounds(f: Callable[[float], float]) -> Callable[[Fact], Fact]:
    def fact(a: Fact) -> Fact:
        return Fact(f(a.low), f(a.high), a.zero, False, a.nan, a.minus_zero)

    return fact


def _exp(a: Fact) -> Fact:
    return Fact(1.0 if a.low >= 0 else 0.0, 1.0 if a.high <= 0 else inf, a.low == -inf and a.infinite,
                a.infinite and a.high == inf, a.nan, False)  # fmt: skip


def _wave(a: Fact) -> Fact:
    return Fact(-1.0, 1.0, True, False, a.nan or a.infinite, True)


def _log(a: Fact) -> Fact:
    return Fact(0.0 if a.low >= 1 else -inf, inf, True, a.infinite or a.zero, a.nan or a.low < 0, False)


def _cbrt(a: Fact) -> Fact:
    return Fact(0.0 if a.nonnegative else -inf, inf, a.zero, a.infinite, a.nan, a.minus_zero)


def _floor(a: Fact) -> Fact:
    low = a.low if isinf(a.low) else float(a.low // 1)
    return Fact(low, a.high, a.low < 1 and a.high >= 0, a.infinite, a.nan, a.minus_zero)


def _mod(a: Fact, b: Fact) -> Fact:
    return Fact(min(0.0, b.low), max(0.0, b.high), True, b.infinite, True, True)


def _min(a: Fact, b: Fact) -> Fact:
    return a.either(b)._replace(low=min(a.low, b.low), high=min(a.high, b.high), infinite=_min_infinite(a, b))


def _min_infinite(a: Fact, b: Fact) -> bool:
    return (a.infinite and a.low == -inf) or (b.infinite and b.low == -inf) or (a.infinite and b.infinite)


def _max(a: Fact, b: Fact) -> Fact:
    return _neg_exact(_min(_neg_exact(a), _neg_exact(b)))


def _neg_exact(a: Fact) -> Fact:
    """Negation that leaves the sign of zero alone, for mirroring `min` into `max`."""
    return a._replace(low=-a.high, high=-a.low)


def _lerp(a: Fact, b: Fact, w: Fact) -> Fact:
    """a + w(b - a), which lies between a and b for a w from 0 to 1."""
    spelled = _add(a, _mul(w, _add(b, _neg(a))))
    if not (w.low >= 0 and w.high <= 1):
        return spelled
    low, high = min(a.low, b.low), max(a.high, b.high)
    return spelled._replace(low=max(spelled.low, low), high=min(spelled.high, high))


def _where(c: Fact, x: Fact, y: Fact) -> Fact:
    return x.either(y)


TRANSFER: dict[str, Callable[..., Fact]] = {
    "add": _add,
    "sub": lambda a, b: _add(a, _neg(b)),
    "mul": _mul,
    "div": lambda a, b: _mul(a, _reciprocal(b)),
    "mod": _mod,
    "pow": _pow,
    "neg": _neg,
    "sqrt": _sqrt,
    "cbrt": _cbrt,
    "exp": _exp,
    "log": _log,
    "sin": _wave,
    "cos": _wave,
    "tanh": _monotone_bounds(tanh),
    "erf": _monotone_bounds(erf),
    "sign": _monotone_bounds(lambda x: float((x > 0) - (x < 0))),
    "abs": _abs,
    "floor": _floor,
    "square": _square,
    "min": _min,
    "max": _max,
    "clip": lambda x, low, high: _min(_max(x, low), high),
    "lerp": _lerp,
    "where": _where,
}
"""One row for each real operator of `operators.OPERATORS`; conditions are all `CONDITION`."""


@lru_cache(maxsize=1 << 14)
def apply(op: str, given: tuple[Fact, ...]) -> Fact:
    """The fact of an operator's result, from those of its arguments."""
    shape = HOST
    for fact in given:
        shape |= fact.shape
    transfer = TRANSFER.get(op)
    if transfer is None:
        result = CONDITION
    elif op in ("min", "max"):
        result = given[0]
        for fact in given[1:]:
            result = transfer(result, fact)
    else:
        result = transfer(*given)
    return _tightened(result, shape)


def _tightened(f: Fact, shape: int) -> Fact:
    """What the bounds exclude, the flags exclude too."""
    zero = f.zero and f.low <= 0 <= f.high
    infinite = f.infinite and (f.low == -inf or f.high == inf)
    # Facts are looked up by what they equal: a bound of -0.0 would be taken for 0.0, whichever came first.
    return Fact(f.low + 0.0, f.high + 0.0, zero, infinite, f.nan, f.minus_zero and zero, shape)


def observes_zero_sign(op: str, args: tuple[Fact, ...]) -> bool:
    """Whether an operator may turn the sign of a zero into the sign of an infinity."""
    if op == "div":
        return args[1].zero
    # An even power hides the sign itself, but not after it has been rewritten as a quotient.
    return op == "pow" and args[0].zero and args[1].low < 0


def rounded(x: Fact) -> Fact:
    """The fact of `cast(x, dtype)`: rounding keeps signs, and may overflow, underflow or (in fp8) become NaN."""
    return Fact(0.0 if x.nonnegative else -inf, minus_zero=x.minus_zero or x.low < 0, shape=x.shape)


def reduced(op: str, args: Sequence[Fact], shape: int) -> Fact:
    """The fact of a reduction's result, which has the shape given."""
    x = args[0]
    possible = UNKNOWN._replace(shape=shape)
    if all(f.low == f.high == 0 and not f.nan for f in args):
        return literal(0.0)._replace(shape=shape)
    if op in ("norm", "rms"):
        return possible._replace(low=0.0, minus_zero=False)
    if op == "dot" or not x.nonnegative:
        return possible
    return possible._replace(low=0.0, minus_zero=x.minus_zero)


@lru_cache(maxsize=1 << 12)
def power(x: Fact, count: int) -> Fact:
    """The fact of x*x*...*x."""
    result = x if count % 2 else _square(x)
    for _ in range((count - 1) // 2):
        result = _mul(result, _square(x))
    return _tightened(result, x.shape)
