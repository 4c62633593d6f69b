"""Runs the Triton kernels of rules with reductions or random numbers: passes that measure, and then the one that steps.

A pass is a launch for each set of dtypes and flags, and leaves a partial result for each piece of a tensor; these are
added up in their order, so a step has the same bits every time. This file's text is part of each generated module that
needs it. It knows no rule.
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

from .memory import random_keys, through_memory
from .rule import Function, Program, Table, how_many
from .tables import CAPTURED, Tables
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
    homes_of,
    interprets,
    on_device,
    on_host,
)
from .work import Batch, Work


def run_reduced(batches: list[Batch], table: Table) -> None:
    """All the work of one program, device by device; a value over the tensors of several devices is torch's to find.

    So is one over tensors of several structures, since a branch may have a value over those alone that take it.
    """
    by_device: dict[torch.device, list[Batch]] = {}
    for batch in batches:
        by_device.setdefault(batch.works[0].theta.device, []).append(batch)
    if batches[0].program.lockstep and len({(b.works[0].theta.device, b.flags) for b in batches}) > 1:  # for lockstep
        by_torch(batches, table)
        return
    for device, here in by_device.items():
        interpreted = interprets(here[0].program, device)
        with on_device(device):
            step_together(here, table, interpreted)


def step_together(batches: list[Batch], table: Table, interpreted: bool) -> None:
    """One step, prepared as the last one was, if it can be. A step that a graph captures must be, or torch takes it."""
    kept: Together | None = batches[0].prepared
    if kept is None or not kept.holds(batches):
        if captures(table):  # for graphs
            by_torch(batches, table)
            return
        kept = Together(batches, table, interpreted)
        batches[0].prepared = kept
        kept.run(table, kept.tables.views)
        kept.settle()
    else:
        kept.run(table, kept.now(table))


def by_torch(batches: list[Batch], table: Table) -> None:
    run: Function = run_torch
    run = through_memory(run)  # for precision
    run(batches, table)


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


class Together:
    """Passes over all batches of a device; what a pass finds of all of them is known in the next.

    It is kept between steps if no operand is a copy. What then changes are scalars, facts, and where gradients are.
    """

    def __init__(self, batches: list[Batch], table: Table, interpreted: bool) -> None:
        self.batches, self.program, self.device = batches, batches[0].program, batches[0].works[0].theta.device
        self.launches = [of for batch in batches for of in launches_of(batch, interpreted)]
        number(self.launches)
        self.works = [work for launch in self.launches for work in launch.works]
        self.fixed = [constants_of(of.batch, of.operands[0], of.sizes) for of in self.launches]
        addresses = address_table([xs for launch in self.launches for xs in launch.operands])
        self.turns = torch.tensor([work.turn for work in self.works])
        self.facts, self.reduced = fact_table(self.program, self.works), reduced_table(self.program, self.works)
        self.sums = Sums(self.launches, self.reduced)
        self.lines = None if self.program.tiled is None else self.program.tiled.lines(self.launches)
        where = addresses if self.lines is None else torch.cat([addresses, self.lines.addresses], 1)
        sums = [] if self.lines is None else [self.lines.sums(those) for of in self.measured() for those in of]
        parts = [on_host(table), where, *self.sums.bounds, *(launch.pieces for launch in self.launches), *sums]
        self.tables = Tables(parts, self.device)
        if isinstance(table, Tensor):  # for graphs
            self.tables.expect_graphs()

    def measured(self) -> list[list[list[tuple[int, bool]]]]:
        """For each pass the values per row, column and matrix: sums, and then what is the largest of something."""
        out = []
        for _, columns in self.program.measures:
            those = [(i, largest) for i, largest, per in columns if per not in ("tensor", "model")]
            out.append([[x for x in those if x[1] == largest] for largest in sorted({largest for _, largest in those})])
        return out

    def settle(self) -> None:
        """Lets go of gradients, and says whether the next step may be prepared as this one was."""
        operands = [xs for launch in self.launches for xs in launch.operands]
        own = all(map(is_, chain.from_iterable(operands), chain.from_iterable(map(homes_of, self.works))))
        for batch in self.batches:
            batch.settled = own
            batch.settled &= not self.program.inputs  # for inputs
        for xs in operands:
            xs[1] = None
        if not self.batches[0].settled:
            self.batches[0].prepared = None

    def holds(self, batches: list[Batch]) -> bool:
        """Whether these are the same batches, with operands where they were but for gradients."""
        same = len(batches) == len(self.batches) and all(map(is_, batches, self.batches))
        return same and all(batch.settled for batch in batches)

    def now(self, table: Table) -> list[Tensor]:
        """The tables with what is new in them."""
        moved = self.batches[0].moved
        gradients = None if moved is None else moved[self.turns]
        if captures(table):  # for graphs
            CAPTURED.append(self)
            return self.tables.in_graph(gradients)
        return self.tables.now(on_host(table), gradients)

    def run(self, table: Table, tables: list[Tensor]) -> None:
        scalars, where, in_group, in_row, *rest = tables
        if isinstance(table, Tensor):  # for graphs
            scalars = table.to(self.device)
        pieces, sums = rest[: len(self.launches)], iter(rest[len(self.launches) :])
        keys: list[Tensor] = []
        keys = random_keys(self.works, where)  # for precision
        renew(self.facts, self.program, self.works)
        tiled = self.lines
        if tiled is not None:
            tiled.copy_olds()

        def launch(kernel: Any, more: list[Tensor]) -> None:
            for mine, fixed in zip(pieces, self.fixed, strict=True):
                given = where, mine, scalars, *keys, self.facts, self.reduced
                kernel[(len(mine),)](*given, *more, *fixed, **OPTIONS)

        for (kernel, columns), lines in zip(self.program.measures, self.measured(), strict=True):
            launch(kernel, [self.sums.partials])
            self.sums.combine(
                [(i, largest) for i, largest, per in columns if per in ("tensor", "model")], in_group, in_row
            )
            if tiled is not None:
                for those in lines:
                    tiled.combine(next(sums), those[0][1])
        launch(self.program.kernel, [])
        for of in self.launches:
            for work, xs in zip(of.works, of.operands, strict=True):
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
    counts = torch.tensor(
        [[float(how_many(work.theta, of)) for of in program.counts] for work in works], dtype=torch.float64
    )
    table = torch.zeros(1 + len(works), len(program.counts) + len(program.numbers) + 3 * program.noisy).double()
    table[:, : len(program.counts)] = torch.cat([counts.sum(0, keepdim=True), counts])
    if program.noisy:  # for noise
        table[1:, -3:-1] = torch.tensor([(work.seed, work.place) for work in works])
    return table.to(works[0].theta.device)


def renew(facts: Tensor, program: Program, works: list[Work]) -> None:
    """Puts into a table of facts what is another at each step: states of one number, and which step it is."""
    nothing = facts.new_zeros(())
    for column, i in enumerate(program.numbers, len(program.counts)):
        facts[1:, column] = torch.stack([nothing if (x := work.states[i]) is None else x for work in works])
    if program.noisy and isinstance(works[0].t, Tensor):  # for noise
        facts[1:, -1] = torch.stack([torch.as_tensor(work.t) for work in works])
    elif program.noisy:
        facts[1:, -1] = torch.tensor([float(work.t) for work in works], dtype=torch.float64)


def reduced_table(program: Program, works: list[Work]) -> Tensor:
    columns = sum(len(of_pass) for _, of_pass in program.measures)
    return torch.zeros(1 + len(works), max(columns, 1), dtype=torch.float64, device=works[0].theta.device)


class Sums:
    """Partial results of all blocks or tiles, and what they add up to: row 0 of all tensors, then one row a tensor.

    Groups of a tensor's partial results are added up side by side, and then the groups. So a tensor's sum depends on
    nothing but its elements and how they are cut. `bounds` says from which to which each group adds up, and each row.
    """

    def __init__(self, launches: list[Launch], reduced: Tensor) -> None:
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
        in_group = torch.stack([begin, torch.minimum(begin + BLOCK, ends[owner])], 1)
        in_row = torch.stack([torch.cat([last[:1] * 0, last - groups]), torch.cat([last[-1:], last])], 1)
        self.bounds = in_group, in_row

    def combine(self, columns: list[tuple[int, bool]], in_group: Tensor, in_row: Tensor) -> None:
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
