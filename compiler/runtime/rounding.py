"""Rounds numbers to fewer bits at random, up or down in proportion to nearness; draws the random bits by Philox.

A draw depends on a seed, a parameter's place, the step, what is rounded and the element's index, and on nothing else.
This file's text is part of each generated module.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOW = 0xFFFFFFFF

STREAMS = 0x40000000
"""Streams of random bits begin here, one for the parameter and one for each state; `noise()` counts its own from 0."""


def philox(counter: list[Tensor], key: list[Tensor]) -> list[Tensor]:
    """Philox 4x32-10 (Salmon et al., 2011): four words of 32 bits from four of counter and two of key, as int64."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = ((q >> 32) & LOW) ^ b ^ k0, q & LOW, ((p >> 32) & LOW) ^ d ^ k1, p & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return [a, b, c, d]


def draws(like: Tensor, key: tuple[int | Tensor, ...], stream: int, first: int = 0) -> Tensor:
    """16 random bits for each element, int32 of like's shape; `key` is (seed, parameter, step).

    The elements are those from the index `first` on, where like is a part of the parameter.
    One call of Philox serves eight elements that follow one another: the low half of its first word the first of them.
    """
    last = first + like.numel()
    at = torch.arange(first // 8, -(-last // 8), device=like.device)
    seed, place, t = (x.long() if isinstance(x, Tensor) else torch.full((), x, device=like.device) for x in key)
    counter = [at & LOW, at >> 32, (t & LOW).expand_as(at), torch.full_like(at, STREAMS + stream)]
    words = philox(counter, [place & LOW, seed & LOW])
    halves = torch.stack([half for word in words for half in (word & 0xFFFF, word >> 16)], 1)
    return halves.reshape(-1)[first % 8 :][: like.numel()].view(like.shape).int()


def dithered(x: Tensor, bits: Tensor) -> Tensor:
    """x >= 0 rounded to a whole number: up with the probability of its fraction, to within 2^-16 below."""
    whole = torch.floor(x)
    return whole + (bits < torch.floor((x - whole) * 65536))


def dropped(x: Tensor, bits: Tensor, count: int) -> Tensor:
    """Float32 numbers without the last `count` bits of their significands, at random the one nearer to 0 or the next.

    What is dropped is the probability of the next: exactly, where `count` is 16 at most, else to within 2^-16 below.
    """
    random = bits << (count - 16) if count > 16 else bits & ((1 << count) - 1)
    return ((x.view(torch.int32) + random) & -(1 << count)).view(torch.float32)


def stochastic(x: Tensor, dtype: torch.dtype, bits: Tensor) -> Tensor:
    """x in bfloat16 or float16, rounded to one of its two neighbours; the expected value is x.

    What the dtype can hold stays as it is. Beyond its largest number, where one neighbour would be an infinity, and for
    what is no number, this is rounding to nearest. A float64 is rounded to float32 before.
    """
    x = x.float()
    if dtype == torch.bfloat16:
        near = dropped(x, bits, 16)
    else:
        small = torch.copysign(dithered(x.abs() * 2.0**24, bits) * 2.0**-24, x)  # subnormals have fixed spacing
        near = torch.where(x.abs() < torch.finfo(dtype).tiny, small, dropped(x, bits, 13))
    return torch.where(x.abs() <= torch.finfo(dtype).max, near, x).to(dtype)
