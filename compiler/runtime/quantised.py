"""States kept as one byte an element and one scale a block: numbers to codes and back.

This file's text is part of each generated module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .dtensor import cut_like, full
from .rounding import dithered, dropped
from .rule import State, computing

IN_BLOCK = 256
"""Elements that share a scale, in the order of the flattened parameter; the last block may have fewer."""

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0, torch.uint8: 1.875}
"""The number, in units of its scale, that a block's largest magnitude is stored as; `torch.uint8` are codes of ufp8."""

UFP8 = 96 << 3
"""A code of ufp8 is the exponent and the first three bits after the point of a float32, less this: 2^-31 is out of
reach as code 0, which stands for 0, and 1.875 is code 255. There is no sign."""


class Quantised(State):
    """A state per element, stored as codes of `dtype` with float32 scales beside them."""

    @property
    def scale(self) -> str:
        """Where the scales are kept, in the same dictionary as the codes."""
        return f"{self.name}_scale"

    def first(self, theta: Tensor) -> Tensor:
        """The state before the first step, not yet as codes."""
        dtype, order = computing(theta.dtype), torch.contiguous_format
        return torch.full_like(theta, self.fill or 0.0, dtype=dtype, memory_format=order)

    def kept(self, x: Tensor) -> dict[str, Tensor]:
        """What is put into a parameter's memory for the numbers x."""
        codes, scale = encoded(full(x), self.dtype)
        return {self.name: cut_like(codes, x), self.scale: scale}

    def read(self, memory: dict[str, Any], dtype: torch.dtype) -> Tensor:
        """The numbers that a parameter's memory has of it, in the dtype of arithmetic."""
        codes = memory[self.name]
        return cut_like(decoded(full(codes), memory[self.scale], dtype), codes)  # type: ignore[no-any-return]


def encoded(x: Tensor, dtype: Any, bits: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Codes of x's shape, rounded to nearest or by 16 random bits each, and the float32 scale of each block.

    A block of zeros has scale 0. One that holds a NaN, an infinity, what is too large for float32, or in ufp8 a
    negative number, has scale NaN, and so reads as NaN throughout: nothing is clipped in silence.
    """
    flat, largest = x.reshape(-1), LARGEST[dtype]
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % IN_BLOCK)).view(-1, IN_BLOCK)
    most = padded.abs().amax(1)
    scale = (most / most.new_full((), largest)).float()  # by a number a GPU would multiply with its rounded reciprocal
    allowed = scale.isfinite() if dtype != torch.uint8 else scale.isfinite() & ~(padded < 0).any(1)
    scale = torch.where(allowed, scale, torch.nan)
    each = per_element(scale, flat)
    numbers = torch.where(each > 0, flat / each, 0.0).clamp(-largest, largest)
    near = NEAREST[dtype](numbers) if bits is None else AT_RANDOM[dtype](numbers.float(), bits.reshape(-1))
    return near.to(dtype).view(x.shape), scale


def decoded(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers that codes stand for, in the dtype of arithmetic."""
    flat = codes.reshape(-1)
    numbers = of_ufp8(flat).to(dtype) if codes.dtype == torch.uint8 else flat.to(dtype)
    return (numbers * per_element(scale, numbers)).view(codes.shape)


def per_element(scale: Tensor, flat: Tensor) -> Tensor:
    return scale.to(flat.dtype).repeat_interleave(IN_BLOCK)[: len(flat)]


# ---------------------------------------------------------------- one number to one code


def of_ufp8(codes: Tensor) -> Tensor:
    return torch.where(codes > 0, ((codes.int() + UFP8) << 20).view(torch.float32), 0.0)


def to_ufp8(x: Tensor, rounded: Tensor) -> Tensor:
    """Codes of numbers that were rounded to four significant bits. What is not 0 does not become 0."""
    codes = ((rounded.view(torch.int32) >> 20) - UFP8).clamp(1, 255)
    return torch.where(x > 0, codes, 0)


def nearest_ufp8(x: Tensor) -> Tensor:
    x = x.float()
    bits = x.view(torch.int32)
    return to_ufp8(x, (bits + 0x7FFFF + ((bits >> 20) & 1)).view(torch.float32))


def random_e4m3(x: Tensor, bits: Tensor) -> Tensor:
    small = torch.copysign(dithered(x.abs() * 512, bits) / 512, x)  # subnormals have fixed spacing
    return torch.where(x.abs() < 2.0**-6, small, dropped(x, bits, 20))


NEAREST: dict[torch.dtype, Any] = {
    torch.int8: torch.round,
    torch.float8_e4m3fn: lambda x: x,  # torch's conversion rounds
    torch.uint8: nearest_ufp8,
}
AT_RANDOM: dict[torch.dtype, Any] = {
    torch.int8: lambda x, bits: torch.copysign(dithered(x.abs(), bits), x),
    torch.float8_e4m3fn: random_e4m3,
    torch.uint8: lambda x, bits: to_ufp8(x, dropped(x, bits, 20)),
}
