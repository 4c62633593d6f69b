"""Runs a program's step as native code: one call a thread for all tensors that share dtypes. It knows no rule.

This file's text is part of each generated module that has native code.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from .blocks import run_in_blocks
from .cc import CompiledC, compiled_c
from .rule import Table
from .torch import written
from .work import Batch, Work

Step = Callable[..., None]

STORED = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}

WORTH = 1 << 22
"""Elements that eager torch may step before the compiler is started: that takes it about as long as a compiler does."""

CALLS = 1 << 12
"""Elements that eager torch could step in the time that each tensor costs it besides."""

LARGE = 1 << 18
"""Elements for which rules whose bits would change are compiled, whatever was stepped before."""

PART = 1 << 16
"""Elements that a thread gets at least: tens of microseconds of work, several times what handing it over takes."""


@dataclass(frozen=True)
class Native:
    """A rule's step in C; the dtypes of its operands and the values of its flags are macros.

    `exact` says that it gives the bits of eager torch, so that at any step either may run.
    """

    source: str
    operands: tuple[str, ...]
    flags: tuple[str, ...] = ()
    exact: bool = False


SPENT: dict[Native, int] = {}
"""What eager torch has stepped in this process for want of native code, in elements."""


def run_native(batches: list[Batch], table: Table) -> None:
    """All the work of one program, native wherever memory allows. Raises RuntimeError where there is no compiler."""
    run_mixed(batches, table, insisted)


def run_when_made(batches: list[Batch], table: Table) -> None:
    """The same, but eager torch does it all, after a warning, where there is no compiler."""
    run_mixed(batches, table, lambda batch: told(variant(batch), wait=True))


def run_when_ready(batches: list[Batch], table: Table) -> None:
    """The same without waiting: eager torch does the first steps, and all where there is little to do.

    Rules whose bits would change do wait: two runs must not differ by how busy the machine was.
    """
    run_mixed(batches, table, code_when_worth)


def code_when_worth(batch: Batch) -> Step | None:
    native, elements = batch.program.native, sum(work.theta.numel() for work in batch.works)
    SPENT[native] = SPENT.get(native, 0) + elements + CALLS * len(batch.works)
    if SPENT[native] < WORTH if native.exact else elements < LARGE:
        return None
    return told(variant(batch), wait=not native.exact)


def insisted(batch: Batch) -> Step:
    code = variant(batch)
    library = code.get(wait=True)
    if library is None:
        raise RuntimeError(f"backend='native' has no code to run: {code.reason}")
    return step_of(library)


def told(code: CompiledC, wait: bool) -> Step | None:
    """The code where it is to be had. Warns, once for each reason, where it is not."""
    library = code.get(wait)
    if code.reason:
        tell(code.reason)
    return None if library is None else step_of(library)


def step_of(library: ctypes.CDLL) -> Step:
    library.step.restype = None
    return library.step


@cache
def tell(reason: str) -> None:
    warnings.warn(f"no native code for steps on the CPU, so eager torch runs them: {reason}", stacklevel=2)


def run_mixed(batches: list[Batch], table: Table, code: Callable[[Batch], Step | None]) -> None:
    """Native code for the tensors that it can walk, where there is any; eager torch for the rest."""
    left = []
    for batch in batches:
        if batch.settled and batch.grads_at is not None:
            batch.prepared.take(batch.grads_at)
        elif batch.prepared is None or batch.moved:
            batch.settled = False
            left += set_up(batch, code)
        if batch.prepared is not None:
            batch.prepared(table)
    if left:
        run_in_blocks(left, table)


def set_up(batch: Batch, code: Callable[[Batch], Step | None]) -> list[Batch]:
    """Sets up the call for what native code can do of a batch; returns what it cannot."""
    fit, rest = ([], batch.works) if torch.is_grad_enabled() else parted(batch.works)
    own = batch if not rest else replace(batch, works=fit)
    step = code(own) if fit else None
    if step is None:
        batch.prepared = None
        return [batch]
    batch.prepared = Call(step, own)
    batch.settled = not rest and not batch.program.inputs
    return [replace(batch, works=rest)] if rest else []


def variant(batch: Batch) -> CompiledC:
    """The native code for a batch's dtypes, flags and direction."""
    native: Native = batch.program.native
    tensors = batch.works[0].tensors()
    stored = zip(native.operands, (torch.float32 if x is None else x.dtype for x in tensors), strict=True)
    macros = [f"{name}_type={STORED[dtype]}" for name, dtype in stored]
    macros += [f"{name}={int(value)}" for name, value in zip(native.flags, batch.flags, strict=True)]
    macros += ["DOUBLE"] if batch.works[0].theta.dtype == torch.float64 else []
    return compiled_c(native.source, (*macros, f"MAXIMIZE={int(batch.maximize)}"))


# ---------------------------------------------------------------- memory


def parted(works: list[Work]) -> tuple[list[Work], list[Work]]:
    """The work that native code can walk, all with the same dtypes, and the rest."""
    fit: list[Work] = []
    rest: list[Work] = []
    dtypes: list[torch.dtype | None] = []
    for work in works:
        own = [None if x is None else x.dtype for x in work.tensors()]
        dtypes = dtypes or own
        (fit if own == dtypes and walkable(work) else rest).append(work)
    return fit, rest


def walkable(work: Work) -> bool:
    """Whether the operands are ordinary memory, laid out alike and without gaps, of dtypes that native code has."""
    stride, wide = work.theta.stride(), work.theta.dtype == torch.float64
    for x in work.tensors():
        if x is None:
            continue
        if type(x) not in (Tensor, torch.nn.Parameter) or x.device.type != "cpu" or x.stride() != stride:
            return False
        if x.dtype not in STORED or (x.dtype == torch.float64 and not wide):
            return False
    return work.theta.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(work.theta)


class Call:
    """Native code and its tables, which hold for as long as no tensor moves."""

    def __init__(self, step: Step, batch: Batch) -> None:
        operands = [work.tensors() for work in batch.works]
        sizes = [work.theta.numel() for work in batch.works]
        tables = (sizes, [work.row for work in batch.works], [address(x) for xs in operands for x in xs])
        self.step, self.total = step, sum(sizes)
        self.tables = [torch.tensor(table, dtype=torch.int64) for table in tables]
        self.given = [ctypes.c_int64(len(operands)), *map(pointer, self.tables)]
        self.changed = [x for work in batch.works for x in (work.theta, *written(batch, work))]

    def take(self, gradients: Tensor) -> None:
        """Gradients of the same kind as before, from other addresses."""
        self.tables[2].view(len(gradients), -1)[:, 1] = gradients

    def __call__(self, table: Table) -> None:
        """Each thread takes an equal share of the elements, as if all tensors were laid end to end."""
        scalars = torch.as_tensor(table, dtype=torch.float64).contiguous()
        given = [*self.given, pointer(scalars)]
        threads = max(1, min(torch.get_num_threads(), self.total // PART))
        ends = [ctypes.c_int64(self.total * i // threads) for i in range(threads + 1)]
        helped = [pool(os.getpid()).submit(self.step, *given, *share) for share in pairwise(ends[1:])]
        self.step(*given, *ends[:2])
        for job in helped:
            job.result()
        torch.autograd.graph.increment_version(self.changed)  # so that autograd notices, as with any in-place operation


def address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def pointer(x: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.data_ptr())


@cache
def pool(process: int) -> ThreadPoolExecutor:
    """Threads that wait for their share. `process` is asked for since a forked process has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"optc-{process}")
