"""Runs a program's step by torch operations, tensor by tensor, eager or compiled. It knows no rule.

This file's text is part of each generated module.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .blocks import IN_CACHE, PACKED, blocks, unpack
from .dtensor import over_processes, put
from .rule import Function, Table, at_least_matrix, computing, scalar_rows, widened
from .work import Batch, Work


def run_torch(batches: list[Batch], table: Table) -> None:
    """All the work of one program, tensor by tensor; on a CPU in blocks, where the rule works element by element."""
    run_with(advance, IN_CACHE, batches, table)


def run_compiled(batches: list[Batch], table: Table) -> None:
    """The same through torch.compile: one graph for tensors of all sizes.

    What it loads makes the whole process flush subnormal numbers to 0; here the setting is put back.
    """
    flushing = flushes_subnormals()
    try:
        run_with(compiled_advance(), None, batches, table)
    finally:
        torch.set_flush_denormal(flushing)


def flushes_subnormals() -> bool:
    return (torch.full((), 1e-40, dtype=torch.float32) * 1.0).item() == 0.0


@cache
def compiled_advance() -> Function:
    return torch.compile(advance, dynamic=True)


def run_with(step: Function, cut: int | None, batches: list[Batch], table: Table) -> None:
    """`cut` is the size of the blocks that large tensors are cut into, None where they stay whole."""
    if batches[0].program.lockstep:
        return run_lockstep(batches, table)
    for batch in batches:
        first = batch.works[0].theta
        rows = scalar_rows(table, batch.program.step.conditions, first)
        in_blocks = batch.program.elementwise and first.device.type == "cpu" and not torch.is_grad_enabled()
        parts = blocks(batch.works, cut or PACKED, cut is not None) if in_blocks else ((w, []) for w in batch.works)
        for work, members in parts:
            targets = [work.theta, *written(batch, work)]
            rest = [*rows[work.row], *batch.flags, *key(batch, work)]
            step(batch.program.step.run, work.tensors(), rest, batch.maximize, targets)
            unpack(work, members)
    return None


def advance(
    run: Function, tensors: list[Tensor | None], rest: list[Any], maximize: bool, targets: list[Tensor]
) -> None:
    """One parameter's step: arithmetic in one dtype, one rounding as each result is stored."""
    store(run(*operands(tensors, maximize), *rest), targets)


def key(batch: Batch, work: Work) -> list[Tensor]:
    """What random numbers depend on, as a tensor, so that a compiled step serves every key."""
    if not batch.program.noisy:
        return []
    if isinstance(work.t, Tensor):
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


# ---------------------------------------------------------------- values over all tensors


def run_lockstep(batches: list[Batch], table: Table) -> None:
    """Every tensor's generator runs to its next need of all tensors; what they yield is combined and sent back."""
    running: list[tuple[Any, list[Tensor]]] = []
    for batch in batches:
        rows = scalar_rows(table, batch.program.step.conditions, batch.works[0].theta)
        for work in batch.works:
            tensors = operands(work.tensors(), batch.maximize)
            generator = batch.program.step.run(*tensors, *rows[work.row], *batch.flags, *key(batch, work))
            running.append((generator, [work.theta, *written(batch, work)]))
    waiting: dict[int, dict[int, tuple[str, Tensor]]] = {}
    for i in range(len(running)):
        resume(running, i, None, waiting)
    while waiting:
        partials = waiting.pop(min(waiting))
        total = combined(list(partials.values()))
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


def combined(partials: list[tuple[str, Tensor]]) -> Tensor:
    values = over_processes([x for _, x in partials])
    stacked = torch.stack([x.to(values[0]) for x in values])
    return stacked.amax(0) if partials[0][0] == "max" else stacked.sum(0)
