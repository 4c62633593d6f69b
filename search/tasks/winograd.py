"""Convolutions by 3x3 filters in bfloat16 as a differentiable function with 4/9 of their multiplications, in C.

Where it cannot serve (other devices, dtypes, orders or sizes, several threads, no C compiler, a processor that does not
multiply bfloat16 numbers) `served` says so, and the caller has torch do it. Factors are rounded to bfloat16 after they
were transformed and not before, so results differ from torch's as two roundings differ.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .native import compiled, passed

FILES = ("winograd_tiles.c", "winograd.c")
CHANNELS = 32
"""Channels on both sides are a multiple of this."""
LAST = torch.channels_last


def served(x: Tensor, filters: Tensor) -> bool:
    """Whether the images (B, C, H, W) by the filters (F, C, 3, 3), with a border of zeros, can be had here."""
    if not (x.dtype == torch.bfloat16 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
        return False
    if x.dim() != 4 or not x.numel() or (x.shape[2] | x.shape[3]) & 1 or not x.is_contiguous(memory_format=LAST):
        return False
    if torch.get_autocast_dtype("cpu") != torch.bfloat16 or filters.dtype != torch.float32:
        return False
    return not any(n % CHANNELS for n in filters.shape[:2]) and torch.get_num_threads() == 1 and available()


@cache
def available() -> bool:
    """Whether this machine can; the first call compiles, which takes a second and is kept on disk."""
    library = compiled(FILES).get(wait=True)
    return library is not None and bool(library.supported())


def convolution(x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
    """The images (B, C, H, W), bfloat16, by float32 filters (F, C, 3, 3), plus the bias (F,): (B, F, H, W)."""
    return _Winograd.apply(x, filters, bias)  # type: ignore[no-any-return]


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, filters)
        return _convolved(x, filters, bias, back=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, filters = ctx.saved_tensors
        dy = dy.contiguous(memory_format=LAST)
        dfilters, dbias = torch.empty_like(filters, memory_format=LAST), filters.new_empty(len(filters))
        _call("convolve_filters", x, dy, dfilters, dbias, *_sizes(x), len(filters))
        return _convolved(dy, filters, None, back=True) if ctx.needs_input_grad[0] else None, dfilters, dbias


def _convolved(x: Tensor, filters: Tensor, bias: Tensor | None, back: bool) -> Tensor:
    images, _, height, width = x.shape
    to = filters.shape[1 if back else 0]
    y = torch.empty((images, to, height, width), dtype=x.dtype, memory_format=LAST)
    _call("convolve", x, filters.contiguous(memory_format=LAST), bias, y, *_sizes(x), to, int(back))
    return y


def _sizes(x: Tensor) -> tuple[int, int, int, int]:
    images, channels, height, width = x.shape
    return images, height, width, channels


def _call(name: str, *arguments: Tensor | float | None) -> None:
    library = compiled(FILES).get(wait=True)
    assert library is not None
    if not library[name](*map(passed, arguments)):
        raise MemoryError(f"no memory for a convolution of {arguments[4]} images")
