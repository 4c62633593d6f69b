"""What there is to do in one step: parameters with their states, gathered with their like. It knows no rule.

This file's text is part of each generated module.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .runtime_rule import Program, Settings, Table, real, sizes


@dataclass
class Work:
    """One parameter: what its step reads and writes. It outlives the step, so that the next need not look it all up.

    Complex tensors come as pairs of reals. `row` is the row of the scalar table, `seed` and `place` (among all
    parameters) with `t` are what random numbers depend on.
    """

    program: Program
    place: int
    parameter: Tensor
    memory: dict[str, Any]
    theta: Tensor
    grad: Tensor
    extra: list[Tensor]
    states: list[Tensor | None]
    flags: tuple[Any, ...]
    kind: tuple[Any, ...]
    t: int = 0
    row: int = 0
    seed: int = 0

    def tensors(self) -> list[Tensor | None]:
        """In the order of the arguments of a program's step."""
        return [self.theta, self.grad, *self.extra, *self.states]

    def on(self, tensors: list[Any]) -> Work:
        """The same work on other tensors."""
        theta, grad, *rest = tensors
        return replace(self, theta=theta, grad=grad, extra=rest[: len(self.extra)], states=rest[len(self.extra) :])

    def holds(self, program: Program, parameter: Tensor, memory: dict[str, Any], settings: Settings) -> bool:
        """Whether this is still the work on a parameter: the same tensors, the same structure."""
        if self.program is not program or self.parameter is not parameter or self.memory is not memory:
            return False
        if parameter.is_complex() or (
            program.flags is not None and self.flags != program.structure(settings, self.theta)
        ):
            return False
        states = zip(program.states, self.states, strict=True)
        return all(x is None or memory.get(s.name) is x for s, x in states)


def begin(program: Program, place: int, p: Tensor, memory: dict[str, Any], settings: Settings) -> Work:
    """Work on a parameter, its states made where it has none."""
    theta, flags = real(p), program.structure(settings, real(p))
    if not memory:
        memory["step"] = torch.tensor(0.0, dtype=torch.float32)
    if any(s.name not in memory and (s.flag is None or flags[s.flag]) for s in program.states):
        memory.update({**program.first_states(theta, settings), **memory})
    states = [memory.get(s.name) if s.flag is None or flags[s.flag] else None for s in program.states]
    kind = (theta.device, theta.dtype, *(None if x is None else x.dtype for x in states))
    return Work(program, place, p, memory, theta, theta, [], states, flags, kind)


def count_steps(works: list[Work]) -> None:
    """Adds one to every parameter's number of steps."""
    steps = [work.memory["step"] for work in works]
    if steps:
        torch._foreach_add_(steps, 1)
        for work, t in zip(works, torch.stack(steps).tolist(), strict=True):
            work.t = int(t)


@dataclass
class Batch:
    """Work that can be done together: one program, device, set of dtypes and set of flags."""

    program: Program
    flags: tuple[Any, ...]
    maximize: bool
    works: list[Work] = field(default_factory=list)


@dataclass
class Job:
    """All the work of one program in one step, and the scalar table that it shares: equal rows are made once."""

    program: Program
    table: Table = field(default_factory=list)
    rows: dict[Any, int] = field(default_factory=dict)
    batches: dict[Any, Batch] = field(default_factory=dict)

    def add(self, work: Work, group: int, settings: Settings, maximize: bool) -> None:
        """Puts work with its like, and finds its row: one for a group and step, and for sizes where these matter."""
        key = (group, work.t, work.theta.shape if self.program.step.sized else None)
        if key not in self.rows:
            self.rows[key] = len(self.table)
            self.table.append(self.program.step.scalars(*settings, float(work.t), *sizes(work.theta)))
        work.row = self.rows[key]
        kind = (work.kind, work.grad.dtype, work.flags, maximize)
        if kind not in self.batches:
            self.batches[kind] = Batch(self.program, work.flags, maximize)
        self.batches[kind].works.append(work)
