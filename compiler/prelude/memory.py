"""How a kernel makes numbers of what lies in memory, and keeps them: as codes with scales, with masters, at random.

Blocks in, blocks out. Each function has its twin by torch in the runtime (`runtime/quantised.py`, `runtime/master.py`,
`runtime/rounding.py`) and gives the same bits, by whole numbers where Triton's own conversions depend on the GPU or
differ in its interpreter. The generated modules hold copies of those functions that their rule needs.
"""

# ruff: noqa: RET505  Triton compiles what stands behind a return, unless it is the other branch of a static condition.
# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from .triton import block_cast, block_div


@triton.jit
def block_pointer(address, dtype: tl.constexpr):
    """Where a state begins, as whole blocks may read it. `tl.float8e4nv` says that bytes are codes of fp8: not every
    GPU has the dtype. What is said of a call's result, Triton 3.6 forgets, so it is said here.
    """
    if dtype == tl.float8e4nv:
        return tl.multiple_of(address.to(tl.pointer_type(tl.uint8)), 16)
    else:
        return tl.multiple_of(address.to(tl.pointer_type(dtype)), 16)


# ---------------------------------------------------------------- codes of eight bits


@triton.jit
def block_state(x, dtype: tl.constexpr, scales, place, left, compute: tl.constexpr):
    """The numbers that the elements from `place` on stand for: codes times their scales, others as they are.

    `scales` is where the tensor's scales begin, one for each 256 elements; `left` are those that are still to do.
    """
    if dtype == tl.float64:
        return x
    elif dtype == tl.int8:
        return block_scaled(x.to(compute), scales, place, left)
    elif dtype == tl.uint8:
        return block_scaled(block_of_ufp8(x).to(compute), scales, place, left)
    elif dtype == tl.float8e4nv:
        return block_scaled(block_of_fp8(x).to(compute), scales, place, left)
    else:
        return x.to(compute)


