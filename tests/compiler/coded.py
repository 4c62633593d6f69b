"""An AdamW whose averages are codes, its parameters and gradients, and what its memory holds: for several tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from optc.compiler.load import load

ADAMW = """
optimizer Coded
param lr = 1e-2 in [0, inf)
param beta1 = 0.9 in [0, 1)
param beta2 = 0.95 in [0, 1)
param eps = 1e-8 in (0, inf)
param wd = 1e-2 in [0, inf)
state m : per element {m} = 0
state v : per element {v} = 0
m <- beta1*m + (1 - beta1)*g
v <- beta2*v + (1 - beta2)*g^2
decay = wd
update = (m/(1 - beta1^t))/(sqrt(v/(1 - beta2^t)) + eps)
"""
Coded: Any = load(ADAMW.format(m="int8", v="fp8"))
SHAPES = ((3, 5), (), (0, 4), (256,), (257,), (2, 3, 100), (300, 120))


def parameters(dtype: torch.dtype, shapes: tuple[tuple[int, ...], ...] = SHAPES, seed: int = 0) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=draw, dtype=torch.float64).to(dtype)) for s in shapes]


def give_gradients(ps: list[nn.Parameter], t: int) -> None:
    draw = torch.Generator().manual_seed(1000 + t)
    for p in ps:
        grad = torch.randn(p.shape, generator=draw, dtype=p.dtype) * torch.rand(p.shape, generator=draw)
        p.grad = grad.to(p.dtype)


def run(optimizer: Any, ps: list[nn.Parameter], first: int, last: int) -> None:
    for t in range(first, last + 1):
        give_gradients(ps, t)
        optimizer.step()


def read(memory: dict[str, Any], name: str) -> np.ndarray:
    """What codes and scales in an optimizer's memory stand for."""
    codes = memory[name].double().numpy()
    each = np.repeat(memory[f"{name}_scale"].double().numpy(), 256)[: codes.size]
    return codes * each.reshape(codes.shape)


def bits(optimizer: Any) -> list[dict[str, tuple[torch.dtype, bytes]]]:
    ps = [p for group in optimizer.param_groups for p in group["params"]]
    return [
        {
            k: (x.dtype, x.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            for k, x in optimizer.state[p].items()
        }
        for p in ps
    ]
