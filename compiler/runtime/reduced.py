"""Runs the Triton kernels of rules with reductions or random numbers: passes that measure, and then the one that steps.

A pass is a launch for each set of dtypes and flags, and leaves a partial result for each piece of a tensor; these are
added up in their order, so a step has the same bits every time. This file's text is part of each generated module that
needs it. It knows no rule.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .memory import random_keys, through_memory
from .rule import Program, Table
from .torch import run_torch
from .triton import (
    BLOCK,
    OPTIONS,
    address_table,
    aligned_in,
    captures,
    chunk_table,
    constants_of,
    flat,
    give_back,
    interprets,
)
from .work import Batch, Work


def run_reduced(batches: list[Batch], table: Table) -> None:
    """All the work of one program, device by device; a value over the tensors of several devices is torch's to find.

    So is one over tensors of several structures, since a branch may have a value over those alone that take it; and so
    is a step that a graph captures, since these tables are sent from memory that the graph could not read again.
    """
    by_device: dict[torch.device, list[Batch]] = {}
    for batch in batches:
        by_device.setdefault(batch.works[0].theta.device, []).append(batch)
    apart = len(by_device) > 1 or any(batch.flags != batches[0].flags for batch in batches)
    if captures(table) or (apart and batches[0].program.lockstep):
        through_memory(run_torch)(batches, table)
        return
    for device, here in by_device.items():
        interpreted = interprets(here[0].program, device)
        with torch.cuda.device(device if device.type == "cuda" else -1):
            step_together(here, table, interpreted)


@dataclass
class Launch:
    """Work that one launch a pass does. `pieces` says what each of its programs works on, `sizes` how much at once that
    is, and `counts` how often.
    """

    batch: Batch
    works: list[Work]
    operands: list[list[Tensor | None]]
    pieces: Tensor
    sizes: tuple[int, ...]
    counts: Tensor


def step_together(batches: list[Batch], table: Table, interpreted: bool) -> None:
    """Passes over all batches of a device; what a pass finds of all of them is known in the next."""
    program, device = batches[0].program, batches[0].works[0].theta.device
    launches = [of for batch in batches for of in launches_of(batch, interpreted)]
    number(launches)
    works = [work for launch in launches for work in launch.works]
    where = address_table([xs for launch in launches for xs in launch.operands])
    pieces = [launch.pieces.to(device, non_blocking=True) for launch in launches]
    scalars = torch.as_tensor(table, dtype=torch.float64).to(device, non_blocking=True)
    facts, reduced = fact_table(program, works), reduced_table(program, works)
    lines = None if program.tiled is None else program.tiled.lines(launches)
    where = (where if lines is None else torch.cat([where, lines.addresses], 1)).to(device, non_blocking=True)
    sums = Sums(program, launches, reduced)
    keys = random_keys(works, where)

    def run(kernel: Any, more: list[Tensor]) -> None:
        for launch, mine in zip(launches, pieces, strict=True):
            fixed = constants_of(launch.batch, launch.operands[0], launch.sizes)
            kernel[(len(mine),)](where, mine, scalars, *keys, facts, reduced, *more, *fixed, **OPTIONS)

    for kernel, columns in program.measures:
        run(kernel, [sums.partials])
        sums.combine([(i, largest) for i, largest, per in columns if per in ("tensor", "model")])
        if lines is not None:
            lines.combine([(i, largest) for i, largest, per in columns if per not in ("tensor", "model")])
    run(program.kernel, [])
    for launch in launches:
        for work, xs in zip(launch.works, launch.operands, strict=True):
            give_back(work, xs)


def launches_of(batch: Batch, interpreted: bool) -> list[Launch]:
    if batch.program.tiled is not None:
        return batch.program.tiled.launches(batch, interpreted)  # type: ignore[no-any-return]
    operands = [flat(work, interpreted, batch.program.noisy) for work in batch.works]
    aligned = aligned_in(address_table(operands))
    chunks = chunk_table(batch.works, aligned, 1)
    counts = ((chunks[:, 2] + BLOCK - 1) // BLOCK).clamp(min=1)
    return [Launch(batch, batch.works, operands, chunks, (BLOCK,), counts)]


def number(launches: list[Launch]) -> None:
    """Counts tensors, and blocks or tiles, through all launches: in the first column, and in one more."""
    tensors, done = 0, 0
    for launch in launches:
        launch.pieces[:, 0] += tensors
        before = done + launch.counts.cumsum(0) - launch.counts
        launch.pieces = torch.cat([launch.pieces, before[:, None]], 1)
        tensors, done = tensors + len(launch.works), done + int(launch.counts.sum())


# ---------------------------------------------------------------- one number a tensor, or for all of them


def fact_table(program: Program, works: list[Work]) -> Tensor:
    """float64: counts, the states of one number, seed, place and step. Row 0 is about all tensors, then one each."""
    counts = torch.tensor([[float(how_many(work, of)) for of in program.counts] for work in works], dtype=torch.float64)
    table = list(torch.cat([counts.sum(0, keepdim=True), counts]).unbind(1))
    device, nothing = works[0].theta.device, torch.zeros((), dtype=torch.float64)
    for i in program.numbers:
        values = [nothing.to(device), *(work.states[i] for work in works)]
        table.append(torch.stack([nothing.to(device) if x is None else x.double() for x in values]))
    if program.noisy:
        keys = [(0, 0, 0), *((work.seed, work.place, int(work.t)) for work in works)]
        table += torch.tensor(keys, dtype=torch.float64).unbind(1)
    return torch.stack([column.to(device) for column in table], 1)


def how_many(work: Work, of: str) -> int:
    """How many elements, rows, columns or matrices a parameter has; it is one tensor."""
    matrices, rows, cols = extents(work.theta)
    return {
        "element": matrices * rows * cols,
        "row": matrices * rows,
        "col": matrices * cols,
        "matrix": matrices,
        "tensor": 1,
    }[of]


def extents(theta: Tensor) -> tuple[int, int, int]:
    """How many matrices a parameter is, of how many rows and columns; a vector is one row."""
    rows, cols = (theta.shape[-2] if theta.ndim > 1 else 1), (theta.shape[-1] if theta.ndim else 1)
    return math.prod(theta.shape[:-2]), rows, cols


def reduced_table(program: Program, works: list[Work]) -> Tensor:
    columns = sum(len(of_pass) for _, of_pass in program.measures)
    return torch.zeros(1 + len(works), max(columns, 1), dtype=torch.float64, device=works[0].theta.device)


class Sums:
    """Partial results of all blocks or tiles, and what they add up to: row 0 of all tensors, then one row a tensor.

    Groups of a tensor's partial results are added up side by side, and then the groups. So a tensor's sum depends on
    nothing but its elements and how they are cut.
    """

    def __init__(self, program: Program, launches: list[Launch], reduced: Tensor) -> None:
        self.reduced, (rows, self.columns) = reduced, reduced.shape
        owners = torch.cat([torch.repeat_interleave(x.pieces[:, 0], x.counts) for x in launches])
        counts = torch.bincount(owners, minlength=rows - 1)
        groups, ends = (counts + BLOCK - 1) // BLOCK, counts.cumsum(0)
        owner = torch.repeat_interleave(torch.arange(rows - 1), groups)
        begin = (ends - counts)[owner] + (torch.arange(len(owner)) - (groups.cumsum(0) - groups)[owner]) * BLOCK
        last = groups.cumsum(0)
        self.partials, self.groups = (
            torch.empty(n, self.columns, dtype=torch.float64, device=reduced.device) for n in (len(owners), len(owner))
        )
        self.in_group = torch.stack([begin, torch.minimum(begin + BLOCK, ends[owner])], 1)
        self.in_row = torch.stack([torch.cat([last[:1] * 0, last - groups]), torch.cat([last[-1:], last])], 1)

    def combine(self, columns: list[tuple[int, bool]]) -> None:
        here = self.reduced.device
        in_group, in_row = (x.to(here, non_blocking=True) for x in (self.in_group, self.in_row))
        stages = ((self.partials, in_group, self.groups), (self.groups, in_row, self.reduced))
        for column, largest in columns:
            for parts, bounds, sums in stages:
                combine[(len(sums),)](parts, bounds, sums, column, self.columns, largest, BLOCK)


@triton.jit
def combine(
    partials, bounds, reduced, column: tl.constexpr, columns: tl.constexpr, largest: tl.constexpr, BLOCK: tl.constexpr
):
    """One column of one row: the sum, or the largest, of its partial results, in their order."""
    row = tl.program_id(0)
    end = tl.load(bounds + 2 * row + 1)
    at = tl.load(bounds + 2 * row) + tl.arange(0, BLOCK)
    kept = tl.full([BLOCK], float("-inf") if largest else 0.0, tl.float64)
    undefined = tl.full([BLOCK], 0, tl.int32)
    while tl.min(at, axis=0) < end:
        x = tl.load(partials + columns * at + column, mask=at < end, other=float("-inf") if largest else 0.0)
        undefined = undefined | (x != x).to(tl.int32)
        kept = tl.maximum(kept, x) if largest else kept + x
        at += BLOCK
    total = tl.max(kept, axis=0) if largest else tl.sum(kept, axis=0)
    tl.store(reduced + columns * row + column, tl.where(tl.max(undefined, axis=0) > 0, float("nan"), total))
