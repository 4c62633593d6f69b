"""Runs a program's Triton kernel: one launch for all tensors that share dtypes, driven by tables.

This file's text is part of each generated module that has a kernel. It knows no rule.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from operator import is_
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .runtime_rule import Program, Table, computing
from .runtime_tables import Tables
from .runtime_work import Batch, Work

BLOCK = 1024
"""Elements of one chunk: 128 threads with one 128-bit access of eight bfloat16 or two of four float32 each."""

OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


def run_triton(batches: list[Batch], table: Table) -> None:
    """All the work of one program, one launch for each device, set of dtypes and set of flags."""
    if batches[0].program.reduce is not None:
        batches[0].program.reduce(batches, table)
        return
    for batch in batches:
        launch(batch, table)


@dataclass
class Prepared:
    """What is kept of a batch while its tensors stay where they are; `addresses` is the table on the host."""

    tables: Tables
    addresses: Tensor
    aligned: list[bool]
    chunks: int
    constants: list[Any]


def launch(batch: Batch, table: Table) -> None:
    """Chunks of `BLOCK` elements run side by side; each finds its tensor and its row of scalars in the tables."""
    interpreted = interprets(batch.program, batch.works[0].theta.device)
    scalars = torch.tensor(table, dtype=torch.float64)
    if batch.settled and not batch.moved:
        batch.prepared.tables.send(scalars)
    elif batch.settled:  # only gradients can be elsewhere, and they are of the same kind as before
        batch.prepared.addresses[:, 1] = torch.tensor([work.grad.data_ptr() for work in batch.works])
        batch.prepared = sent(batch, batch.prepared.addresses, batch.prepared.constants, scalars)
    else:
        return launch_on(batch, [flat(work, interpreted, False) for work in batch.works], scalars)
    run_kernels(batch, batch.prepared)
    return None


def launch_on(batch: Batch, operands: list[list[Tensor | None]], scalars: Tensor) -> None:
    """A step on operands that may be copies. If none is, the next step need not look at them."""
    batch.prepared = sent(batch, address_table(operands), [*constants_of(batch, operands[0]), BLOCK], scalars)
    run_kernels(batch, batch.prepared)
    for work, xs in zip(batch.works, operands, strict=True):
        give_back(work, xs)
    homes = chain.from_iterable(work.tensors() for work in batch.works)
    batch.settled = not batch.program.inputs and all(map(is_, chain.from_iterable(operands), homes))


def sent(batch: Batch, addresses: Tensor, constants: list[Any], scalars: Tensor) -> Prepared:
    """The last step's tables with the new addresses where chunks are as they were, otherwise new ones."""
    aligned = aligned_in(addresses)
    last: Prepared | None = batch.prepared
    if last is not None and last.aligned == aligned:
        last.tables.send(scalars, addresses)
        return replace(last, addresses=addresses)
    device = batch.works[0].theta.device
    chunks = chunk_table(batch.works, aligned, 0)
    return Prepared(Tables(scalars, addresses, chunks, device), addresses, aligned, len(chunks), constants)


def run_kernels(batch: Batch, ready: Prepared) -> None:
    if not ready.chunks:
        return
    device = batch.works[0].theta.device
    tables = [ready.tables.addresses, ready.tables.chunks, ready.tables.scalars]
    with torch.cuda.device(device if device.type == "cuda" else -1):
        batch.program.kernel[(ready.chunks,)](*tables, *ready.constants, **OPTIONS)


def interprets(program: Program, device: torch.device) -> bool:
    """Whether kernels run in Triton's interpreter. Raises RuntimeError where they cannot run at all."""
    if isinstance(program.kernel, triton.JITFunction):
        if device.type == "cpu":
            raise RuntimeError("backend='triton' needs parameters on a GPU, or TRITON_INTERPRET=1 in the environment")
        return False
    return True


def constants_of(batch: Batch, operands: list[Tensor | None]) -> list[Any]:
    """A kernel's compile-time arguments but for the sizes of its pieces: dtypes and flags."""
    dtype = batch.works[0].theta.dtype
    types = [triton_type(dtype if x is None else x.dtype) for x in operands]
    return [*types, triton_type(computing(dtype)), batch.maximize, *batch.flags]


def address_table(operands: list[list[Tensor | None]]) -> Tensor:
    """int64 (tensors, operands): where each operand is, 0 for one that is not kept."""
    return torch.tensor([[0 if x is None else x.data_ptr() for x in xs] for xs in operands], dtype=torch.int64)


def aligned_in(addresses: Tensor) -> list[bool]:
    """Of which tensors every operand begins where 128-bit accesses may."""
    return (addresses % 16 == 0).all(1).tolist()


def triton_type(dtype: torch.dtype) -> Any:
    """Triton calls float32, bfloat16, float16 and float64 what torch does."""
    return getattr(tl, str(dtype).removeprefix("torch."))


# ---------------------------------------------------------------- memory


def flat(work: Work, interpreted: bool, ordered: bool) -> list[Tensor | None]:
    """The operands as memory to be walked in one order: themselves where their strides agree, else copies.

    `ordered` says that the order must be that of the elements, since random numbers go by it.
    """
    tensors = work.tensors()
    stride = work.theta.stride()
    agree = all(x is None or x.ndim == 0 or (x.stride() == stride and is_dense(x)) for x in tensors)
    if not agree or (ordered and not work.theta.is_contiguous()):
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


def chunk_table(works: list[Work], aligned: list[bool], least: int) -> Tensor:
    """int64 (chunks, 5): which tensor, from which element, how many, which row, and whether 128-bit access is safe."""
    sizes = torch.tensor([work.theta.numel() for work in works])
    each = ((sizes + BLOCK - 1) // BLOCK).clamp(min=least)
    owner = torch.repeat_interleave(torch.arange(len(works)), each)
    first = torch.cumsum(each, 0) - each
    start = (torch.arange(len(owner)) - first[owner]) * BLOCK
    count = torch.clamp(sizes[owner] - start, max=BLOCK)
    whole = (count == BLOCK) & torch.tensor(aligned)[owner]
    return torch.stack([owner, start, count, torch.tensor([work.row for work in works])[owner], whole.long()], 1)
