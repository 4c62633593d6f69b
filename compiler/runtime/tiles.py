"""Cuts matrices into tiles, and combines what tiles found out about rows, columns and matrices.

This file's text is part of each generated module whose rule has such values. It knows no rule.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="untyped-decorator,no-untyped-call"

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .reduced import Launch
from .rule import extents
from .triton import BLOCK, address_table, aligned_in, flat
from .work import Batch, Work

WIDE = 64
"""Columns of a tile of a large matrix: four 128-bit accesses of bfloat16, eight of float32, side by side."""


@dataclass(frozen=True)
class Tiled:
    """What a rule has of rows, columns and matrices.

    `olds` are the states per row, column or matrix that a step writes, by their index; `columns` the reductions to
    such values: their number among all reductions, the operation, and what there is one term and one result for.
    """

    olds: tuple[int, ...]
    columns: tuple[tuple[int, str, str, str], ...]

    def launches(self, batch: Batch, interpreted: bool) -> list[Launch]:
        """Matrices of like proportions share a launch, since the shape of its tiles is part of the code."""
        by_tile: dict[tuple[int, int, int], list[Work]] = {}
        for work in batch.works:
            by_tile.setdefault(tile_of(work.theta), []).append(work)
        out = []
        for tile, works in by_tile.items():
            operands = [flat(work, interpreted, True) for work in works]
            tiles = tile_table(works, operands, tile)
            out.append(Launch(batch, works, operands, tiles, tile, torch.ones(len(tiles), dtype=torch.int64)))
        return out

    def lines(self, launches: list[Launch]) -> Lines:
        return Lines(self, launches)


def tile_of(theta: Tensor) -> tuple[int, int, int]:
    """Matrices x rows x columns of a tile, each a power of 2: large matrices alone, small ones several at once."""
    _, rows, cols = (min(BLOCK, triton.next_power_of_2(max(1, n))) for n in extents(theta))
    wide = min(cols, max(WIDE, BLOCK // rows))
    high = min(rows, BLOCK // wide)
    return BLOCK // (wide * high), high, wide


def tile_table(works: list[Work], operands: list[list[Tensor | None]], tile: tuple[int, int, int]) -> Tensor:
    """int64 (tiles, 6): which tensor, from which matrix, row and column, which row of scalars, whether it is whole.

    A whole tile is full, and known to be aligned for 128-bit access. Every tensor has one tile at least.
    """
    size, each = torch.tensor(tile), torch.tensor([extents(work.theta) for work in works])
    aligned = torch.tensor(aligned_in(address_table(operands)))
    aligned &= (each[:, 2] % 8 == 0) & (tile[2] >= 8)
    steps = ((each + size - 1) // size).clamp(min=1)
    counts = steps.prod(1)
    owner = torch.repeat_interleave(torch.arange(len(works)), counts)
    place = torch.arange(len(owner)) - (torch.cumsum(counts, 0) - counts)[owner]
    over, down, across = place // (steps[:, 1:].prod(1))[owner], place // steps[owner, 2] % steps[owner, 1], place
    start = torch.stack([over, down, across % steps[owner, 2]], 1) * size
    whole = (start + size <= each[owner]).all(1) & aligned[owner]
    rows = torch.tensor([work.row for work in works])[owner]
    return torch.cat([owner[:, None], start, rows[:, None], whole.long()[:, None]], 1)


KEPT = {"element": [0, 1, 2], "row": [0, 1], "col": [0, 2], "matrix": [0]}
SUMMED = {"row": [2], "col": [1], "matrix": [1, 2]}
"""Of matrices, rows and columns: what a value per row, column or matrix is one for each of, and what it sums over."""

MEANS, ROOTS = ("mean", "rms"), ("norm", "rms")
"""The operations that divide by the number of terms, and those that end with a square root."""


class Lines:
    """Memory for values per row, column and matrix: old states, partial results, and what these combine to.

    `addresses`, int64 (tensors, …), says where each tensor's are, and how many matrices, rows and columns it has.
    """

    def __init__(self, tiled: Tiled, launches: list[Launch]) -> None:
        self.tiled, works = tiled, [work for launch in launches for work in launch.works]
        self.device = works[0].theta.device
        each = torch.tensor([extents(work.theta) for work in works])
        size = torch.tensor([launch.sizes for launch in launches for _ in launch.works])
        steps = ((each + size - 1) // size).clamp(min=1)
        self.kept: list[Tensor] = []
        self.olds: list[tuple[Tensor, list[Tensor]]] = []
        olds = [torch.tensor([at for launch in launches for at in self._copied(launch, i)]) for i in tiled.olds]
        columns = {i: (op, of, per) for i, op, of, per in tiled.columns}
        self.lengths = {i: each[:, KEPT[per]].prod(1) for i, (_, _, per) in columns.items()}
        self.parts = {i: steps[:, SUMMED[per]].prod(1) for i, (_, _, per) in columns.items()}
        gone = {i: [axis for axis in KEPT[of] if axis not in KEPT[per]] for i, (_, of, per) in columns.items()}
        ones = torch.ones(len(works), dtype=torch.int64)
        self.terms = {i: each[:, gone[i]].prod(1) if op in MEANS else ones for i, (op, _, _) in columns.items()}
        self.roots = {i: ones * (op in ROOTS) for i, (op, _, _) in columns.items()}
        found = [at for i in columns for at in self._scratch(i)]
        self.places = dict(zip(columns, zip(found[::2], found[1::2], strict=True), strict=True))
        self.addresses = torch.cat([x.view(len(works), -1) for x in (*olds, each, *found)], 1)

    def _copied(self, launch: Launch, state: int) -> list[int]:
        """Where the old values of a state will be, 0 where it is not kept."""
        xs = [x for operands in launch.operands if (x := operands[state + 2 + len(launch.works[0].extra)]) is not None]
        if not xs:
            return [0] * len(launch.works)
        copy = xs[0].new_empty(sum(x.numel() for x in xs))
        self.olds.append((copy, [x.reshape(-1) for x in xs]))
        counts = [0, *(x.numel() for x in xs[:-1])]
        return [copy.data_ptr() + copy.element_size() * n for n in torch.tensor(counts).cumsum(0).tolist()]

    def copy_olds(self) -> None:
        """Copies the states that a step writes: every program of it reads old values, while one writes."""
        for copy, states in self.olds:
            torch.cat(states, out=copy)

    def _scratch(self, column: int) -> tuple[Tensor, Tensor]:
        """The addresses of a reduction's results, and of their parts."""
        counts = torch.stack([self.lengths[column], self.lengths[column] * self.parts[column]], 1).view(-1)
        memory = torch.empty(int(counts.sum()), dtype=torch.float64, device=self.device)
        self.kept.append(memory)
        places = memory.data_ptr() + memory.element_size() * (counts.cumsum(0) - counts)
        return places[::2], places[1::2]

    def sums(self, columns: list[tuple[int, bool]]) -> Tensor:
        """int64 (…, 7): what there is to combine for some reductions."""
        return torch.cat([self._sums(i) for i, _ in columns])

    def combine(self, work: Tensor, largest: bool) -> None:
        combine_lines[(len(work),)](work, largest, PARTS, RESULTS)

    def _sums(self, column: int) -> Tensor:
        """int64 (…, 7): where parts are and results go, how many of each, the terms of each, whether it ends with a
        square root, and from which result on.
        """
        (results, parts), lengths = self.places[column], self.lengths[column]
        each = (lengths + RESULTS - 1) // RESULTS
        owner = torch.repeat_interleave(torch.arange(len(each)), each)
        start = (torch.arange(len(owner)) - (each.cumsum(0) - each)[owner]) * RESULTS
        columns = (parts, results, self.parts[column], lengths, self.terms[column], self.roots[column])
        return torch.stack([*(x[owner] for x in columns), start], 1)