@triton.jit
def block_scaled(x, scales, place, left):
    """Each 256 elements times their scale."""
    rows: tl.constexpr = x.shape[0] // 256
    each = tl.arange(0, rows)[:, None]
    scale = tl.load(scales + place // 256 + each, mask=each * 256 < left, other=0.0)
    return tl.reshape(tl.reshape(x, [rows, 256]) * scale.to(x.dtype), x.shape)


@triton.jit
def block_state_kept(
    x,
    dtype: tl.constexpr,
    compute: tl.constexpr,
    scales,
    place,
    at,
    left,
    key,
    stream: tl.constexpr,
    dithered: tl.constexpr,
):
    """What is stored of the numbers of a state, rounded at random if `dithered`; scales are stored on the way."""
    if dtype == tl.int8 or dtype == tl.uint8 or dtype == tl.float8e4nv:
        most: tl.constexpr = 127.0 if dtype == tl.int8 else 1.875 if dtype == tl.uint8 else 448.0
        y = block_units(x.to(compute), most, dtype == tl.uint8, scales, place, left)
        random = block_draws(place, at, key, stream) if dithered else None
        if dtype == tl.int8:
            return block_to_int8(y, random)
        elif dtype == tl.uint8:
            return block_to_ufp8(y.to(tl.float32), random)
        else:
            return block_to_fp8(y.to(tl.float32), random)
    else:
        return block_rounded(x, dtype, place, at, key, stream, dithered)


@triton.jit
def block_units(x, most: tl.constexpr, unsigned: tl.constexpr, scales, place, left):
    """Each 256 elements in units of the scale that makes `most` of their largest; the scales are stored.

    A scale is NaN where a number has no code: NaN, infinities, and where `unsigned`, what is below 0. Units are 0 then.
    """
    if unsigned:
        x = tl.where(x < 0, float("nan"), x)
    wide: tl.constexpr = x.dtype == tl.float64
    whole: tl.constexpr = tl.int64 if wide else tl.int32
    sign: tl.constexpr = -0x8000000000000000 if wide else -0x80000000
    rows: tl.constexpr = x.shape[0] // 256
    y = tl.reshape(x, [rows, 256])
    largest = tl.max(
        y.to(whole, bitcast=True) & (-1 - sign), axis=1, keep_dims=True
    )  # as whole numbers NaN is above all
    scale = block_div(largest.to(x.dtype, bitcast=True), tl.full([rows, 1], most, x.dtype)).to(tl.float32)
    scale = tl.where(scale < float("inf"), scale, float("nan"))
    each = tl.arange(0, rows)[:, None]
    tl.store(scales + place // 256 + each, scale, mask=each * 256 < left)
    scale = scale.to(x.dtype)
    y = tl.where(scale > 0, block_div(y, tl.broadcast_to(tl.where(scale > 0, scale, 1.0), y.shape)), 0.0)
    return tl.reshape(tl.minimum(tl.maximum(y, -most), most), x.shape)


@triton.jit
def block_up(x, random):
    """Numbers from 0 on as whole numbers, at random: up with the probability of what they are above one."""
    whole = tl.floor(x)
    return whole + (random < tl.floor((x - whole) * 65536.0).to(tl.int32)).to(tl.float32)


@triton.jit
def block_to_int8(x, random):
    """Codes of int8, to nearest with ties to even where there are no random bits."""
    if random is None:
        shift: tl.constexpr = 6755399441055744.0 if x.dtype == tl.float64 else 12582912.0  # leaves no fraction
        return ((x + shift) - shift).to(tl.int8)
    else:
        x = x.to(tl.float32)
        size = block_up(tl.abs(x), random)
        return tl.where(x < 0, -size, size).to(tl.int8)


@triton.jit
def block_shortened(bits, random):
    """A float32's bits, or its size's, without the last 20: rounded to nearest with ties to even, or at random."""
    if random is None:
        return (bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20
    else:
        return (bits + (random << 4)) >> 20


@triton.jit
def block_to_fp8(x, random):
    """Codes of float8_e4m3fn for float32 numbers of 448 at most."""
    bits = x.to(tl.int32, bitcast=True)
    size = tl.abs(x)
    if random is None:
        small = (size + 16384.0).to(tl.int32, bitcast=True) - 0x46800000  # in units of 2^-9
    else:
        small = block_up(size * 512.0, random).to(tl.int32)
    normal = block_shortened(bits & 0x7FFFFFFF, random) - 960
    return (((bits >> 24) & 0x80) | tl.where(size < 0.015625, small, normal)).to(tl.uint8)


@triton.jit
def block_of_fp8(codes):
    """The float32 numbers of codes of float8_e4m3fn."""
    code = codes.to(tl.int32)
    size = code & 0x7F
    normal = ((size << 20) + 0x3C000000).to(tl.float32, bitcast=True)
    x = tl.where(size < 8, size.to(tl.float32) * 0.001953125, tl.where(size == 0x7F, float("nan"), normal))
    return (x.to(tl.int32, bitcast=True) | ((code & 0x80) << 24)).to(tl.float32, bitcast=True)


@triton.jit
def block_to_ufp8(x, random):
    """Codes of ufp8 for float32 numbers of 1.875 at most; what is not 0 does not become 0."""
    code = block_shortened(x.to(tl.int32, bitcast=True), random) - 768
    return tl.where(x > 0, tl.minimum(tl.maximum(code, 1), 255), 0).to(tl.uint8)


@triton.jit
def block_of_ufp8(codes):
    """The float32 numbers of codes of ufp8."""
    code = codes.to(tl.int32)
    return tl.where(code > 0, ((code + 768) << 20).to(tl.float32, bitcast=True), 0.0)


# ---------------------------------------------------------------- parameters of 16 bits and their masters


@triton.jit
def block_parameter(theta_at, master_at, mask, compute: tl.constexpr):
    """The numbers of a parameter: those of its master where it has one, which then lies elsewhere in another dtype."""
    theta = tl.load(theta_at, mask=mask)
    if master_at.dtype == theta_at.dtype:
        return theta.to(compute)
    else:
        return block_joined(theta, tl.load(master_at, mask=mask))


@triton.jit
def block_parameter_kept(
    x, dtype: tl.constexpr, master: tl.constexpr, master_at, mask, place, at, key, dithered: tl.constexpr
):
    """What is stored of the numbers of a parameter, rounded at random if `dithered`; a master is stored on the way."""
    if master == dtype:
        return block_rounded(x, dtype, place, at, key, 0, dithered)
    else:
        theta, rest = block_split(x.to(tl.float32), dtype, master)
        tl.store(master_at, rest, mask=mask)
        return theta


@triton.jit
def block_joined(theta, master):
    """Float32 numbers from a parameter and its master, or from its own bits and the missing ones."""
    if master.dtype == tl.float32:  # an element that is not its rounding was changed by another hand
        numbers = block_widened(theta)
        return tl.where(block_cast(master, theta.dtype) == numbers, master, numbers)
    else:
        high, low = theta.to(tl.int16, bitcast=True).to(tl.int32), master.to(tl.int32)
        low = tl.where((high & 0x7FFF) == 0, tl.maximum(low, 0), low)
        low = tl.where((high & 0x7FFF) == 0x7F80, tl.minimum(low, 0), low)
        return ((high << 16) + low).to(tl.float32, bitcast=True)


@triton.jit
def block_widened(x):
    """A float32 of 16 bits, in the interpreter also of bfloat16's smallest."""
    if x.dtype == tl.bfloat16:
        return (x.to(tl.int16, bitcast=True).to(tl.int32) << 16).to(tl.float32, bitcast=True)
    else:
        return x.to(tl.float32)


@triton.jit
def block_split(x, dtype: tl.constexpr, master: tl.constexpr):
    """Float32 numbers as a parameter to nearest, and its master or the bits that it lacks of them."""
    bits = tl.where(x != x, 0x7FC00000, x.to(tl.int32, bitcast=True))
    if master == tl.int16:  # ties away from 0, which the missing bits can undo
        near, rest = (bits + 0x8000) >> 16, (((bits + 0x8000) & 0xFFFF) - 0x8000).to(tl.int16)
    else:
        near, rest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, x
    if dtype == tl.bfloat16:
        return near.to(tl.int16).to(tl.bfloat16, bitcast=True), rest
    else:
        return x.to(dtype), rest


# ---------------------------------------------------------------- rounding at random


@triton.jit
def block_draws(place, at, key, stream: tl.constexpr):
    """16 random bits for the elements `place + at`, as `draws` of the runtime; `place` is a multiple of eight.

    `key` points to the parameter's place and, in the upper half, the seed; and to the step.
    """
    eighth = (place >> 3) + (at >> 3)
    low, high = (eighth & 0xFFFFFFFF).to(tl.uint32), (eighth >> 32).to(tl.uint32)
    t = low * 0 + tl.load(key + 1).to(tl.uint32)
    a, b, c, d = tl.philox(tl.load(key), low, high, t, low * 0 + (0x40000000 + stream))
    turn = at & 7
    word = tl.where(turn < 4, tl.where(turn < 2, a, b), tl.where(turn < 6, c, d))
    return tl.where((turn & 1) == 0, word & 0xFFFF, word >> 16).to(tl.int32)


@triton.jit
def block_rounded(x, dtype: tl.constexpr, place, at, key, stream: tl.constexpr, dithered: tl.constexpr):
    """x as it is for a store to round to nearest, or rounded at random."""
    if dithered:
        return block_dithered(x, dtype, place, at, key, stream)
    else:
        return x


@triton.jit
def block_dithered(x, dtype: tl.constexpr, place, at, key, stream: tl.constexpr):
    """x rounded at random to one of its two neighbours in bfloat16 or float16, as `stochastic` of the runtime does."""
    if dtype == tl.bfloat16:
        x = x.to(tl.float32)
        bits = x.to(tl.int32, bitcast=True) + block_draws(place, at, key, stream)
        nearest = block_cast(x, tl.bfloat16).to(tl.int32, bitcast=True)
        bits = tl.where(tl.abs(x) <= 3.3895313892515355e38, bits, tl.where(x != x, 0x7FC00000, nearest))
        x = (bits >> 16).to(tl.int16).to(tl.bfloat16, bitcast=True)
    elif dtype == tl.float16:
        random = block_draws(place, at, key, stream)
        x = x.to(tl.float32)
        bits = x.to(tl.int32, bitcast=True)
        near = ((bits + (random & 8191)) & -8192).to(tl.float32, bitcast=True)
        small = block_up(tl.abs(x) * 16777216.0, random) * 5.9604644775390625e-08
        near = tl.where(tl.abs(x) < 6.103515625e-05, tl.where(bits < 0, small * -1.0, small), near)
        x = tl.where(tl.abs(x) <= 65504.0, near, x)
    return x
