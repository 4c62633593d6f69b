"""Cuts large tensors and packs small ones into blocks that suit a CPU, for rules that work element by element.

Eager torch writes every intermediate result to memory: in blocks these stay in the cache, and calls are shared.
This file's text is part of each generated module.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .rule import Function, Table
from .torch import advance, run_torch, step_each
from .work import Batch, Work

IN_CACHE = 1 << 15
"""Elements of a block in eager mode: a handful of float32 temporaries fill a core's second-level cache."""


def run_in_blocks(
    batches: list[Batch], table: Table, step: Function = advance, size: int = IN_CACHE, cut: bool = True
) -> None:
    """All the work of one program by torch: on a CPU in blocks of about `size` elements, where the rule allows it."""
    if not batches[0].program.elementwise or torch.is_grad_enabled():
        run_torch(batches, table, step)
        return
    for batch in batches:
        on_cpu = batch.works[0].theta.device.type == "cpu"
        step_each(batch, in_blocks(batch.works, size, cut) if on_cpu else batch.works, table, step)


def in_blocks(works: list[Work], size: int, cut: bool) -> Iterator[Work]:
    """The blocks; what is done on one goes home before the next. Without `cut`, large tensors stay whole."""
    for block, members in blocks(works, size, cut):
        yield block
        unpack(block, members)


def blocks(works: list[Work], size: int, cut: bool) -> Iterator[tuple[Work, list[Work]]]:
    """Work in flat blocks of about `size` elements, each with the parameters that it is a copy of: none, if a view."""
    waiting: dict[int, list[Work]] = {}
    for work in works:
        if work.theta.numel() >= size and in_order(work):
            yield from ((piece, []) for piece in pieces(work, size if cut else work.theta.numel()))
            continue
        pack = waiting.setdefault(work.row, [])
        pack.append(work)
        if sum(w.theta.numel() for w in pack) >= size:
            yield packed(waiting.pop(work.row))
    for pack in waiting.values():
        yield packed(pack)


def in_order(work: Work) -> bool:
    return all(x is None or x.is_contiguous() for x in work.tensors())


def pieces(work: Work, size: int) -> Iterator[Work]:
    """A parameter cut into views of at most `size` elements."""
    parts = [None if x is None else torch.split(x.view(-1), size) for x in work.tensors()]
    for i in range(-(-work.theta.numel() // size)):
        yield work.on([None if part is None else part[i] for part in parts])


def packed(works: list[Work]) -> tuple[Work, list[Work]]:
    """Parameters that share a row of scalars, one after the other in memory; a single one stays where it is."""
    if len(works) == 1 and in_order(works[0]):
        return works[0].on([None if x is None else x.view(-1) for x in works[0].tensors()]), []
    columns = zip(*(work.tensors() for work in works), strict=True)
    joined = [None if xs[0] is None else torch.cat([x.reshape(-1) for x in xs if x is not None]) for xs in columns]
    return works[0].on(joined), works


def unpack(block: Work, works: list[Work]) -> None:
    """Copies what was computed in a block back to its parameters and their states."""
    if not works:
        return
    counts = [work.theta.numel() for work in works]
    pairs = []
    for i, x in enumerate([block.theta, *block.states]):
        homes = [[work.theta, *work.states][i] for work in works]
        parts = () if x is None else torch.split(x, counts)
        pairs += [(home, part.view_as(home)) for home, part in zip(homes, parts, strict=False) if home is not None]
    torch._foreach_copy_([home for home, _ in pairs], [value for _, value in pairs])
