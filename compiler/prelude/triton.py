"""The operators that Triton has not, or not correctly rounded; block in, block out.

They run alike on a GPU and in Triton's interpreter, so they use no vendor library. The generated modules hold copies of
those functions that their rule needs.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_div(x, y):
    """Correctly rounded in float32, as it always is in float64."""
    if x.dtype == tl.float32 and y.dtype == tl.float32:
        return tl.div_rn(x, y)
    return x / y


@triton.jit
def block_sqrt(x):
    """Correctly rounded in float32, as it always is in float64."""
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    return tl.sqrt(x)


@triton.jit
def block_min(x, y):
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def block_max(x, y):
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def block_clip(x, low, high):
    return block_min(block_max(x, low), high)


@triton.jit
def block_lerp(a, b, w):
    return a + w * (b - a)


@triton.jit
def block_square(x):
    return x * x


@triton.jit
def block_sign(x):
    """A NaN stays one, and -0 becomes 0."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, tl.where(x == 0, 0.0, x)))


@triton.jit
def block_mod(x, y):
    """The remainder with the sign of the divisor, also where it is 0."""
    r = x % y
    return tl.where(r == 0, tl.abs(r) * block_sign(y), tl.where((r < 0) != (y < 0), r + y, r))


@triton.jit
def block_pow(x, y):
    """x^y through float64, NaN wherever a negative base has a fractional exponent."""
    base, exponent = tl.broadcast(x.to(tl.float64), y.to(tl.float64))
    size = tl.exp(exponent * tl.log(tl.abs(base)))
    half = exponent * 0.5
    whole = tl.floor(exponent) == exponent
    odd = whole & (tl.floor(half) != half)
    negative = (base < 0) | ((base == 0) & (1.0 / base < 0))
    undefined = (base < 0) & (whole == 0)
    signed = tl.where(undefined, float("nan"), tl.where(negative & odd, size * -1.0, size))
    one = (exponent == 0) | (base == 1) | ((base == -1) & (tl.abs(exponent) == float("inf")))
    return tl.where(one, 1.0, signed).to(x.dtype)


@triton.jit
def block_cbrt(x):
    """Through float64, with one Newton step."""
    wide = x.to(tl.float64)
    root = block_sign(wide) * tl.exp(tl.log(tl.abs(wide)) / 3.0)
    better = root - (root * root * root - wide) / (3.0 * root * root)
    return tl.where((wide == 0) | (tl.abs(wide) == float("inf")), wide, better).to(x.dtype)


@triton.jit
def block_tanh(x):
    """tanh through float64; near 0, where 1 - exp(-2x) would cancel, by its series."""
    wide = x.to(tl.float64)
    e = tl.exp(-2.0 * tl.abs(wide))
    small = wide * (1.0 - wide * wide / 3.0)
    return tl.where(tl.abs(wide) < 1e-4, small, block_sign(wide) * (1.0 - e) / (1.0 + e)).to(x.dtype)


@triton.jit
def block_cast(x, dtype: tl.constexpr):
    """x rounded to the nearest value of a dtype, ties to even; arithmetic goes on in x's own."""
    if dtype == tl.bfloat16:
        bits = x.to(tl.float32).to(tl.uint32, bitcast=True)
        even = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return tl.where(x != x, x, even.to(tl.float32, bitcast=True).to(x.dtype))
    return x.to(dtype).to(x.dtype)


@triton.jit
def block_total(x):
    """The sum of a block, in float64."""
    return tl.sum(x.to(tl.float64))


@triton.jit
def block_largest(x):
    """The largest of a block, in float64; NaN if any is."""
    wide = x.to(tl.float64)
    undefined = tl.max((wide != wide).to(tl.int32))
    return tl.where(undefined > 0, float("nan"), tl.max(wide))


@triton.jit
def tile_total(x, axis: tl.constexpr):
    """The sums along an axis, in float64; the axis stays."""
    return tl.sum(x.to(tl.float64), axis=axis, keep_dims=True)


@triton.jit
def tile_largest(x, axis: tl.constexpr):
    """The largest along an axis, in float64, NaN if any is; the axis stays."""
    wide = x.to(tl.float64)
    undefined = tl.max((wide != wide).to(tl.int32), axis=axis, keep_dims=True)
    return tl.where(undefined > 0, float("nan"), tl.max(wide, axis=axis, keep_dims=True))


@triton.jit
def block_noise(at, key, index: tl.constexpr, compute: tl.constexpr):
    """Standard normal numbers for the elements `at`, by Philox 4x32-10, Box and Muller, as `noise` of torch's part."""
    seed, place, t = tl.load(key).to(tl.int64), tl.load(key + 1).to(tl.int64), tl.load(key + 2).to(tl.int64)
    low, high = (at & 0xFFFFFFFF).to(tl.uint32), (at >> 32).to(tl.uint32)
    a, b, _, _ = tl.philox(place | (seed << 32), low, high, low * 0 + t.to(tl.uint32), low * 0 + index)
    u, v = (a.to(compute) + 0.5) / 4294967296.0, (b.to(compute) + 0.5) / 4294967296.0
    return tl.sqrt(-2.0 * tl.log(u)) * tl.cos(6.283185307179586 * v)
