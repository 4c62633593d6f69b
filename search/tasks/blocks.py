"""Two blocks of layers as differentiable functions that each take one or two passes over memory, in C, on one thread.

They do what torch's layers do one after another, for images in channels-last order on a CPU. Where they cannot serve
(other devices, orders or sizes, several threads, no C compiler) `served` says so, and the caller has torch do it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...compiler.runtime.cc import CompiledC
from .native import compiled, passed

FORMATS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
FUNCTIONS = ("pool_forward", "pool_backward", "norm_forward", "norm_backward")
LAST = torch.channels_last


def served(x: Tensor) -> bool:
    """Whether the blocks can take these images, (B, C, H, W)."""
    if x.device.type != "cpu" or x.dtype not in FORMATS or torch.get_num_threads() > 1 or not x.numel():
        return False
    return x.dim() == 4 and x.is_contiguous(memory_format=LAST) and available()


@cache
def available() -> bool:
    """Whether this machine has them; the first call compiles, which takes a second and is kept on disk."""
    made = [_compiled(name, dtype) for dtype in FORMATS for name in FUNCTIONS]
    return all(code.get(wait=True) is not None for code in made)


def pool_relu_dropout(x: Tensor, bits: Tensor | None, dropped: int, scale: float) -> Tensor:
    """Max pooling by 2, ReLU, and where there are random int16 `bits`, one an output in channels-last order, dropout.

    An output whose bits are under `dropped` is 0; others are multiplied by `scale`. H and W must be even.
    """
    return _Pool.apply(x, bits, dropped, scale)  # type: ignore[no-any-return]


def norm_relu(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """ReLU of the images normalised over the batch, and each channel's mean and variance in it, (C,) both."""
    return _Norm.apply(x, weight, bias, eps)  # type: ignore[no-any-return]


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: Tensor | None, dropped: int, scale: float) -> Tensor:
        images, channels, height, width = x.shape
        y = torch.empty((images, channels, height // 2, width // 2), dtype=x.dtype, memory_format=LAST)
        origin = torch.empty_like(y, dtype=torch.uint8)
        _call("pool_forward", x.dtype, x, bits, y, origin, images, height, width, channels, dropped, scale)
        ctx.save_for_backward(origin)
        ctx.shape, ctx.scale = x.shape, scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
        (origin,) = ctx.saved_tensors
        images, channels, height, width = ctx.shape
        dy = dy.contiguous(memory_format=LAST)
        dx = torch.empty(ctx.shape, dtype=dy.dtype, memory_format=LAST)
        _call("pool_backward", dy.dtype, dy, origin, dx, images, height, width, channels, ctx.scale)
        return dx, None, None, None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        channels = x.shape[1]
        y, mean, variance = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        _call("norm_forward", x.dtype, x, weight, bias, y, mean, variance, x.numel() // channels, channels, eps)
        ctx.save_for_backward(x, weight, bias, mean, variance)
        ctx.mark_non_differentiable(mean, variance)
        ctx.eps = eps
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, bias, mean, variance = ctx.saved_tensors
        channels = x.shape[1]
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        found = (dy.contiguous(memory_format=LAST), x, weight, bias, mean, variance, dx, dweight, dbias)
        _call("norm_backward", x.dtype, *found, x.numel() // channels, channels, ctx.eps)
        return dx, dweight, dbias, None


# ---------------------------------------------------------------- C


def _call(name: str, dtype: torch.dtype, *arguments: Tensor | float | None) -> None:
    library = _compiled(name, dtype).get(wait=True)
    assert library is not None
    library.step(*map(passed, arguments))


def _compiled(name: str, dtype: torch.dtype) -> CompiledC:
    return compiled(("blocks.c",), f"FORMAT={FORMATS[dtype]}", f"{name}=step")
