"""A job (one rule, one task, one seed) to its outcome, inside whatever process runs it; never an exception."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from .build import optimizer_of
from .config import Config
from .fitness import DIVERGED, fitness
from .seeds import seed_of
from .tasks.protocol import Problem
from .tasks.task import problem
from .train import Curve, train

NO_LOSSES = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Job:
    """One training run that is wanted: the rule whose cache key is `key`, on a task, with the seed's number.

    `steps` is the length of the whole run, and so of a schedule in it.
    """

    key: str
    text: str
    task: str
    replicate: int
    steps: int


@dataclass(frozen=True)
class Outcome:
    """What came of a job. `reason` says why it failed, in words; it is empty for a run that came through.

    `machine` says that it was no fault of the rule: a disk is full, say. Such an outcome is no result.
    """

    fitness: float
    accuracy: float | None
    losses: npt.NDArray[np.float32]
    seconds: float
    reason: str = ""
    machine: bool = False


def failure(reason: str, seconds: float = 0.0) -> Outcome:
    return Outcome(DIVERGED, None, NO_LOSSES, seconds, reason)


class Evaluator:
    """Runs jobs one after another, keeping each task's data once it is loaded."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.problems: dict[str, Problem] = {}

    @cached_property
    def device(self) -> torch.device:
        wanted = self.config.machine.device
        if wanted == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(wanted)

    def __call__(self, job: Job) -> Outcome:
        start = time.perf_counter()
        try:
            curve = self._curve(job)
        except OSError as error:
            return replace(failure(f"{type(error).__name__}: {error}"), machine=True)
        except Exception as error:  # whatever a rule does wrong costs its own score, not the search
            return failure(f"{type(error).__name__}: {error}", time.perf_counter() - start)
        accuracy = None if curve.diverged else curve.accuracy
        return Outcome(fitness(curve), accuracy, curve.losses, time.perf_counter() - start, curve.diverged)

    def _curve(self, job: Job) -> Curve:
        training = self.config.training
        return train(
            optimizer_of(job.text),
            self._problem(job.task),
            steps=job.steps,
            batch_size=training.batch,
            seed=seed_of(self.config.seed, "train", job.task, job.replicate),
            precision=training.precision,
        )

    def _problem(self, task: str) -> Problem:
        if task not in self.problems:
            training = self.config.training
            limits = (training.train_images, training.validation_images)
            self.problems[task] = problem(task, self.config.seed, *limits, self.device)
        return self.problems[task]


def settle(config: Config) -> None:
    """Make this process's arithmetic depend on the configuration alone. Denormals, which slow CPUs down, become 0."""
    torch.set_num_threads(config.machine.threads)
    torch.set_flush_denormal(True)


def limit_memory(config: Config) -> None:
    """Let this process, a worker, have no more memory than it may; a rule that asks for more then fails by itself."""
    import resource

    if config.machine.memory and not config.machine.device.startswith("cuda"):
        limit = round(config.machine.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
