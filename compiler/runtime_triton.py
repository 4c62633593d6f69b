"""Runs a program's Triton kernel: one launch for all tensors that share dtypes, driven by tables. It knows no rule.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .runtime_rule import Table, computing
from .runtime_work import Batch, Work

BLOCK = 1024
"""Elements of one chunk: 128 threads with one 128-bit access of eight bfloat16 or two of four float32 each."""


def run_triton(batches: list[Batch], table: Table) -> None:
    """All the work of one program, one launch for each device, set of dtypes and set of flags."""
    for batch in batches:
        launch(batch, table)


def launch(batch: Batch, table: Table) -> None:
    """One launch. Chunks of `BLOCK` elements run side by side; each finds its tensor and its row in the tables."""
    device, dtype = batch.works[0].theta.device, batch.works[0].theta.dtype
    interpreted = not isinstance(batch.program.kernel, triton.JITFunction)
    operands = [flat(work, interpreted) for work in batch.works]
    chunks = chunk_table(operands, [work.row for work in batch.works])
    addresses = torch.tensor([[0 if x is None else x.data_ptr() for x in xs] for xs in operands], dtype=torch.int64)
    scalars = torch.tensor(table, dtype=torch.float64)
    types = [triton_type(dtype if x is None else x.dtype) for x in operands[0]]
    if len(chunks):
        tables = [x.to(device, non_blocking=True) for x in (addresses, chunks, scalars)]
        options = {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": False}
        with torch.cuda.device(device if device.type == "cuda" else -1):
            batch.program.kernel[(len(chunks),)](
                *tables, *types, triton_type(computing(dtype)), batch.maximize, *batch.flags, **options
            )
    for work, xs in zip(batch.works, operands, strict=True):
        give_back(work, xs)


def triton_type(dtype: torch.dtype) -> Any:
    """Triton calls float32, bfloat16, float16 and float64 what torch does."""
    return getattr(tl, str(dtype).removeprefix("torch."))


def flat(work: Work, interpreted: bool) -> list[Tensor | None]:
    """The operands as memory to be walked in one order: themselves where their strides agree, else copies."""
    tensors = work.tensors()
    if not all(x is None or (x.stride() == work.theta.stride() and is_dense(x)) for x in tensors):
        tensors = [None if x is None else x.contiguous() for x in tensors]
    if interpreted:  # Triton's interpreter cuts off what hardware rounds to nearest, so torch does that rounding
        tensors = [x.float() if x is not None and x.dtype == torch.bfloat16 else x for x in tensors]
    return tensors


def is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(x)


def give_back(work: Work, operands: list[Tensor | None]) -> None:
    """Copies home what was computed in copies."""
    for home, used in zip([work.theta, *work.states], [operands[0], *operands[2 + len(work.extra) :]], strict=True):
        if home is not None and used is not None and used.data_ptr() != home.data_ptr():
            home.copy_(used)


def chunk_table(operands: list[list[Tensor | None]], rows: list[int]) -> Tensor:
    """int64 (chunks, 5): which tensor, from which element, how many, which row, and whether 128-bit access is safe."""
    sizes = torch.tensor([xs[0].numel() for xs in operands])  # type: ignore[union-attr]
    aligned = torch.tensor([all(x is None or x.data_ptr() % 16 == 0 for x in xs) for xs in operands])
    each = (sizes + BLOCK - 1) // BLOCK
    owner = torch.repeat_interleave(torch.arange(len(operands)), each)
    first = torch.cumsum(each, 0) - each
    start = (torch.arange(len(owner)) - first[owner]) * BLOCK
    count = torch.clamp(sizes[owner] - start, max=BLOCK)
    whole = (count == BLOCK) & aligned[owner]
    return torch.stack([owner, start, count, torch.tensor(rows)[owner], whole.long()], 1)
