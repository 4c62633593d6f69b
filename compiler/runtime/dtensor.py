"""What is to be known about DTensors, tensors sharded over processes, in a few functions. It knows no rule.

This file's text is part of each generated module, of which those that were not compiled `--with shards` know tensors in
one piece alone. It imports torch.distributed only where there is a DTensor.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def is_sharded(x: Any) -> bool:
    """Whether a tensor is a DTensor; told by its methods, since its class is slow to import."""
    return hasattr(x, "full_tensor")


def own_part(x: Any) -> Any:
    """What this process has of a DTensor, as the same memory; other tensors are their own part."""
    part = x.to_local() if is_sharded(x) else x
    return part.wait() if hasattr(part, "trigger_wait") else part  # what a collective has yet to fill


def part_of(x: Any) -> Any:
    """The same memory as `own_part`, to look at: it costs next to nothing, and waits for nothing."""
    return getattr(x, "_local_tensor", x)


def first_of(x: Any) -> int | None:
    """The index of this process's first element of a DTensor; None where its elements do not follow one another."""
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    if not all(type(p) is Replicate or (type(p) is Shard and p.dim == 0) for p in x.placements):
        return None
    _, offset = compute_local_shape_and_global_offset(x.shape, x.device_mesh, x.placements)
    return int(offset[0]) * math.prod(x.shape[1:]) if x.ndim else 0


def sharded_like(x: Any, home: Any) -> Any:
    """A DTensor sharded as another is. Raises RuntimeError where one of the two is a plain tensor."""
    if is_sharded(x) != is_sharded(home):
        raise RuntimeError("parameters, gradients and inputs must be DTensors together, or none of them")
    same = not is_sharded(x) or x.placements == home.placements
    return x if same else x.redistribute(placements=home.placements)


def sharded_as(x: Tensor, home: Any) -> Any:
    """A state that was saved without shards, as a parameter that has them needs it; others stay what they are."""
    return cut_like(x, home) if x.ndim and x.shape == home.shape and not is_sharded(x) else x


CARRIERS = {torch.int16: torch.int32, torch.float8_e4m3fn: torch.float16}
"""What gloo and NCCL can send in place of dtypes that they know nothing of."""


def full(x: Any) -> Any:
    """A tensor in one piece, on every process."""
    if is_sharded(x):  # for shards
        return x.to(CARRIERS.get(x.dtype, x.dtype)).full_tensor().to(x.dtype)
    return x


def replicated(x: Tensor, mesh: Any) -> Any:
    """A DTensor of a tensor that every process has whole; it shares the memory."""
    from torch.distributed.tensor import DTensor, Replicate

    return DTensor.from_local(x, mesh, [Replicate()] * mesh.ndim, run_check=False)


def cut_like(x: Tensor, home: Any) -> Any:
    """A tensor that every process has whole, sharded as another is; nothing is sent."""
    if is_sharded(home):  # for shards
        return replicated(x, home.device_mesh).redistribute(placements=home.placements)
    return x


def real_parts(x: Any) -> Any:
    """A complex DTensor as pairs of reals in the same memory, of which torch's own function may make a copy."""
    from torch.distributed.tensor import DTensor

    shape, stride = torch.Size((*x.shape, 2)), (*(2 * n for n in x.stride()), 1)
    pairs = torch.view_as_real(own_part(x))
    return DTensor.from_local(pairs, x.device_mesh, x.placements, run_check=False, shape=shape, stride=stride)


def put(value: Any, home: Any) -> None:
    """Copies a value into a tensor that it may be broadcast to."""
    if is_sharded(home):  # for shards: `copy_` refuses many pairs of shardings
        if is_sharded(value):
            value = value.expand(home.shape).redistribute(placements=home.placements)
        own_part(home).copy_(own_part(value))
        return
    value = full(value)  # for shards
    home.copy_(value)


def filled(shape: tuple[int, ...], value: float, dtype: torch.dtype, theta: Any, gone: set[int]) -> Tensor:
    """A tensor of one value: sharded as a parameter is, but whole along the axes that are gone from it.

    What has no axes is a plain number in every process, as torch's own optimizers keep it.
    """
    if is_sharded(theta) and gone:  # for shards
        from torch.distributed.tensor import Replicate
        from torch.distributed.tensor import full as full_dtensor

        places = [Replicate() if getattr(p, "dim", None) in gone else p for p in theta.placements]
        return full_dtensor(shape, value, dtype=dtype, device_mesh=theta.device_mesh, placements=places)
    return torch.full(shape, value, dtype=dtype, device=theta.device)


def over_processes(partials: list[Any]) -> list[Tensor]:
    """Numbers over all of each tensor, from those that DTensors give: parts of a sum or a maximum, yet to be combined.

    Numbers of the same processes travel together.
    """
    together: dict[Any, list[int]] = {}
    for i, x in enumerate(partials):
        if is_sharded(x):
            together.setdefault((x.device_mesh, x.placements, x.dtype), []).append(i)
    out = list(partials)
    for (mesh, placements, _), places in together.items():
        from torch.distributed.tensor import DTensor

        parts = torch.stack([own_part(partials[i]) for i in places])
        totals = DTensor.from_local(parts, mesh, placements, run_check=False).full_tensor()
        for i, x in zip(places, totals.unbind(), strict=True):
            out[i] = x
    return out
