"""A step's work, kept from one step to the next for as long as nothing changes but numbers and gradients.

Nothing is told to an optimizer: groups, states, gradients and their memory may all be replaced between two steps. So
each step looks at everything again, but in passes that run in C: objects must be the same, and addresses equal.
This file's text is part of each generated module.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from .live import live_table
from .rule import counting
from .work import Job, Work

END = object()
LAYOUT, DTYPE = operator.attrgetter("layout"), operator.attrgetter("dtype")


class Counter:
    """How many steps some parameters have made: one vector, of which every `state["step"]` is a view.

    So one addition counts for all of them, and who reads or writes a `state["step"]` reads or writes the count itself.
    """

    def __init__(self, works: list[Work], device: torch.device) -> None:
        memories = list({id(work.memory): work.memory for work in works}.values())
        steps = [torch.as_tensor(memory["step"]).detach().reshape(()) for memory in memories]
        self.steps = torch.stack([x.to(device, counting()) for x in steps]) if steps else torch.zeros(0)
        self.views = [self.steps[i] for i in range(len(memories))]
        self.places = {id(view): i for i, view in enumerate(self.views)}
        self.left = self.steps.clone()  # as the last step left it, to see whether someone has written to it since
        for memory, view in zip(memories, self.views, strict=True):
            memory["step"] = view


class Tally:
    """The part of a counter that a round advances: that of the work of some jobs, whose counts are at `places`."""

    def __init__(self, jobs: list[Job], device: torch.device, counters: list[Counter]) -> None:
        self.jobs = jobs
        works = [work for job in jobs for work in job.works]
        steps = [id(work.memory["step"]) for work in works]
        known = [c for c in counters if c.steps.device == device and all(i in c.places for i in steps)]
        self.counter = known[0] if known else Counter(works, device)
        self.places = [self.counter.places[id(work.memory["step"])] for work in works]
        self.whole = self.places == list(range(len(self.counter.steps)))
        self.index = torch.tensor(self.places, dtype=torch.int64, device=device)
        self.amounts = torch.zeros_like(self.counter.steps).index_fill_(0, self.index, 1.0)

    def advance(self) -> None:
        self.counter.steps.add_(self.amounts)
        self.counter.left.copy_(self.counter.steps)

    def edited(self) -> bool:
        """Whether someone has written to the counts since the last step."""
        return not torch.equal(self.counter.steps, self.counter.left)

    def counts(self) -> Tensor:
        """The count of each work, in its order."""
        return self.counter.steps if self.whole else self.counter.steps[self.index]


class Round:
    """The work of one step, and of the next ones for which `holds` and `lend` say so.

    Raises nothing and changes no state, except that `state["step"]` becomes a view of a counter where it was not one.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        state: dict[Tensor, dict[str, Any]],
        jobs: list[Job],
        last: Round | None,
        structure: list[list[Any]],
    ) -> None:
        self.jobs, self.structure = jobs, structure
        self.works = [work for job in jobs for work in job.works]
        for turn, work in enumerate(self.works):
            work.turn = turn
        self.live = any(job.device is not None for job in jobs)
        counters: list[Counter] = [] if last is None else [tally.counter for tally in last.tallies]
        self.tallies: list[Tally] = [Tally(here, device, counters) for device, here in by_device(jobs).items()]
        self.parameters = [p for group in groups for p in group["params"]]
        self.active = [work.parameter for work in self.works]
        acting = {id(p) for p in self.active}
        self.silent = [p for p in self.parameters if id(p) not in acting]
        self.memory = list(entries(state))
        kept = {
            id(x): x for work in self.works for x in (work.parameter, *work.memory.values()) if isinstance(x, Tensor)
        }
        counted = {id(view) for tally in self.tallies for view in tally.counter.views}
        self.homes = [x for key, x in kept.items() if key not in counted]
        self.kinds = kinds_of([grad for p in self.active if (grad := p.grad) is not None])
        self.seen: list[Any] = []
        self.grads_at: list[int] = []
        try:  # what has no address, or changes on its way to one, is looked at anew at each step
            self.ordinary = all(is_ordinary(p) and is_ordinary(p.grad) for p in self.active)
            self.homes_at = addresses(self.homes)
        except RuntimeError:
            self.ordinary = False

    def holds(
        self, groups: list[dict[str, Any]], state: dict[Tensor, dict[str, Any]], structure: list[list[Any]]
    ) -> bool:
        """Whether the same parameters are to be moved, with the same states in the same places."""
        return (
            self.ordinary
            and structure == self.structure
            and identical(chain.from_iterable(group["params"] for group in groups), self.parameters)
            and identical(entries(state), self.memory)
            and addresses(self.homes) == self.homes_at
            and all(p.grad is None for p in self.silent)
        )

    def lend(self) -> bool:
        """Gives the work this step's gradients. False where one is missing, or not of the kind that it was.

        Between steps only weak references are kept: an optimizer may not keep the last gradients in memory.
        """
        grads = [grad for p in self.active if (grad := p.grad) is not None]
        if not identical(map(operator.call, self.seen), grads):
            if kinds_of(grads) != self.kinds:
                return False
            self.seen = list(map(weakref.ref, grads))
        at = addresses(grads) if self.ordinary else []
        moved = at != self.grads_at or not self.ordinary
        self.grads_at = at
        batches = [batch for job in self.jobs for batch in job.batches]
        for batch in batches:
            batch.moved = moved
        self.rearrange = not batches or (not self.live and self.tallies[0].edited())
        self.lent = moved or self.rearrange or not all(batch.settled for batch in batches)
        if self.lent:
            for work, grad in zip(self.works, grads, strict=True):
                work.grad = work.own(grad)
        return True

    def take_back(self) -> None:
        """Lets go of the gradients."""
        if self.lent:
            for work in self.works:
                work.grad = work.theta

    def count(self, groups: list[dict[str, Any]]) -> None:
        """Counts the step, and computes its numbers out of the groups that the work has the indices of."""
        settings = [] if self.live else [job.settings(groups) for job in self.jobs]
        for tally in self.tallies:
            tally.advance()
        if self.live:
            for tally in self.tallies:
                parts = torch.split(tally.counts(), [len(job.works) for job in tally.jobs])
                for job, counts_of_job in zip(tally.jobs, parts, strict=True):
                    self._fill_live(job, groups, counts_of_job)
            return
        counts: list[float] = self.tallies[0].counts().tolist()
        for job, given in zip(self.jobs, settings, strict=True):
            if self.rearrange:
                job.arrange(counts)
            job.fill(counts, given)

    def _fill_live(self, job: Job, groups: list[dict[str, Any]], counts: Tensor) -> None:
        if self.rearrange:
            job.arrange([])
        job.table = live_table(job, groups, counts)
        if job.dated:
            for work, t in zip(job.works, counts.unbind(), strict=True):
                work.t = t


