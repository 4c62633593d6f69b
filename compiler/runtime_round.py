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

from .runtime_rule import Settings, real
from .runtime_work import Job, Work

END = object()
LAYOUT, DTYPE = operator.attrgetter("layout"), operator.attrgetter("dtype")


class Counter:
    """How many steps some parameters have made: one vector, of which every `state["step"]` is a view.

    So one addition counts for all of them, and who reads or writes a `state["step"]` reads or writes the count itself.
    """

    def __init__(self, works: list[Work]) -> None:
        self.steps = torch.tensor([float(work.memory["step"]) for work in works], dtype=torch.float32)
        self.views = [self.steps[i] for i in range(len(works))]
        self.places = {id(view): i for i, view in enumerate(self.views)}
        self.left = self.steps.clone()  # as the last step left it, to see whether someone has written to it since
        for work, view in zip(works, self.views, strict=True):
            work.memory["step"] = view

    def edited(self) -> bool:
        return not torch.equal(self.steps, self.left)

    def places_of(self, works: list[Work]) -> list[int] | None:
        """Where the counts of some work are; None if it is not all counted here."""
        places = [self.places.get(id(work.memory["step"])) for work in works]
        return None if None in places else [i for i in places if i is not None]


class Round:
    """The work of one step, and of the next ones for which `holds` and `lend` say so.

    Raises nothing and changes no state, except that `state["step"]` becomes a view of a counter where it was not one.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        state: dict[Tensor, dict[str, Any]],
        jobs: list[Job],
        counter: Counter | None,
        structure: list[list[Any]],
    ) -> None:
        self.jobs, self.structure = jobs, structure
        self.works = [work for job in jobs for work in job.works]
        for turn, work in enumerate(self.works):
            work.turn = turn
        self._count_in(counter)
        self.maximize = [group["maximize"] for group in groups]
        self.parameters = [p for group in groups for p in group["params"]]
        self.active = [work.parameter for work in self.works]
        acting = {id(p) for p in self.active}
        self.silent = [p for p in self.parameters if id(p) not in acting]
        self.memory = list(chain.from_iterable(map(dict.values, state.values())))
        self.homes = [x for work in self.works for x in (work.parameter, *work.states) if x is not None]
        self.kinds = kinds_of([grad for p in self.active if (grad := p.grad) is not None])
        self.seen: list[Any] = []
        self.grads_at: list[int] = []
        try:  # what has no address, or changes on its way to one, is looked at anew at each step
            self.ordinary = all(is_ordinary(p) and is_ordinary(p.grad) for p in self.active)
            self.homes_at = addresses(self.homes)
        except RuntimeError:
            self.ordinary = False

    def _count_in(self, counter: Counter | None) -> None:
        places = None if counter is None else counter.places_of(self.works)
        if counter is None or places is None:
            counter, places = Counter(self.works), list(range(len(self.works)))
        self.counter, self.counts_at = counter, places if places != list(range(len(counter.steps))) else None
        self.amounts = torch.zeros_like(counter.steps)
        self.amounts[places] = 1.0

    def holds(
        self, groups: list[dict[str, Any]], state: dict[Tensor, dict[str, Any]], structure: list[list[Any]]
    ) -> bool:
        """Whether the same parameters are to be moved, with the same states in the same places."""
        return (
            self.ordinary
            and structure == self.structure
            and identical(chain.from_iterable(group["params"] for group in groups), self.parameters)
            and identical(chain.from_iterable(map(dict.values, state.values())), self.memory)
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
        self.rearrange = self.counter.edited() or not batches
        self.lent = moved or self.rearrange or not all(batch.settled for batch in batches)
        if self.lent:
            for work, grad in zip(self.works, grads, strict=True):
                work.grad = real(grad)
        return True

    def take_back(self) -> None:
        """Lets go of the gradients."""
        if self.lent:
            for work in self.works:
                work.grad = work.theta

    def count(self, settings: list[list[Settings]]) -> None:
        """Counts the step, and computes its numbers. `settings` has them for each group, and there for each program."""
        counter = self.counter
        counter.steps.add_(self.amounts)
        counter.left.copy_(counter.steps)
        steps = counter.steps.tolist()
        counts = steps if self.counts_at is None else [steps[i] for i in self.counts_at]
        for job in self.jobs:
            if self.rearrange:
                job.arrange(counts, self.maximize)
            job.fill(counts, settings)


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
