"""A step's work, kept from one step to the next for as long as nothing changes but numbers and gradients.

Nothing is told to an optimizer: groups, states, gradients and their memory may all be replaced between two steps. So
each step looks at everything again, but in passes that run in C: objects must be the same, and lie where they did.
This file's text is part of each generated module.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from .count import Counter, Tally, by_device
from .dtensor import part_of
from .look import Seen, look_by_python
from .shards import at_own_parts, sends
from .work import Batch, Job

GRAD = attrgetter("grad")


class Round:
    """The work of one step, and of the next ones that `resumes` can say so of.

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
        self.active = list({id(work.parameter): work.parameter for work in self.works}.values())
        acting, listed = set(map(id, self.active)), [p for group in groups for p in group["params"]]
        self.silent = [p for p in listed if id(p) not in acting]
        self.once = len(self.active) + len(self.silent) == len(listed)
        self.complex = any(map(Tensor.is_complex, self.active))
        # What states hold is kept alive, so that nothing new can be taken for it.
        self.memory = [x for kept in state.values() if isinstance(kept, dict) for x in kept.values()]
        counts = {id(view) for tally in self.tallies for view in tally.counter.views}
        kept = {id(x): x for work in self.works for x in work.memory.values() if isinstance(x, Tensor)}
        self.homes = [*self.active, *(x for key, x in kept.items() if key not in counts)]
        self.seen: Seen = None  # by the last step, if it came to its end: only then may the next one go on from it
        look = look_by_python
        look = look if last is None else last.seeing  # for native
        self.see_by(look, groups, state)
        with torch.no_grad():  # torch says in half the time where a tensor is if a view holds it
            self.views = [x.view_as(x) for x in map(part_of, self.homes[len(self.active) :]) if self.now is not None]
        self._lend(None)

    def __del__(self) -> None:  # for native, passes, matrices
        """Memory is free at once, although what backends have prepared refers to the batches that keep it."""
        for job in self.jobs:
            for batch in job.batches:
                batch.prepared = None

    def see_by(self, look: Any, groups: list[dict[str, Any]], state: dict[Tensor, dict[str, Any]]) -> None:
        """Looks so from now on. To be called where everything was seen to hold."""
        self.seeing = look  # for native
        self.look: Any = look
        if any(work.local for work in self.works):  # for shards
            self.look = at_own_parts(look)
        grads = list(map(GRAD, self.active))
        self.gradients = list(map(id, grads))
        lazy = self._lazy(self.active) or self._lazy(grads)
        self.now = self._seen(grads, groups, state) if self.once and not lazy else None
        if any(work.local for work in self.works) and sends(self.works):  # for shards
            self.now = None

    def _seen(self, grads: list[Any], groups: list[dict[str, Any]], state: dict[Tensor, dict[str, Any]]) -> Seen:
        parameters = [list(group["params"]) for group in groups]
        seen: Seen = self.look([*self.homes, *grads], parameters, list(state.values()))
        return seen

    def resumes(
        self, groups: list[dict[str, Any]], state: dict[Tensor, dict[str, Any]], structure: list[list[Any]]
    ) -> bool:
        """Whether the same parameters are to be moved, with the same states in the same places.

        Then the work has this step's gradients, if they are of the kind that they were. Between steps none is referred
        to, not even weakly: memory is to be free, and torch's `swap_tensors` refuses what has weak references. An
        object where one was, with its memory where that was, is taken for the same.
        """
        last, self.seen = self.seen, None
        if last is None or structure != self.structure or any(p.grad is not None for p in self.silent):
            return False
        grads = list(map(GRAD, self.active))
        now = self.now = self._seen(grads, groups, state)
        homes = 8 * len(self.homes)
        if now is None or now[1] != last[1] or now[0][:homes] != last[0][:homes]:
            return False
        known, self.gradients, moved = self.gradients, list(map(id, grads)), now[0] != last[0]
        if (moved or known != self.gradients) and self._lazy(grads):
            return False
        if moved and not torch.equal(words(now[0]) % 16, words(last[0]) % 16):  # for triton
            return False
        self._lend(now[0] if moved else None)
        return True

    def _lazy(self, tensors: list[Tensor]) -> bool:
        """Whether the memory of some does not hold what they are, but what is yet to be negated or conjugated."""
        return any(map(Tensor.is_neg, tensors)) or (self.complex and any(map(Tensor.is_conj, tensors)))

    def _lend(self, moved: bytes | None) -> None:
        """Gives the work this step's gradients, unless where all has moved to is all that is needed of them."""
        batches = [batch for job in self.jobs for batch in job.batches]
        self.rearrange, self.lent = not batches or self.tallies[0].edited(), True
        self._tell(batches, moved)  # for triton, native
        for work in self.works if self.lent else ():
            work.grad = work.own(GRAD(work.parameter))

    def _tell(self, batches: list[Batch], moved: bytes | None) -> None:  # for triton, native
        """Says to what was prepared where gradients are now, if they have moved, and whether it needs no more."""
        self.lent = self.rearrange or not all(batch.settled for batch in batches)
        at = None if moved is None else words(moved)[len(self.homes) :]
        if at is not None and len(at) < len(self.works):  # for population: those of parts
            at = torch.tensor([work.own(GRAD(work.parameter)).data_ptr() for work in self.works])
        for batch in batches:
            batch.moved = at

    def end(self, done: bool) -> None:
        """Lets go of the gradients. What a step saw that did not come to its end may not be what it told backends."""
        self.seen = self.now if done else None
        for work in self.works if self.lent else ():
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
