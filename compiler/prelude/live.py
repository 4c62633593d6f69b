"""What the numbers of a step need when they are computed on a device, as float64 tensors.

The generated modules hold copies of those functions that their rule needs.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def constant(value: float | bool, device: torch.device) -> Tensor:
    """A literal as a tensor. It is made once, so that a graph that was captured later may go on reading it."""
    return torch.full((), value, dtype=torch.bool if isinstance(value, bool) else torch.float64, device=device)


def chosen(condition: Tensor, then: tuple[Tensor, ...], otherwise: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.where(condition, x, y) for x, y in zip(then, otherwise, strict=True))
