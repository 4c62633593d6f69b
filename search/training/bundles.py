"""Jobs to bundles of runs that can be trained side by side; what becomes of a bundle whose worker was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch

from ..runs.config import Config
from .evaluate import Job, Outcome, failure

TRIES = 2
"""How often a job may take its worker with it."""
ON_CUDA = 16
"""How many rules are trained side by side where `machine.together` leaves it open, on a CUDA device."""

Bundle = tuple[Job, ...]


def size(config: Config) -> int:
    """How many rules are to be trained side by side. On a CPU they would only share the making of batches."""
    return config.machine.together or (ON_CUDA if on_cuda(config) else 1)


def on_cuda(config: Config) -> bool:
    device = config.machine.device
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def bundled(jobs: Sequence[Job], size: int) -> Iterator[Bundle]:
    """The jobs in their order, those that can be trained side by side drawn together."""
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.company, []).append(job)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield tuple(group[start : start + size])


class Queue:
    """Bundles that wait for a worker. One that is lost comes back job by job, to find out which of them it was."""

    def __init__(self, jobs: Sequence[Job], size: int) -> None:
        self.waiting = deque(bundled(jobs, size))
        self.tries: dict[Job, int] = {}

    def died(self, bundle: Bundle, by_its_fault: bool = True) -> Iterator[tuple[Job, Outcome]]:
        """A bundle's worker died: the outcome of a job that has no more tries."""
        if len(bundle) == 1:
            self.tries[bundle[0]] = self.tries.get(bundle[0], 0) + by_its_fault
            if self.tries[bundle[0]] >= TRIES:
                yield bundle[0], failure(f"its process died {TRIES} times")
                return
        self.waiting.extendleft((job,) for job in reversed(bundle))

    def overdue(self, bundle: Bundle, timeout: float) -> Iterator[tuple[Job, Outcome]]:
        """A bundle took too long: the outcome of a job that did so alone."""
        if len(bundle) == 1:
            yield bundle[0], failure(f"it took longer than {timeout:g} seconds", timeout)
        else:
            self.waiting.extendleft((job,) for job in reversed(bundle))
