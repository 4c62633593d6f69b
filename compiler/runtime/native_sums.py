"""Runs native code of rules whose elements depend on one another: passes that measure, the step, and what it leaves.

This file's text is part of each generated module that has such code. It knows no rule.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from .native_call import SHARE, Call
from .rule import Table, extents, how_many
from .work import Batch

LINES = ("row", "col", "matrix")


class SummingCall(Call):
    """Native code in passes, with memory for what these find out."""

    def __init__(self, library: ctypes.CDLL, batch: Batch) -> None:
        super().__init__(library, batch)
        native, tensors = batch.program.native, len(batch.works)
        self.columns = [column for those in native.measures for column in those]
        width = max(1, len(self.columns))
        sized = [[float(how_many(work.theta, of)) for of in native.counts] for work in batch.works]
        counts = torch.tensor(sized, dtype=torch.float64)
        self.reduced = torch.zeros(1 + tensors, width, dtype=torch.float64)
        partials = torch.empty(int(self.tables["tiles"][-1]), width, dtype=torch.float64)
        self.counts = torch.cat([counts.sum(0, keepdim=True), counts])
        self.tell(counts=self.counts, reduced=self.reduced, partials=partials)
        scratch = [x for _, _, per in self.columns if per in LINES for x in self._scratch(per)]
        if scratch:
            self.tell(addresses=torch.cat([self.tables["addresses"], torch.stack(scratch, 1)], 1))
        numbers = range(1, 1 + len(native.measures))
        self.measures = [(self.entry(f"measure{i}", *SHARE), self.entry(f"combine{i}")) for i in numbers]
        self.settle = self.entry("settle") if native.settles else None
        self.noisy = batch.program.noisy  # for noise

    def _scratch(self, per: str) -> tuple[Tensor, Tensor]:
        """The addresses of a reduction's results for lines, and of their parts, by tensor."""
        each = torch.tensor([extents(work.theta) for work in self.batch.works])
        down, across = self.grid.unbind(1)
        matrices, rows, cols = each.unbind(1)
        lines, parts = {
            "row": (matrices * rows, across),
            "col": (matrices * cols, down),
            "matrix": (matrices, down * across),
        }[per]
        sizes = torch.stack([lines, lines * parts], 1).view(-1)
        memory = torch.empty(int(sizes.sum()), dtype=torch.float64)
        self.kept = [*getattr(self, "kept", []), memory]
        places = (memory.data_ptr() + 8 * (sizes.cumsum(0) - sizes)).view(-1, 2)
        return places[:, 0], places[:, 1]

    def begin(self, table: Table) -> None:
        super().begin(table)
        if self.noisy:  # for noise
            self.tell(keys=torch.tensor([[work.seed, work.place, int(work.t)] for work in self.batch.works]))

    def finish(self) -> None:
        """Writes the states that wait for all else."""
        if self.settle is not None:
            self.settle()


def step_in_passes(calls: Sequence[SummingCall], table: Table) -> None:
    """A step of one program: what a pass finds of all tensors is known in the next."""
    for call in calls:
        call.begin(table)
    several = len(calls) > 1 and calls[0].batch.program.lockstep is not None
    if several:
        counts = torch.stack([call.counts[1:].sum(0) for call in calls]).sum(0)
        for call in calls:
            call.counts[0] = counts
    for i, columns in enumerate(calls[0].batch.program.native.measures):
        for call in calls:
            measure, combine = call.measures[i]
            call.threaded(measure)
            combine()
        if several:
            join([call.reduced for call in calls], columns)
    for call in calls:
        call.threaded(call.step)
        call.finish()


def join(tables: list[Tensor], columns: Sequence[tuple[int, bool, str]]) -> None:
    """Gives each table what some reductions over all tensors are, those of the other tables included."""
    for column, is_largest, _ in columns:
        found = torch.stack([table[0, column] for table in tables])
        together = found.amax() if is_largest else found.sum()
        for table in tables:
            table[0, column] = together
