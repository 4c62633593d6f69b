"""Decides what of a program's step native code does: where there is some, of what it can walk. It knows no rule.

This file's text is part of each generated module that has native code.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .blocks import run_in_blocks
from .cc import CompiledC, compiled_c
from .native_call import Call, step_each_call
from .rule import Function, Table, how_many
from .torch import run_torch
from .work import Batch, Work

STORED = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}

WORTH = 1 << 22
"""Elements that eager torch may step before the compiler is started: that takes it about as long as a compiler does."""

CALLS = 1 << 12
"""Elements that eager torch could step in the time that each tensor costs it besides."""

LARGE = 1 << 18
"""Elements for which rules whose bits would change are compiled, whatever was stepped before."""

SHORT = 8
"""Elements of an average row below which rules with rows and columns stay eager: loops over so few are no vectors."""


@dataclass(frozen=True)
class Native:
    """A rule's step in C; the dtypes of its operands and the values of its flags are macros.

    `exact` says that it gives the bits of eager torch, so that at any step either may run, `wide` that its arithmetic
    is always float64, `tiled` that it knows rows from columns. `call` and `run` step by it; `measures` are the passes
    before, by the reductions that each makes: their number, whether they are the largest and not sums, and what there
    is one for. `counts` says what is counted in every tensor, `settles` whether there are states to write at the end.
    """

    source: str
    operands: tuple[str, ...]
    flags: tuple[str, ...] = ()
    exact: bool = False
    wide: bool = False
    tiled: bool = False
    call: Any = Call
    run: Function = step_each_call
    measures: tuple[tuple[tuple[int, bool, str], ...], ...] = ()
    counts: tuple[str, ...] = ("element",)
    settles: bool = False


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


def code_when_worth(batch: Batch) -> ctypes.CDLL | None:
    native, elements = batch.program.native, sum(work.theta.numel() for work in batch.works)
    SPENT[native] = SPENT.get(native, 0) + elements + CALLS * len(batch.works)
    if SPENT[native] < WORTH if native.exact else elements < LARGE:
        return None
    if native.tiled and elements < SHORT * sum(how_many(work.theta, "row") for work in batch.works):
        return None
    return told(variant(batch), wait=not native.exact)


def insisted(batch: Batch) -> ctypes.CDLL:
    code = variant(batch)
    library = code.get(wait=True)
    if library is None:
        raise RuntimeError(f"backend='native' has no code to run: {code.reason}")
    return library


def told(code: CompiledC, wait: bool) -> ctypes.CDLL | None:
    """The code where it is to be had. Warns, once for each reason, where it is not."""
    library = code.get(wait)
    if code.reason:
        tell(code.reason)
    return library


@cache
def tell(reason: str) -> None:
    warnings.warn(f"no native code for steps on the CPU, so eager torch runs them: {reason}", stacklevel=2)


def run_mixed(batches: list[Batch], table: Table, code: Callable[[Batch], ctypes.CDLL | None]) -> None:
    """Native code for the tensors that it can walk, where there is any; eager torch for the rest.

    A value over all tensors needs them in one run, and of one structure, since a branch may have a value over those
    alone that take it.
    """
    program, left = batches[0].program, []
    for batch in batches:
        call: Call | None = batch.prepared
        call = None if program.inputs else call  # for inputs
        if call is None:
            call = set_up(batch, code)
        elif batch.moved is not None:
            call.tables["addresses"][:, 1] = batch.moved[call.turns]
        batch.prepared, batch.settled = call, call is not None and not call.rest
        batch.settled &= not program.inputs  # for inputs
        left += [batch] if call is None else call.rest
    if program.lockstep is not None and (left or any(batch.flags != batches[0].flags for batch in batches)):
        for batch in batches:
            batch.prepared, batch.settled = None, False
        run_torch(batches, table)
        return
    calls = [batch.prepared for batch in batches if batch.prepared is not None]
    if calls:
        program.native.run(calls, table)
    if left:
        run_in_blocks(left, table)


def set_up(batch: Batch, code: Callable[[Batch], ctypes.CDLL | None]) -> Call | None:
    """A call for what native code can do of a batch, which says what it cannot; None where there is none."""
    fit, rest = ([], batch.works) if torch.is_grad_enabled() else parted(batch.works)
    own = batch if not rest else replace(batch, works=fit)
    library = code(own) if fit else None
    call: Call | None = None if library is None else batch.program.native.call(library, own)
    if call is not None and rest:
        call.rest = [replace(batch, works=rest)]
    return call


def variant(batch: Batch) -> CompiledC:
    """The native code for a batch's dtypes, flags and direction."""
    native: Native = batch.program.native
    tensors = batch.works[0].tensors()
    stored = zip(native.operands, (torch.float32 if x is None else x.dtype for x in tensors), strict=True)
    macros = [f"{name}_type={STORED[dtype]}" for name, dtype in stored]
    macros += [f"{name}={int(value)}" for name, value in zip(native.flags, batch.flags, strict=True)]
    macros += ["DOUBLE"] if native.wide or batch.works[0].theta.dtype == torch.float64 else []
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
    """Whether the operands are ordinary memory, laid out alike and without gaps, of dtypes that native code has.

    Where rows and columns count, or elements are numbered, that layout must be the order of memory.
    """
    theta, native = work.theta, work.program.native
    wide, states = native.wide or theta.dtype == torch.float64, zip(work.states, work.program.states, strict=True)
    alike = [work.grad, *work.extra, *(x for x, state in states if state.scope == "element" and x is not None)]
    for x in (x for x in work.tensors() if x is not None):
        if type(x) not in (Tensor, torch.nn.Parameter) or x.device.type != "cpu":
            return False
        if x.dtype not in STORED or (x.dtype == torch.float64 and not wide):
            return False
    if not all(strides_alike(x, theta) for x in alike):
        return False
    if native.tiled or work.program.noisy:
        return all(x is None or x.is_contiguous() for x in work.tensors())
    return theta.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(theta)


def strides_alike(x: Tensor, theta: Tensor) -> bool:
    """Whether neighbours are as far apart in both; an axis of one has none, whatever it says."""
    steps = zip(x.stride(), theta.stride(), theta.shape, strict=True)
    return x.stride() == theta.stride() or all(own == other or length == 1 for own, other, length in steps)
