"""Jobs to bundles of runs that can be trained side by side; what becomes of a bundle whose worker was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch

from ..config import Config
from .evaluate import Company, Job, Outcome, failure

TRIES = 2
"""How often a job may take its worker with it."""
ON_CUDA = 16
"""How many rules are trained side by side where `machine.together` leaves it open, on a CUDA device. On a CPU they
would only share the making of batches."""

AT_ONCE = 0.25
"""Seconds of work that a worker is given at a time, where its jobs are shorter: what a kill may lose."""
MOST = 32
"""How many short jobs a worker is given at a time, at most."""

Bundle = tuple[Job, ...]
Results = Sequence[tuple[Job, Outcome]]


def on_cuda(config: Config) -> bool:
    device = config.machine.device
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


class Sizes:
    """How many jobs a worker is given at a time: those that are trained side by side, or as many as take no time.

    Which jobs share a bundle changes no outcome. Short ones share the way to a worker and to the disk.
    """

    def __init__(self, config: Config, workers: int) -> None:
        self.together = config.machine.together or (ON_CUDA if on_cuda(config) else 1)
        self.fixed, self.workers = bool(config.machine.together), workers
        self.seconds: dict[Company, float] = {}

    def bundled(self, jobs: Sequence[Job]) -> Iterator[Bundle]:
        """The jobs in their order, those that can be trained side by side drawn together."""
        groups: dict[Company, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.company, []).append(job)
        for company, group in groups.items():
            size = self._size(company, len(group))
            for start in range(0, len(group), size):
                yield tuple(group[start : start + size])

    def learn(self, results: Results) -> None:
        """How long the jobs of a company take."""
        for job, outcome in results:
            self.seconds[job.company] = outcome.seconds

    def _size(self, company: Company, count: int) -> int:
        seconds = self.seconds.get(company, AT_ONCE)
        if self.fixed or seconds >= AT_ONCE:
            return self.together
        fair = -(-count // self.workers)
        return max(self.together, min(MOST, fair, int(AT_ONCE / max(seconds, 1e-6))))


class Queue:
    """Bundles that wait for a worker. One that is lost comes back job by job, to find out which of them it was."""

    def __init__(self, bundles: Iterable[Bundle]) -> None:
        self.waiting = deque(bundles)
        self.tries: dict[Job, int] = {}

    def died(self, bundle: Bundle, by_its_fault: bool = True) -> Iterator[Results]:
        """A bundle's worker died: the outcome of a job that has no more tries."""
        if len(bundle) == 1:
            self.tries[bundle[0]] = self.tries.get(bundle[0], 0) + by_its_fault
            if self.tries[bundle[0]] >= TRIES:
                yield [(bundle[0], failure(f"its process died {TRIES} times"))]
                return
        self.waiting.extendleft((job,) for job in reversed(bundle))

    def overdue(self, bundle: Bundle, timeout: float) -> Iterator[Results]:
        """A bundle took too long: the outcome of a job that did so alone."""
        if len(bundle) == 1:
            yield [(bundle[0], failure(f"it took longer than {timeout:g} seconds", timeout))]
        else:
            self.waiting.extendleft((job,) for job in reversed(bundle))
