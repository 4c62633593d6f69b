"""What there is to do in one step: parameters with their states, gathered with their like. It knows no rule.

This file's text is part of each generated module.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .dtensor import is_sharded
from .rule import Program, Settings, Table, counting, real, sizes


class Precision(NamedTuple):
    """How results are rounded, and what a parameter of 16 bits is the rounding of: None, "float32" or "bits"."""

    rounding: str = "nearest"
    master: str | None = None


@dataclass
class Work:
    """One parameter: what its step reads and writes. It outlives the step, so that the next need not look it all up.

    Complex tensors come as pairs of reals. `sizes` are those that scalars may depend on.
    """

    program: Program
    group: int  # the index of its group
    parameter: Tensor
    memory: dict[str, Any]
    theta: Tensor
    grad: Tensor  # there during a step only
    extra: list[Tensor]
    states: list[Tensor | None]
    flags: tuple[Any, ...]
    kind: tuple[Any, ...]
    sizes: tuple[int, int, int, int]
    maximize: bool = False
    row: int = 0  # of the scalar table
    turn: int = 0  # among all the work of a step
    t: int | Tensor = 0  # for noise, precision: the step, a tensor where the device counts
    place: int = 0  # for noise, precision, inputs: among all parameters
    seed: int = 0  # for noise, precision
    precision: Precision | None = None  # for precision, noise
    part: int | None = None  # for population: whose parameter is stacked with others in one
    local: bool = False  # for shards: whether a process steps its part of a DTensor by itself
    first: int = 0  # for shards, precision: the index of that part's first element

    def own(self, x: Tensor) -> Tensor:
        """What of a tensor like the parameter is this work's."""
        if x.layout != torch.strided:  # for sparse: what it does not name is 0
            x = x.to_dense()
        if self.part is not None:  # for population
            x = x[self.part]
        return real(x)

    def own_memory(self) -> dict[str, Any]:  # for precision
        """The parameter's memory, of which this work may write to what is there."""
        return self.memory

    def tensors(self) -> list[Tensor | None]:
        """In the order of the arguments of a program's step."""
        return [self.theta, self.grad, *self.extra, *self.states]

    def on(self, tensors: list[Any]) -> Work:  # for native
        """The same work on other tensors."""
        theta, grad, *rest = tensors
        return replace(self, theta=theta, grad=grad, extra=rest[: len(self.extra)], states=rest[len(self.extra) :])


def begin(program: Program, group: int, p: Tensor, memory: dict[str, Any], settings: Settings) -> Work:
    """Work on a parameter of the group of that index, its states made where it has none."""
    theta, flags = real(p), program.structure(settings, real(p))
    if "step" not in memory:
        memory["step"] = torch.tensor(0.0, dtype=counting(), device="cpu")
    if any(s.name not in memory and (s.flag is None or flags[s.flag]) for s in program.states):
        memory.update({**program.first_states(theta, settings), **memory})
    states = [memory.get(s.name) if s.flag is None or flags[s.flag] else None for s in program.states]
    for state, x in zip(program.states, states, strict=True):
        if x is not None and x.shape != state.shape(theta):  # code on tensors goes by the parameter's shape
            shapes = f"{tuple(x.shape)}; for a parameter of {tuple(theta.shape)} it must be {tuple(state.shape(theta))}"
            raise RuntimeError(f"state {state.name!r} has the shape {shapes}")
    kind = kind_of(theta, states)
    return Work(program, group, p, memory, theta, theta, [], states, flags, kind, sizes(theta))


def kind_of(theta: Tensor, states: list[Tensor | None]) -> tuple[Any, ...]:
    """What tensors have in common that can be stepped together."""
    return theta.device, is_sharded(theta), theta.dtype, *(None if x is None else x.dtype for x in states)


@dataclass
class Batch:
    """Work that can be done together: one program, device, set of dtypes and set of flags."""

    program: Program
    flags: tuple[Any, ...]
    maximize: bool
    works: list[Work] = field(default_factory=list)
    prepared: Any = None  # for triton, native: what a backend keeps of it between steps
    settled: bool = False  # for triton, native: whether that is all that it needs
    moved: Tensor | None = None  # for triton, native: where the gradients of all work are now, int64, unless as before


@dataclass
class Job:
    """All the work of one program, and the scalar table that it shares: equal rows are made once.

    `firsts` has the first work of each row.
    """

    program: Program
    device: torch.device | None = None  # for graphs: which computes the table, with a row for each work
    works: list[Work] = field(default_factory=list)
    table: Table = field(default_factory=list)
    firsts: list[Work] = field(default_factory=list)
    dated: list[Work] = field(default_factory=list)  # for noise, precision: what must know which step it is
    batches: list[Batch] = field(default_factory=list)
    sizes: dict[int, list[Tensor]] = field(default_factory=dict)  # for graphs: those of a group's works, there
    programs: dict[int, Program] = field(default_factory=dict)

    def settings(self, groups: list[dict[str, Any]]) -> dict[int, Settings]:
        """The numbers of each group that the work is of, by its index."""
        if not self.programs:
            self.programs = {work.group: work.program for work in self.works}
        return {group: program.settings(groups[group]) for group, program in self.programs.items()}

    def arrange(self, counts: list[float]) -> None:
        """Puts work with its like, and finds rows: one for a group and step, and for sizes where these matter."""
        rows: dict[Any, int] = {}
        batches: dict[Any, Batch] = {}
        self.firsts = []
        self.dated = [w for w in self.works if w.program.noisy or w.precision is not None]  # for noise, precision
        for work in self.works:
            key: Any = (work.group, counts[work.turn], work.sizes if self.program.step.sized else None)
            if self.device is not None:  # for graphs
                key = work.turn
            if key not in rows:
                rows[key] = len(rows)
                self.firsts.append(work)
            work.row = rows[key]
            kind: Any = (work.kind, work.grad.dtype, work.flags, work.maximize)
            kind = (kind, work.precision)  # for precision
            if kind not in batches:
                batches[kind] = Batch(work.program, work.flags, work.maximize)
            batches[kind].works.append(work)
        self.batches = list(batches.values())

    def fill(self, counts: list[float], settings: dict[int, Settings]) -> None:
        """This step's numbers, from those of each group."""
        self.table = [
            work.program.step.scalars(*settings[work.group], counts[work.turn], *work.sizes) for work in self.firsts
        ]
        for work in self.dated:  # for noise, precision
            work.t = int(counts[work.turn])
