"""Steps parameters that are DTensors by functions that know of none.

Where no element depends on another, work on a DTensor is work on this process's part. What reduces runs as operations
on DTensors, which put together what each process makes of its part. What needs a tensor in one piece, such as a product
of matrices, gathers it, and every process does the same work. This file's text is part of each generated module.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from .dtensor import (
    cut_like,
    first_of,
    full,
    is_sharded,
    over_processes,
    own_part,
    part_of,
    replicated,
    sharded_like,
)
from .look import Seen
from .rule import Function, State, Table, real
from .work import Batch, Work, kind_of


@dataclass
class PartWork(Work):
    """Work on what this process has of a DTensor, from the element of the index `first` on."""

    def own(self, x: Tensor) -> Tensor:
        part: Tensor = own_part(real(sharded_like(x, self.parameter)))
        return part

    def own_memory(self) -> dict[str, Any]:
        return {name: own_part(x) for name, x in self.memory.items()}


def localised(work: Work) -> Work:
    """Work on a DTensor as work on this process's part, where no element depends on what another process has.

    Codes have scales for blocks of the whole tensor. Random bits go by the index in it: elements that do not follow
    one another have none of which one call of Philox would serve many.
    """
    coded = any(type(state) is not State for state in work.program.states)
    if not is_sharded(work.theta) or work.program.shards != "alone" or coded:
        return work
    first: int | None = 0
    if work.precision is not None and work.precision.rounding == "stochastic":  # for precision
        first = first_of(work.theta)
    if first is None:
        return work
    theta, states = own_part(work.theta), [None if x is None else own_part(x) for x in work.states]
    same = {field.name: getattr(work, field.name) for field in fields(work)}
    own = {"theta": theta, "grad": theta, "states": states, "kind": kind_of(theta, states)}
    return PartWork(**{**same, **own, "local": True, "first": first})


def sends(works: list[Work]) -> bool:
    """Whether a step has to send something: gradients are sharded otherwise than parameters, or tensors gathered."""
    parameters = [work.parameter for work in works]
    apart = shardings(parameters) != shardings([p.grad for p in parameters])
    return apart or any(is_sharded(work.theta) for work in works)


def shardings(tensors: list[Any]) -> list[Any]:
    return [getattr(x, "placements", None) for x in tensors]


def at_own_parts(look: Function) -> Function:
    """A look at what this process has of tensors, and at how they are sharded."""

    def look_at_parts(tensors: list[Tensor], lists: list[list[Any]], memories: list[dict[str, Any]]) -> Seen:
        seen: Seen = look(list(map(part_of, tensors)), lists, memories)
        return None if seen is None else (seen[0], (seen[1], shardings(tensors)))

    return look_at_parts


def through_shards(run: Function, run_torch: Function) -> Function:
    """A backend's function for work on DTensors; `run_torch` is the backend that can take them as they are."""

    def run_sharded(batches: list[Batch], table: Table) -> None:
        if not batches[0].program.lockstep and (plain := [b for b in batches if not is_sharded(b.works[0].theta)]):
            run(plain, table)
            batches = [b for b in batches if is_sharded(b.works[0].theta)]
        by_reductions = batches[0].program.shards == "reduced"
        by_reductions &= all(batch.works[0].precision is None for batch in batches)  # for precision
        if by_reductions:
            lockstep = batches[0].program.lockstep
            more = () if lockstep is None else (over_processes,)
            (lockstep or run_torch)(changed(batches, on_dtensors), table, *more)
        else:
            for portion in one_by_one(batches):
                run_whole(run, portion, table)

    return run_sharded


def changed(batches: list[Batch], change: Function) -> list[Batch]:
    return [replace(batch, works=[change(work) for work in batch.works]) for batch in batches]


def one_by_one(batches: list[Batch]) -> list[list[Batch]]:
    """One parameter at a time, so that few tensors are whole; all of them in lockstep."""
    if batches[0].program.lockstep:
        return [batches]
    return [[replace(batch, works=[work])] for batch in batches for work in batch.works]


def aligned(work: Work) -> Work:
    """The work with its gradient and inputs sharded as the parameter is. Raises RuntimeError where these are whole."""
    grad, *extra = (sharded_like(x, work.theta) for x in (work.grad, *work.extra))
    return replace(work, grad=grad, extra=extra)


def on_dtensors(work: Work) -> Work:
    """The work with every state a DTensor; what all processes have whole is replicated."""
    theta: Any = work.theta
    if not is_sharded(theta):
        return aligned(work)
    states = [x if x is None or is_sharded(x) else replicated(x, theta.device_mesh) for x in work.states]
    return replace(aligned(work), states=states)


def on_whole(work: Work) -> Work:
    """The work on whole tensors, with a memory that has them too."""
    work = aligned(work)
    memory = {name: full(x) for name, x in work.memory.items()}
    pairs = zip(work.program.states, work.states, strict=True)
    states = [None if x is None else memory[state.name] for state, x in pairs]
    theta, grad, *extra = map(full, (work.theta, work.grad, *work.extra))
    return replace(work, memory=memory, theta=theta, grad=grad, extra=extra, states=states)


def run_whole(run: Function, batches: list[Batch], table: Table) -> None:
    """Runs work on gathered tensors, and keeps this process's part of the results."""
    gathered = changed(batches, on_whole)
    run(gathered, table)
    for batch, done in zip(batches, gathered, strict=True):
        for work, whole in zip(batch.works, done.works, strict=True):
            for home, x in [(work.theta, whole.theta), *((work.memory[name], x) for name, x in whole.memory.items())]:
                if is_sharded(home):
                    own_part(home).copy_(own_part(cut_like(x, home)))