PARTS, RESULTS = 16, 64
"""How many partial results of how many results a program has in hand at once."""


@triton.jit
def combine_lines(work, largest: tl.constexpr, PARTS: tl.constexpr, RESULTS: tl.constexpr):
    """Some results of one reduction of one tensor, from the sum, or the largest, of their parts, in their order."""
    job = work + 7 * tl.program_id(0).to(tl.int64)
    source = tl.load(job).to(tl.pointer_type(tl.float64))
    target = tl.load(job + 1).to(tl.pointer_type(tl.float64))
    parts, results = tl.load(job + 2), tl.load(job + 3)
    at = tl.load(job + 6) + tl.arange(0, RESULTS)[None, :]
    part = tl.arange(0, PARTS)[:, None].to(tl.int64)
    kept = tl.full([PARTS, RESULTS], float("-inf") if largest else 0.0, tl.float64)
    undefined = tl.full([PARTS, RESULTS], 0, tl.int32)
    for first in range(0, parts, PARTS):
        mask = (first + part < parts) & (at < results)
        x = tl.load(source + (first + part) * results + at, mask=mask, other=float("-inf") if largest else 0.0)
        undefined = undefined | (x != x).to(tl.int32)
        kept = tl.maximum(kept, x) if largest else kept + x
    total = tl.max(kept, axis=0, keep_dims=True) if largest else tl.sum(kept, axis=0, keep_dims=True)
    total = tl.where(tl.max(undefined, axis=0, keep_dims=True) > 0, float("nan"), total)
    total /= tl.load(job + 4)
    tl.store(target + at, tl.where(tl.load(job + 5) != 0, tl.sqrt(total), total), mask=at < results)
