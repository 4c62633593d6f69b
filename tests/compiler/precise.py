"""What the tests of precision share: parameters of few bits, their gradients, and how they are compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.dsl.load import zoo

AdamW: Any = load(zoo("adamw"))
HALVES = (torch.bfloat16, torch.float16)
EVERY_HALF = torch.arange(-(2**15), 2**15).to(torch.int16)
"""All bit patterns of 16 bits."""


def bits_of(x: Tensor) -> Tensor:
    return x.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in every bit, but that all NaN are one."""
    nan = a.isnan() & b.isnan() if a.is_floating_point() else torch.zeros_like(a, dtype=torch.bool)
    return a.dtype == b.dtype and bool(((bits_of(a) == bits_of(b)) | nan).all())


def hard_numbers(dtype: torch.dtype) -> Tensor:
    """Both signs, every exponent, subnormals of the dtype and of float32, and the last number before an overflow."""
    draw = torch.Generator().manual_seed(3)
    exponents = torch.arange(-148, 128).repeat(8)
    x = (torch.rand(exponents.shape, generator=draw, dtype=torch.float64) + 1) * 2.0 ** exponents.double()
    x = torch.cat([x, -x]).float()
    return x[x.abs() <= torch.finfo(dtype).max]


def parameter(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> nn.Parameter:
    draw = torch.Generator().manual_seed(seed)
    return nn.Parameter(torch.randn(shape, generator=draw).to(dtype))


def give_gradients(ps: list[nn.Parameter], t: int) -> None:
    draw = torch.Generator().manual_seed(1000 + t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=draw).to(p.dtype)


def run(optimizer: Any, ps: list[nn.Parameter], first: int, last: int) -> None:
    for t in range(first, last + 1):
        give_gradients(ps, t)
        optimizer.step()
