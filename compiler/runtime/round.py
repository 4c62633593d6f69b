"""A step's work, kept from one step to the next for as long as nothing changes but numbers and gradients.

Nothing is told to an optimizer: groups, states, gradients and their memory may all be replaced between two steps. So
each step looks at everything again, but in passes that run in C: objects must be the same, and lie where they did.
This file's text is part of each generated module.
"""

from __future__ import annotations

import operator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from .count import Counter, Tally, by_device
from .dtensor import part_of
from .look import look_by_python
from .shards import at_own_parts, sends
from .work import Batch, Job

GRAD = operator.attrgetter("grad")


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
        counters: list[Counter] = [] if last is None else [tally.counter for tally in last.tallies]
        counted = {torch.device("cpu"): jobs}
        if jobs and jobs[0].device is not None:  # for graphs
            counted = by_device(jobs)
        self.tallies: list[Tally] = [Tally(here, device, counters) for device, here in counted.items()]
        self.parameters = [list(group["params"]) for group in groups]
        acting = {id(work.parameter): work.parameter for work in self.works}
        self.active = list(acting.values())
        self.silent = [p for p in chain.from_iterable(self.parameters) if id(p) not in acting]
        self.complex = any(map(Tensor.is_complex, self.active))
        self.memory = [x for kept in state.values() if isinstance(kept, dict) for x in kept.values()]
        counts = {id(view) for tally in self.tallies for view in tally.counter.views}
        kept = {id(x): x for work in self.works for x in work.memory.values() if isinstance(x, Tensor)}
        self.homes = [*self.active, *(x for key, x in kept.items() if key not in counts)]
        self.gradients: list[int] = []
        self.grads_at = b""
        self.prepared_at = b""  # for triton, native
        self._remember(look_by_python, list(state.values()))
        once = len(self.active) + len(self.silent) == sum(map(len, self.parameters))
        lazy = self._lazy(self.active) or self._lazy(list(map(GRAD, self.active)))
        self.ordinary = once and None not in (self.places, self.kinds) and not lazy
        if any(work.local for work in self.works):  # for shards
            self.ordinary = self.ordinary and not sends(self.works)
        with torch.no_grad():  # torch says in half the time where a tensor is if a view holds it
            self.views = [x.view_as(x) for x in map(part_of, self.homes[len(self.active) :]) if self.ordinary]

    def __del__(self) -> None:  # for triton, native
        """Memory is free at once, although what backends have prepared refers to the batches that keep it."""
        for job in self.jobs:
            for batch in job.batches:
                batch.prepared = None

    def _remember(self, look: Any, memories: list[dict[str, Any]]) -> None:
        """Where all is now, and of which kind gradients are, as a look sees it; None where it cannot."""
        self.seeing = look  # for native
        self.look: Any = look
        if any(work.local for work in self.works):  # for shards
            self.look = at_own_parts(look)
        self.places = self.look(self.homes, self.parameters, memories)
        seen = self.look(list(map(GRAD, self.active)), [], [])
        self.kinds = None if seen is None else seen[1]

    def see_by(self, look: Any, state: dict[Tensor, dict[str, Any]]) -> None:  # for native
        """Looks so from now on. To be called where everything was seen to hold."""
        if look is not self.seeing:
            self._remember(look, list(state.values()))

    def holds(
        self, groups: list[dict[str, Any]], state: dict[Tensor, dict[str, Any]], structure: list[list[Any]]
    ) -> bool:
        """Whether the same parameters are to be moved, with the same states in the same places."""
        parameters, memories = [list(group["params"]) for group in groups], list(state.values())
        if not (self.ordinary and structure == self.structure and all(p.grad is None for p in self.silent)):
            return False
        return bool(self.look(self.homes, parameters, memories) == self.places)

    def lend(self) -> bool:
        """Gives the work this step's gradients. False where one is missing, or not of the kind that it was.

        Between steps none is referred to, not even weakly: memory is to be free, and torch's `swap_tensors` refuses
        what has weak references. An object where one was, with its memory where that was, is taken for the same.
        """
        grads = list(map(GRAD, self.active))
        moved = True  # for triton, native
        if self.ordinary:
            seen = self.look(grads, [], [])
            if seen is None or seen[1] != self.kinds:
                return False
            known = self.gradients, self.grads_at
            self.gradients, self.grads_at = list(map(id, grads)), seen[0]
            if known != (self.gradients, self.grads_at) and self._lazy(grads):
                return False
            moved = self.grads_at != known[1]  # for triton, native
        batches = [batch for job in self.jobs for batch in job.batches]
        self.rearrange, self.lent = not batches or self.tallies[0].edited(), True
        self._tell(batches, moved)  # for triton, native
        if self.lent:
            of = dict(zip(map(id, self.active), grads, strict=True))
            for work in self.works:
                work.grad = work.own(of[id(work.parameter)])
        return True

    def _lazy(self, tensors: list[Tensor]) -> bool:
        """Whether the memory of some does not hold what they are, but what is yet to be negated or conjugated."""
        return any(map(Tensor.is_neg, tensors)) or (self.complex and any(map(Tensor.is_conj, tensors)))

    def _tell(self, batches: list[Batch], moved: bool) -> None:  # for triton, native
        """Says to what was prepared where gradients are, and decides whether it needs more than that.

        It does where one is aligned otherwise than it was.
        """
        at = None
        if moved and any(batch.settled for batch in batches):
            at = words(self.grads_at)
            if not torch.equal(at % 16, words(self.prepared_at) % 16):
                for batch in batches:
                    batch.settled = False
        if not any(batch.settled for batch in batches):
            self.prepared_at = self.grads_at
        self.lent = self.rearrange or not all(batch.settled for batch in batches)
        self.lent |= moved and any(work.part is not None for work in self.works)  # for population
        for batch in batches:
            batch.moved = moved
            batch.grads_at = None if self.lent or at is None else at[batch.turns]

    def take_back(self) -> None:
        """Lets go of the gradients."""
        if self.lent:
            for work in self.works:
                work.grad = work.theta

    def count(self, groups: list[dict[str, Any]]) -> None:
        """Counts the step, and computes its numbers out of the groups that the work has the indices of."""
        if self.jobs and self.jobs[0].device is not None:  # for graphs
            self._count_there(groups)
            return
        settings, (tally,) = [job.settings(groups) for job in self.jobs], self.tallies
        tally.advance()
        counts: list[float] = tally.counts().tolist()
        for job, given in zip(self.jobs, settings, strict=True):
            if self.rearrange:
                job.arrange(counts)
            job.fill(counts, given)

    def _count_there(self, groups: list[dict[str, Any]]) -> None:  # for graphs
        """The same on the devices of parameters."""
        for tally in self.tallies:
            tally.advance()
            parts = torch.split(tally.counts(), [len(job.works) for job in tally.jobs])
            for job, counts in zip(tally.jobs, parts, strict=True):
                if self.rearrange:
                    job.arrange([0.0] * len(self.works))
                job.program.step.live.fill(job, groups, counts)


def words(addresses: bytes) -> Tensor:
    """int64, in memory of its own."""
    return torch.frombuffer(bytearray(addresses), dtype=torch.int64)
