"""Runs a program's Triton kernel: one launch for all tensors that share dtypes, driven by tables.

This file's text is part of each generated module that has a kernel. It knows no rule.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .memory import beside, random_keys, ways
from .rule import Program, Table, computing
from .tables import Tables
from .work import Batch, Work

BLOCK = 1024
"""Elements that a program works on at once: 128 threads with one 128-bit access of eight bfloat16 each, two of four
float32, or one 64-bit access of eight codes."""

PROGRAMS = 1 << 16
"""As many chunks at most, about: some forty waves on a card of 132 multiprocessors, and a table of 2.5 MiB."""

OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


def run_triton(batches: list[Batch], table: Table) -> None:
    """All the work of one program, one launch for each device, set of dtypes and set of flags."""
    if batches[0].program.reduce is not None:  # for passes, matrices
        batches[0].program.reduce(batches, table)
        return
    for batch in batches:
        with on_device(batch.works[0].theta.device):
            launch(batch, table)


def on_device(device: torch.device) -> Any:
    """Where streams and events are those of a device; Triton launches there, too."""
    return torch.cuda.device(device if device.type == "cuda" else -1)


@dataclass
class Prepared:
    """What is kept of a batch while its tensors stay where they are."""

    tables: Tables
    aligned: list[bool]
    constants: list[Any]
    turns: Tensor


def launch(batch: Batch, table: Table) -> None:
    """Chunks run side by side; each finds its tensor and its row of scalars in the tables."""
    interpreted = interprets(batch.program, batch.works[0].theta.device)
    operands = [] if batch.settled else [flat(work, interpreted) for work in batch.works]
    scalars, addresses, chunks = tables_now(batch, table) if batch.settled else new_tables(batch, operands, table)
    if isinstance(table, Tensor):  # for graphs
        scalars = table.to(addresses.device)
    given = [addresses, chunks, scalars]
    given += random_keys(batch.works, addresses)  # for precision
    if len(chunks):
        batch.program.kernel[(len(chunks),)](*given, *batch.prepared.constants, **OPTIONS)
    for work, xs in zip(batch.works, operands, strict=False):
        give_back(work, xs)


def tables_now(batch: Batch, table: Table) -> list[Tensor]:
    """The last step's tables with what is new in them."""
    last: Prepared = batch.prepared
    gradients = None if batch.moved is None else batch.moved[last.turns]
    if captures(table):  # for graphs
        return last.tables.in_graph(gradients)
    return last.tables.now(on_host(table), gradients)


def new_tables(batch: Batch, operands: list[list[Tensor | None]], table: Table) -> list[Tensor]:
    """The tables of operands that may be copies. If none is, the next step need not look at them."""
    addresses, last = address_table(operands), batch.prepared
    aligned = aligned_in(addresses)
    alike = last is not None and last.aligned == aligned
    if captures(table):  # for graphs
        if not alike:
            raise RuntimeError("take a step before a capture, on tensors aligned alike")
        return last.tables.of_graph(addresses.new_empty(0), addresses, chunk_table(batch.works, aligned, 0))  # type: ignore[no-any-return]
    batch.settled = all(map(is_, chain.from_iterable(operands), chain.from_iterable(map(homes_of, batch.works))))
    batch.settled &= not batch.program.inputs  # for inputs
    if alike:
        last.tables.parts[1] = addresses
        last.tables.send(on_host(table), addresses)
        return last.tables.views  # type: ignore[no-any-return]
    tables = Tables([on_host(table), addresses, chunk_table(batch.works, aligned, 0)], batch.works[0].theta.device)
    if isinstance(table, Tensor):  # for graphs
        tables.expect_graphs()
    turns = torch.tensor([work.turn for work in batch.works])
    batch.prepared = Prepared(tables, aligned, constants_of(batch, operands[0], (BLOCK,)), turns)
    return tables.views


def captures(table: Table) -> bool:
    """Whether this step is being captured by a graph; only then is the table one that the GPU computed."""
    return isinstance(table, Tensor) and table.is_cuda and torch.cuda.is_current_stream_capturing()


def on_host(table: Table) -> Tensor:
    """The scalars that have to be sent."""
    if isinstance(table, Tensor):  # for graphs: the device has computed them
        table = []
    return torch.tensor(table, dtype=torch.float64)


