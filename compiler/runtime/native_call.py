"""Native code with its tables: what it is told of the tensors that it steps, and which thread takes what of them.

This file's text is part of each generated module that has native code. It knows no rule.
"""

from __future__ import annotations

import ctypes
import functools
import os
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, pairwise

import torch
from torch import Tensor

from .rule import Function, Table, extents
from .work import Batch

PART = 1 << 16
"""Elements that a thread gets at least: tens of microseconds of work, several times what handing it over takes."""

TOLD = ("tiles", "extents", "rows", "addresses", "scalars", "counts", "reduced", "partials", "keys")
"""What native code is told, in its order: where these tables are; and last the number of tensors."""

SHARE = (ctypes.c_int64, ctypes.c_int64)
"""What a thread is told besides: from which tile to which."""


class Call:
    """Native code and its tables, which hold for as long as no tensor moves."""

    def __init__(self, library: ctypes.CDLL, batch: Batch) -> None:
        self.batch, self.library = batch, library
        self.rest: list[Batch] = []  # like this one, but not to be walked
        self.turns = torch.tensor([work.turn for work in batch.works])
        self.tables: dict[str, Tensor] = {}
        self.told = (ctypes.c_int64 * (len(TOLD) + 1))()
        self.told[-1] = len(batch.works)
        shapes = [extents(work.theta) for work in batch.works]
        if not batch.program.native.tiled:  # then all is one row
            shapes = [(1, 1, work.theta.numel()) for work in batch.works]
        self.tell(extents=torch.tensor(shapes), rows=torch.tensor([work.row for work in batch.works]))
        self._cut()
        self.tell(addresses=torch.tensor([[address(x) for x in work.tensors()] for work in batch.works]))
        self.step = self.entry("step", *SHARE)

    def tell(self, **tables: Tensor) -> None:
        """Gives native code a table in place of what it had."""
        self.tables |= tables
        for name, table in tables.items():
            self.told[TOLD.index(name)] = table.data_ptr()

    def entry(self, name: str, *taken: type[ctypes.c_int64]) -> Function:
        """A function of the code: over all tensors, or over those tiles that it is told to take."""
        return functools.partial(ctypes.CFUNCTYPE(None, ctypes.c_void_p, *taken)((name, self.library)), self.told)

    def _cut(self) -> None:
        """Cuts all tensors into tiles, and tiles into the shares of threads, of about as many elements each."""
        count = len(self.tables["rows"])
        self.grid = torch.empty(count, 2, dtype=torch.int64)
        tiles = torch.empty(count + 1, dtype=torch.int64)
        pointers = (ctypes.c_void_p(x.data_ptr()) for x in (self.tables["extents"], tiles, self.grid))
        self.library.count(ctypes.c_int64(count), *pointers)
        self.tell(tiles=tiles)
        sizes = self.tables["extents"].prod(1)
        self.total = int(sizes.sum())
        self.shares: dict[int, list[int]] = {}
        self.elements = torch.cat([sizes[:1] * 0, sizes.cumsum(0)])

    def ends(self) -> list[int]:
        """Where each thread's tiles begin, and the last one's end."""
        threads = max(1, min(torch.get_num_threads(), self.total // PART))
        if threads not in self.shares:
            tiles = self.tables["tiles"]
            at = torch.arange(1, threads) * self.total // threads
            i = torch.searchsorted(self.elements, at, right=True) - 1
            inside = (at - self.elements[i]) * (tiles[i + 1] - tiles[i]) // (self.elements[i + 1] - self.elements[i])
            self.shares[threads] = [0, *(tiles[i] + inside).tolist(), int(tiles[-1])]
        return self.shares[threads]

    def begin(self, table: Table) -> None:
        """Takes a step's numbers."""
        if isinstance(table, Tensor):
            self.tell(scalars=table.double().contiguous())
            return
        self.numbers = array("d", chain.from_iterable(table))
        self.told[TOLD.index("scalars")] = self.numbers.buffer_info()[0]

    def threaded(self, function: Function) -> None:
        """Calls a function on all tiles, each thread's share by itself."""
        ends = self.ends()
        helped = [pool(os.getpid()).submit(function, *share) for share in pairwise(ends[1:])]
        function(*ends[:2])
        for job in helped:
            job.result()


def step_each_call(calls: Sequence[Call], table: Table) -> None:
    """A step of rules in which no element depends on another."""
    for call in calls:
        call.begin(table)
        call.threaded(call.step)


def address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


@cache
def pool(process: int) -> ThreadPoolExecutor:
    """Threads that wait for their share. `process` is asked for since a forked process has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=f"optc-{process}")
