"""A job (one rule, one task, one seed) to its outcome, inside whatever process runs it; never an exception."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...dsl.load import rule_from_text
from ..config import Config
from ..length import setting_of
from ..seeds import seed_of
from ..tasks.own import settings_kept
from ..tasks.protocol import Foreseeing, Problem
from ..tasks.task import problem
from .blame import Fault, fault_of
from .build import MakeOptimizer, optimizer_of
from .fitness import DIVERGED, fitness
from .train import Curve, divergence, flushing, train_together

Company = tuple[str | int, ...]
"""What jobs have in common that can be trained side by side: task, number of the seed, steps, …"""
MOST_SAID = 300
"""Letters of an exception's first line that are kept as the reason of a failure."""
NO_LOSSES = np.zeros(0, np.float32)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""From glibc's malloc.h."""
KEPT = 2**30
"""Bytes at the end of its memory that a process may keep although it does not use them."""


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

    @property
    def company(self) -> Company:
        """Jobs of equal company differ in their rules alone, and can be trained side by side."""
        return self.task, self.replicate, self.steps


@dataclass(frozen=True)
class Outcome:
    """What came of a job. `reason` says why it failed, in words; it is empty for a run that came through.

    Where it was another's fault than the rule's (a disk is full, say), such an outcome is no result.
    """

    fitness: float
    accuracy: float | None
    losses: npt.NDArray[np.float32]
    seconds: float
    reason: str = ""
    fault: Fault = "rule"


def failure(reason: str, seconds: float = 0.0) -> Outcome:
    return Outcome(DIVERGED, None, NO_LOSSES, seconds, reason)


class Evaluator:
    """Runs jobs one after another, keeping each task's data once it is loaded."""

    foresees = True
    """Whether jobs are nothing but rules, so that a problem can tell what they will come to."""

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
        return self.together([job])[0]

    @settings_kept()
    def together(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of jobs of equal company, trained side by side."""
        start = time.perf_counter()
        curves: Sequence[Curve | Exception]
        try:
            curves = self._foreseen(jobs) or self._curves(jobs)
        except Exception as error:  # whatever a rule does wrong costs its own score, not the search
            curves = [error] * len(jobs)
        except SystemExit:  # of a task of the user's; the search would end as if it were done
            curves = [RuntimeError("the task ended the program, as by sys.exit()")] * len(jobs)
        seconds = (time.perf_counter() - start) / len(jobs)
        return [_outcome(curve, seconds) for curve in curves]

    def _curves(self, jobs: Sequence[Job]) -> list[Curve | Exception]:
        training = self.config.training
        return train_together(
            [_or_its_error(self.maker, job) for job in jobs],
            self.problem_of(jobs[0]),
            steps=jobs[0].steps,
            batch_size=training.batch,
            seed=self.seed_for(jobs[0]),
            precision=training.precision,
        )

    def _foreseen(self, jobs: Sequence[Job]) -> list[Curve | Exception]:
        """The curves of jobs whose problem knows them without training; empty where one has to be trained."""
        problem, found = self.problem_of(jobs[0]), list[Curve | Exception]()
        if not (self.foresees and isinstance(problem, Foreseeing)):
            return []
        for job in jobs:
            try:
                rule = rule_from_text(job.text)
                setting = setting_of(rule, job.steps)
                with flushing():
                    known = problem.foresee(rule, setting, job.steps, self.seed_for(job))
            except Exception as error:  # one rule's fault is not the others'
                found.append(error)
            else:
                if known is None:
                    return []
                found.append(_curve(*known))
        return found

    def maker(self, job: Job) -> MakeOptimizer:
        return optimizer_of(job.text)

    def seed_for(self, job: Job) -> int:
        return seed_of(self.config.seed, "train", job.task, job.replicate)

    def problem_of(self, job: Job) -> Problem:
        return self._problem(job.task)

    def _problem(self, task: str) -> Problem:
        if task not in self.problems:
            training = self.config.training
            limits = (training.train_images, training.validation_images)
            self.problems[task] = problem(task, self.config.seed, *limits, self.device)
        return self.problems[task]


def _or_its_error(maker: Callable[[Job], MakeOptimizer], job: Job) -> MakeOptimizer:
    """The job's optimizer; one that cannot be had says why where it is made, beside those of other jobs."""
    try:
        return maker(job)
    except Exception as error:  # a rule may fail to compile in any way, and that too is its own score
        reason = error

    def none(parameters: Iterable[nn.Parameter], steps: int) -> torch.optim.Optimizer:
        raise reason

    return none


def _curve(losses: npt.NDArray[np.float32], accuracy: float) -> Curve:
    diverged = divergence(torch.from_numpy(losses))
    return Curve(losses, accuracy, diverged or ("" if np.isfinite(accuracy) else "its moves are not finite"))


def _outcome(curve: Curve | Exception, seconds: float) -> Outcome:
    if isinstance(curve, Exception):
        said = next(iter(str(curve).strip().splitlines()), "")[:MOST_SAID]
        said = said.encode(errors="replace").decode()  # a name of a file may hold what no text can
        return replace(failure(f"{type(curve).__name__}: {said}", seconds), fault=fault_of(curve))
    accuracy = None if curve.diverged else curve.accuracy
    return Outcome(fitness(curve), accuracy, curve.losses, seconds, curve.diverged)


def settle(config: Config) -> None:
    """Make this process's arithmetic depend on the configuration alone."""
    torch.set_num_threads(config.machine.threads)
    with flushing():  # torch's further threads stay in the mode that they are made in, which is now
        torch.zeros(2**20).add_(1)
    keep_memory()


def keep_memory() -> None:
    """Have glibc reuse large blocks instead of giving them back: to get a step's memory anew from the system, page by
    page, takes a quarter of a step on the paper's MNIST network. Elsewhere nothing happens.
    """
    setting = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if setting is not None:
        setting(M_MMAP_MAX, 0)
        setting(M_TRIM_THRESHOLD, KEPT)


def limit_memory(config: Config) -> None:
    """Let this process, a worker, have no more memory than it may; a rule that asks for more then fails by itself.

    What it has now (torch's own, and in Ray's workers the shared store) is not counted.
    """
    import resource

    if config.machine.memory and not config.machine.device.startswith("cuda"):
        limit = _addresses() + round(config.machine.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _addresses() -> int:
    """Bytes of addresses that this process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
