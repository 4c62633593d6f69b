"""Runs rules with matrix operations: fused kernels before and behind, and torch in between, on all matrices of a shape.

This file's text is part of each generated module whose rule has such operations. It knows no rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .rule import Function, Program, Table, at_least_matrix, computing, scalar_rows
from .torch import run_torch
from .triton import captures, run_triton
from .work import Batch, Work


@dataclass(frozen=True)
class Split:
    """The parts of a step with matrix operations. `fused` are the states that kernels know.

    `before` fills memory for `given` values per element; `region` is a function of these, of the states `taken`, of a
    row of scalars and of flags. What it gives goes to `after`, as values per row or whatever `found` says, and then to
    the states `stored`.
    """

    before: Program
    region: Function
    after: Program
    fused: tuple[int, ...]
    given: int
    taken: tuple[int, ...]
    found: tuple[str, ...]
    stored: tuple[int, ...]


def run_split(batches: list[Batch], table: Table) -> None:
    """All the work of one program. What goes from part to part lies in memory that ends with the step.

    A step that a graph captures is torch's, since the parts' tables are sent from memory that ends, too.
    """
    if captures(table):
        run_torch(batches, table)
        return
    split: Split = batches[0].program.split
    stacks = [stack for batch in batches for stack in stacks_of(batch, split)]
    run_triton([fused(stack, split, split.before, stack.given) for stack in stacks], table)
    for stack in stacks:
        stack.found = between(stack, split, table)
    run_triton([fused(stack, split, split.after, stack.found[: len(split.found)]) for stack in stacks], table)
    for stack in stacks:
        keep_states(stack, split)


@dataclass
class Stack:
    """Parameters of one shape, and what is computed of all of them: first axis, the parameters."""

    batch: Batch
    works: list[Work]
    given: list[Tensor]
    found: list[Tensor]


def stacks_of(batch: Batch, split: Split) -> list[Stack]:
    by_shape: dict[torch.Size, list[Work]] = {}
    for work in batch.works:
        by_shape.setdefault(work.theta.shape, []).append(work)
    out = []
    for works in by_shape.values():
        theta = works[0].theta
        size = (len(works), *at_least_matrix(theta).shape)
        empty = [theta.new_empty(size, dtype=computing(theta.dtype)) for _ in range(split.given)]
        out.append(Stack(batch, works, empty, []))
    return out


def fused(stack: Stack, split: Split, program: Program, more: list[Tensor]) -> Batch:
    """One fused part's work: its states are those that kernels know, and what comes from or goes to the region."""
    works = []
    for i, work in enumerate(stack.works):
        own = [of_shape(x[i], work.theta) for x in more]
        works.append(replace(work, program=program, states=[*(work.states[j] for j in split.fused), *own]))
    return Batch(program, stack.batch.flags, stack.batch.maximize, works)


def of_shape(x: Tensor, theta: Tensor) -> Tensor:
    return x.view(theta.shape) if x.numel() == theta.numel() and x.ndim else x


def between(stack: Stack, split: Split, table: Table) -> list[Tensor]:
    """What torch makes of all matrices at once, in the dtype of arithmetic and as far as `found` says."""
    theta, flags = stack.works[0].theta, stack.batch.flags
    dtype = computing(theta.dtype)
    taken = [together([work.states[i] for work in stack.works], dtype) for i in split.taken]
    rows = scalar_rows(table, stack.batch.program.step.conditions, theta)
    scalars = [torch.stack(column) for column in zip(*(rows[work.row] for work in stack.works), strict=True)]
    inputs: list[Any] = [*stack.given, *taken, *scalars]
    axes = tuple(None if x is None else 0 for x in inputs)
    results = torch.vmap(lambda *xs: split.region(*xs, *flags), axes)(*inputs)
    size = len(stack.works), *at_least_matrix(theta).shape
    found = [
        x.to(dtype).expand(size).contiguous() if per == "element" else x.to(dtype)
        for x, per in zip(results, split.found, strict=False)
    ]
    return [*found, *results[len(found) :]]


def together(states: list[Tensor | None], dtype: torch.dtype) -> Tensor | None:
    kept = [x if x.ndim == 0 else at_least_matrix(x) for x in states if x is not None]
    return torch.stack(kept).to(dtype) if kept else None


def keep_states(stack: Stack, split: Split) -> None:
    """Stores the states that torch computed; one that is not kept under these flags is passed over."""
    homes, values = [], []
    for i, x in zip(split.stored, stack.found[len(split.found) :], strict=True):
        for work, value in zip(stack.works, x, strict=True):
            home = work.states[i]
            if home is not None:
                homes.append(at_least_matrix(home) if value.ndim else home)
                values.append(value.expand_as(homes[-1]))
    if homes:
        torch._foreach_copy_(homes, values)
