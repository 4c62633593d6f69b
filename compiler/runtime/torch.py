"""Runs a program's step by torch operations, tensor by tensor. It knows no rule.

This file's text is part of each generated module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .dtensor import put
from .rule import Function, Table, at_least_matrix, computing, scalar_rows, widened
from .work import Batch, Work


def advance(
    run: Function, tensors: list[Tensor | None], rest: list[Any], maximize: bool, targets: list[Tensor]
) -> None:
    """One parameter's step: arithmetic in one dtype, one rounding as each result is stored."""
    store(run(*operands(tensors, maximize), *rest), targets)


def run_torch(batches: list[Batch], table: Table, step: Function = advance) -> None:
    """All the work of one program, tensor by tensor."""
    if batches[0].program.lockstep is not None:  # for lockstep
        batches[0].program.lockstep(batches, table)
        return
    for batch in batches:
        step_each(batch, batch.works, table, step)


def step_each(batch: Batch, works: Iterable[Work], table: Table, step: Function) -> None:
    """Steps work like that of a batch, one after the other."""
    rows = scalar_rows(table, batch.program.step.conditions, batch.works[0].theta)
    for work in works:
        rest: list[Any] = [*rows[work.row], *batch.flags]
        rest += key(batch, work)  # for noise
        step(batch.program.step.run, work.tensors(), rest, batch.maximize, [work.theta, *written(batch, work)])


def key(batch: Batch, work: Work) -> list[Tensor]:
    """What random numbers depend on, as a tensor, so that a compiled step serves every key."""
    if not batch.program.noisy:
        return []
    if isinstance(work.t, Tensor):  # for graphs
        return [torch.stack([torch.full_like(work.t, work.seed), torch.full_like(work.t, work.place), work.t]).long()]
    return [torch.tensor([work.seed, work.place, work.t], device=work.theta.device)]


def operands(tensors: list[Tensor | None], maximize: bool) -> list[Tensor | None]:
    assert tensors[0] is not None
    dtype, numel = computing(tensors[0].dtype), tensors[0].numel()
    if torch.is_grad_enabled():  # `differentiable`: the graph must keep what storing the results overwrites
        tensors = [None if x is None else x.clone() for x in tensors]
    theta, grad, *others = (widened(x, dtype, numel) for x in tensors)
    return [theta, -grad if maximize else grad, *others]  # type: ignore[operator]


def written(batch: Batch, work: Work) -> list[Tensor]:
    states = zip(work.states, batch.program.states, strict=True)
    return [x for x, state in states if state.written and x is not None]


def store(results: Sequence[Tensor | None], targets: list[Tensor]) -> None:
    for target, value in zip(targets, (x for x in results if x is not None), strict=True):
        put(value, at_least_matrix(target))
