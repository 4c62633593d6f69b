"""Generated optimizers and parameters for the tests that hold them to torch's conventions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from optc.compiler.load import load
from optc.dsl.load import zoo

AdamW: Any = load(zoo("adamw"))
SGD: Any = load(zoo("sgd"))
Evolved: Any = load(zoo("evolved"))
BACKENDS = ("torch", "triton")


def parameter(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Parameter:
    """A parameter with a gradient."""
    draw = torch.Generator().manual_seed(seed)
    p = nn.Parameter(torch.randn(shape, generator=draw).to(dtype))
    p.grad = torch.randn(shape, generator=draw).to(dtype)
    return p


def steps(optimizer: torch.optim.Optimizer, n: int = 3) -> None:
    for _ in range(n):
        optimizer.step()


def same_state(a: torch.optim.Optimizer, b: torch.optim.Optimizer) -> None:
    """Every state of two optimizers is equal to the bit, dtype included."""
    for p, q in zip(a.param_groups[0]["params"], b.param_groups[0]["params"], strict=True):
        assert a.state[p].keys() == b.state[q].keys()
        for name, x in a.state[p].items():
            y = b.state[q][name]
            assert x.dtype == y.dtype
            assert torch.equal(x, y)