def by_device(jobs: list[Job]) -> dict[torch.device, list[Job]]:
    """Jobs by where their steps are counted."""
    out: dict[torch.device, list[Job]] = {} if jobs and jobs[0].device is not None else {torch.device("cpu"): []}
    for job in jobs:
        out.setdefault(job.device or torch.device("cpu"), []).append(job)
    return out


def entries(state: dict[Any, Any]) -> Iterable[Any]:
    """What is kept of all parameters; what hooks have put into the state itself is none of it."""
    return chain.from_iterable(map(dict.values, filter(dict.__instancecheck__, state.values())))


def identical(xs: Iterable[Any], ys: Iterable[Any]) -> bool:
    """Whether two sequences hold the same objects."""
    return all(map(operator.is_, chain(xs, (END,)), chain(ys, (END,))))


def addresses(tensors: list[Tensor]) -> list[int]:
    return list(map(Tensor.data_ptr, tensors))


def kinds_of(grads: list[Tensor]) -> list[tuple[Any, ...]]:
    """What must not change from one gradient to the next, each property of all gradients in one pass."""
    if any(layout != torch.strided for layout in map(LAYOUT, grads)):
        return []
    return list(
        zip(
            map(type, grads),
            map(DTYPE, grads),
            map(Tensor.stride, grads),
            map(Tensor.is_neg, grads),
            map(Tensor.is_conj, grads),
            strict=True,
        )
    )


def is_ordinary(x: Tensor | None) -> bool:
    return isinstance(x, Tensor) and type(x) in (Tensor, torch.nn.Parameter) and not x.is_neg() and not x.is_conj()
