"""Counts steps: one vector for many parameters, of which every `state["step"]` is a view.

This file's text is part of each generated module.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .rule import counting
from .work import Job, Work


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
    """The part of a counter that a round advances: that of the work of some jobs, whose counts are at `places`.

    `amounts` are how often each is stepped, more than once where a group has a parameter twice; the count of a work is
    by as much `behind` the last one's.
    """

    def __init__(self, jobs: list[Job], device: torch.device, counters: list[Counter]) -> None:
        self.jobs = jobs
        works = [work for job in jobs for work in job.works]
        steps = [id(work.memory["step"]) for work in works]
        known = [c for c in counters if c.steps.device == device and all(i in c.places for i in steps)]
        self.counter = known[0] if known else Counter(works, device)
        self.places = [self.counter.places[id(work.memory["step"])] for work in works]
        self.whole = self.places == list(range(len(self.counter.steps)))
        self.index = torch.tensor(self.places, dtype=torch.int64, device=device)
        steps_made = [1.0] * len(works)
        steps_made = [float(not work.part) for work in works]  # for population: parts share their parameter's count
        times, turns = [0.0] * len(self.counter.steps), []
        for place, made in zip(self.places, steps_made, strict=True):
            times[place] += made
            turns.append(times[place])
        self.amounts = torch.tensor(times, dtype=self.counter.steps.dtype, device=device)
        self.behind = torch.tensor(turns).to(self.amounts) - self.amounts[self.index]

    def advance(self) -> None:
        self.counter.steps.add_(self.amounts)
        self.counter.left.copy_(self.counter.steps)

    def edited(self) -> bool:
        """Whether someone has written to the counts since the last step."""
        if self.jobs and self.jobs[0].device is not None:  # for graphs: a device is not waited for
            return False
        return not torch.equal(self.counter.steps, self.counter.left)

    def counts(self) -> Tensor:
        """The count of each work, in its order."""
        return self.counter.steps if self.whole else self.counter.steps[self.index] + self.behind


def by_device(jobs: list[Job]) -> dict[torch.device, list[Job]]:
    """Jobs by where their steps are counted, if these are devices."""
    out: dict[torch.device, list[Job]] = {}
    for job in jobs:
        if job.device is not None:
            out.setdefault(job.device, []).append(job)
    return out
