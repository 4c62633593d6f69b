"""What `dtensor.py` says of tensors that may be sharded, of those that are in one piece.

A generated module has this file's text, or that one's where it was compiled `--with shards`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_sharded(x: Any) -> bool:
    """Whether a tensor is a DTensor; told by its methods, since its class is slow to import."""
    return hasattr(x, "full_tensor")


def part_of(x: Any) -> Any:
    return x


def full(x: Any) -> Any:
    return x


def cut_like(x: Tensor, home: Any) -> Any:
    return x


def as_real(x: Any) -> Any:
    return torch.view_as_real(x.resolve_conj())


def put(value: Any, home: Any) -> None:
    home.copy_(value)


def filled(shape: list[int], value: float, dtype: torch.dtype, theta: Any, gone: set[int]) -> Tensor:
    return torch.full(shape, value, dtype=dtype, device=theta.device)