def interprets(program: Program, device: torch.device) -> bool:
    """Whether kernels run in Triton's interpreter. Raises RuntimeError where they cannot run at all."""
    interpreted = not isinstance(program.kernel.compiled, triton.JITFunction)
    if interpreted and device.type != "cpu":
        raise RuntimeError("backend='triton': TRITON_INTERPRET=1 runs kernels on tensors of a CPU alone")
    if not interpreted and device.type == "cpu":
        raise RuntimeError("backend='triton' needs parameters on a GPU, or TRITON_INTERPRET=1 in the environment")
    return interpreted


def constants_of(batch: Batch, operands: list[Any], sizes: tuple[int, ...]) -> list[Any]:
    """A kernel's compile-time arguments: dtypes, flags, and the sizes of its pieces."""
    work = batch.works[0]
    types = [triton_type((operands[0] if x is None else x).dtype) for x in operands[: len(work.tensors())]]
    fixed = [*types, triton_type(computing(work.theta.dtype)), batch.maximize, *batch.flags, *sizes]
    master, dithered = ways(batch, operands)  # for precision
    fixed += [triton_type(master), dithered]  # for precision
    return fixed


def address_table(operands: list[list[Tensor | None]]) -> Tensor:
    """int64 (tensors, operands): where each operand is, 0 for one that is not kept."""
    return torch.tensor([[0 if x is None else x.data_ptr() for x in xs] for xs in operands], dtype=torch.int64)


def aligned_in(addresses: Tensor) -> list[bool]:
    """Of which tensors every operand begins where 128-bit accesses may."""
    return (addresses % 16 == 0).all(1).tolist()


def triton_type(dtype: torch.dtype) -> Any:
    if dtype == torch.float8_e4m3fn:  # for precision
        return tl.float8e4nv
    return getattr(tl, str(dtype).removeprefix("torch."))


# ---------------------------------------------------------------- memory


def homes_of(work: Work) -> list[Tensor | None]:
    """A kernel's operands where they are kept."""
    if work.program.tiled is None:  # for precision: kernels that walk memory find there, too, what lies beside
        return [*work.tensors(), *beside(work)]
    return work.tensors()


def flat(work: Work, interpreted: bool, ordered: bool = False) -> list[Tensor | None]:
    """The operands as memory to be walked in one order: themselves where their strides agree, else copies.

    `ordered` says that the order must be that of the elements.
    """
    tensors, stride = homes_of(work), work.theta.stride()
    agree = all(x is None or x.ndim == 0 or (x.stride() == stride and is_dense(x)) for x in work.tensors())
    ordered |= work.precision is not None  # for precision: random numbers and scales go by it
    if not agree or (ordered and not work.theta.is_contiguous()):
        tensors = [None if x is None else x.contiguous() for x in tensors]
    if interpreted:  # Triton's interpreter cuts off what hardware rounds to nearest, so torch does that rounding
        given = tensors
        tensors = [x.float() if x is not None and x.dtype == torch.bfloat16 else x for x in given]
        if work.precision is not None and work.precision.rounding != "nearest":  # for precision
            tensors = given
        elif work.precision is not None and work.precision.master is not None:
            tensors[0] = given[0]
    return tensors


def is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(x)


def give_back(work: Work, operands: list[Tensor | None]) -> None:
    """Copies home what was computed in copies."""
    given = 1 + len(work.extra)  # the gradient and further inputs, after the parameter
    for i, (home, used) in enumerate(zip(homes_of(work), operands, strict=True)):
        if not 0 < i <= given and home is not None and used is not None and used.data_ptr() != home.data_ptr():
            home.copy_(used)


def chunk_table(works: list[Work], aligned: list[bool], least: int) -> Tensor:
    """int64 (chunks, 5): which tensor, from which block, how many elements, which row, how many for 128-bit accesses.

    A chunk is one block, or where tensors are aligned, as many as make `PROGRAMS` chunks of all the work. It ends with
    one block at most that is not for 128-bit accesses. Every tensor has `least` chunks.
    """
    sizes, safe = torch.tensor([work.theta.numel() for work in works]), torch.tensor(aligned)
    blocks = (sizes + BLOCK - 1) // BLOCK
    span = torch.where(safe, max(1, int(blocks.sum()) // PROGRAMS), 1)
    each = ((blocks + span - 1) // span).clamp(min=least)
    owner = torch.repeat_interleave(torch.arange(len(works)), each)
    start = (torch.arange(len(owner)) - (torch.cumsum(each, 0) - each)[owner]) * span[owner]
    count = torch.minimum(sizes[owner] - start * BLOCK, span[owner] * BLOCK)
    whole = count // BLOCK * BLOCK * safe[owner]
    return torch.stack([owner, start, count, torch.tensor([work.row for work in works])[owner], whole], 1)
