"""Parameters of 16 bits and the float32 numbers that they are the rounding of, whole or as the bits that are missing.

This file's text is part of each generated module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MASTER, MISSING = "master", "missing_bits"
"""Where a parameter's memory has the one or the other."""


def split(master: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 numbers as the nearest bfloat16, ties away from 0, and their own low 16 bits as int16.

    Ties go away from 0 so that the two halves give the number back: with ties to even, 65,537 numbers would have the
    same even bfloat16. Every NaN becomes one and the same.
    """
    bits = torch.where(master.isnan(), torch.nan, master).view(torch.int32)
    high, low = (bits + 0x8000) >> 16, ((bits + 0x8000) & 0xFFFF) - 0x8000
    return high.to(torch.int16).view(torch.bfloat16), low.to(torch.int16)


def joined(rounded: Tensor, low: Tensor) -> Tensor:
    """What `split` took apart. Where another hand wrote to the bfloat16, a number that still rounds to it."""
    low = torch.where(rounded == 0, low.clamp(min=0), low)  # `split` never goes below 0, nor beyond an infinity
    low = torch.where(rounded.isinf(), low.clamp(max=0), low)
    return (rounded.contiguous().view(torch.int16).int() * 65536 + low.int()).view(torch.float32)


def begin_master(theta: Tensor, memory: dict[str, Any], mode: str) -> None:
    """Puts the float32 numbers behind a parameter into its memory, where a master of the other mode is taken over."""
    if mode == "bits" and theta.dtype != torch.bfloat16:
        raise ValueError(f"master='bits' is for bfloat16: what {theta.dtype} lacks of a float32 is not its low bits")
    if mode == "bits" and MISSING not in memory:
        master = memory.pop(MASTER, None)
        memory[MISSING] = torch.zeros_like(theta, dtype=torch.int16)
        if master is not None:
            keep_master(theta, memory, mode, followed(theta, master))
    elif mode == "float32" and MASTER not in memory:
        missing = memory.pop(MISSING, None)
        memory[MASTER] = theta.detach().float() if missing is None else joined(theta.detach(), missing)


def master_of(theta: Tensor, memory: dict[str, Any], mode: str) -> Tensor:
    """The float32 numbers behind a parameter, for a step to overwrite.

    An element that is no longer the rounding of its master was changed by another hand, and is taken as it is.
    """
    if mode == "bits":
        return joined(theta, memory[MISSING])
    master: Tensor = memory[MASTER]
    return master.copy_(followed(theta, master))


def followed(theta: Tensor, master: Tensor) -> Tensor:
    return torch.where(master.to(theta.dtype) == theta, master, theta.float())


def keep_master(theta: Tensor, memory: dict[str, Any], mode: str, master: Tensor) -> None:
    """Rounds float32 numbers into a parameter, and keeps what the parameter lacks of them."""
    if mode == "bits":
        rounded, low = split(master)
        theta.copy_(rounded)
        memory[MISSING].copy_(low)
    else:
        theta.copy_(master)
