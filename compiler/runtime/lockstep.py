"""Runs rules with values over all tensors by torch: the tensors advance together, from one such value to the next.

This file's text is part of each generated module whose rule has such values. It knows no rule.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .rule import Function, Table, scalar_rows
from .torch import key, operands, store, written
from .work import Batch


def run_lockstep(batches: list[Batch], table: Table, gathered: Function = list) -> None:
    """Every tensor's generator runs to its next need of all tensors; what they yield is combined and sent back.

    `gathered` makes numbers over whole tensors of those that the generators yield.
    """
    running: list[tuple[Any, list[Tensor]]] = []
    for batch in batches:
        rows = scalar_rows(table, batch.program.step.conditions, batch.works[0].theta)
        for work in batch.works:
            tensors = operands(work.tensors(), batch.maximize)
            rest: list[Any] = [*rows[work.row], *batch.flags]
            rest += key(batch, work)  # for noise
            generator = batch.program.step.run(*tensors, *rest)
            running.append((generator, [work.theta, *written(batch, work)]))
    waiting: dict[int, dict[int, tuple[str, Tensor]]] = {}
    for i in range(len(running)):
        resume(running, i, None, waiting)
    while waiting:
        partials = waiting.pop(min(waiting))
        hows, values = zip(*partials.values(), strict=True)
        total = combined(hows[0], gathered(values))
        for i, (_, partial) in partials.items():
            resume(running, i, total.to(partial), waiting)


def resume(running: list[Any], i: int, value: Tensor | None, waiting: dict[int, dict[int, Any]]) -> None:
    """One generator up to its next `yield site, how, partial`, or to its end, where its results are stored."""
    generator, targets = running[i]
    try:
        site, how, partial = generator.send(value)
    except StopIteration as finished:
        store(finished.value, targets)
    else:
        waiting.setdefault(site, {})[i] = how, partial


def combined(how: str, values: list[Tensor]) -> Tensor:
    stacked = torch.stack([x.to(values[0]) for x in values])
    return stacked.amax(0) if how == "max" else stacked.sum(0)
