"""Training runs of a contest to their results, each kept in a file as it comes, so that none is ever run twice.

A heat's key says everything that its result depends on. So a contest that was killed, or that gets more seeds or
another rule, is simply run again in the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
import torch

from ... import __version__
from ..config import Config
from ..runs.database import held, seal
from ..runs.store import StoreError
from ..seeds import seed_of
from ..tasks.data import data_folder
from ..tasks.layers import in_c
from ..tasks.protocol import Problem
from ..tasks.splits import Judged
from ..tasks.task import digest_of, problem
from ..training.blame import STOPS
from ..training.build import MakeOptimizer
from ..training.evaluate import Company, Evaluator, Job, Outcome
from ..training.pool import Pool
from .entrants import maker
from .schedules import scheduled

FILE = "heats.jsonl"
CURVE_POINTS = 100

Purpose = Literal["tune", "final", "select", "test"]
"""What seeds are for: no two purposes ever share weights or batches."""
Progress = Callable[[int, int], None]
"""Told how many heats are done, and of how many."""


@dataclass(frozen=True)
class Heat(Job):
    """One training run in a contest: `steps` long, under a schedule, judged by one part of the images."""

    schedule: str
    part: Judged
    purpose: Purpose

    @property
    def company(self) -> Company:
        return *super().company, self.part, self.purpose


@dataclass(frozen=True)
class Result:
    """What a heat came to. `curve` is the training loss, averaged over up to 100 equal stretches of the run.

    `accuracy` is None and `reason` says why for a run that failed.
    """

    fitness: float
    accuracy: float | None
    seconds: float
    curve: tuple[float, ...]
    reason: str = ""


def heat(
    config: Config,
    text: str,
    task: str,
    replicate: int,
    steps: int,
    schedule: str,
    part: Judged,
    purpose: Purpose,
) -> Heat:
    """The heat under its key. The number of workers is no part of that, and so may change."""
    training = config.training
    limits = (training.batch, training.train_images, training.validation_images, training.precision)
    machine = (config.machine.threads, config.machine.device, torch.__version__, __version__, in_c())
    whole = (
        config.seed,
        limits,
        machine,
        text,
        task,
        _digest(task, data_folder()),
        replicate,
        steps,
        schedule,
        part,
        purpose,
    )
    key = blake2b(repr(whole).encode(), digest_size=12).hexdigest()
    return Heat(key, text, task, replicate, steps, schedule, part, purpose)


@lru_cache
def _digest(task: str, data: Path) -> str:
    """What a task is made of, asked once for a folder of data."""
    return digest_of(task)


class Referee(Evaluator):
    """Runs heats, inside whatever process. It has no way to a test split."""

    foresees = False

    def maker(self, job: Job) -> MakeOptimizer:
        assert isinstance(job, Heat)
        return scheduled(maker(job.text), job.schedule)

    def seed_for(self, job: Job) -> int:
        assert isinstance(job, Heat)
        return seed_of(self.config.seed, job.purpose, job.task, job.replicate)

    def problem_of(self, job: Job) -> Problem:
        assert isinstance(job, Heat)
        return self._judged(job.task, job.part)

    def _judged(self, task: str, part: Judged) -> Problem:
        name = f"{task}/{part}"
        if name not in self.problems:
            self.problems[name] = self._made(task, part)
        return self.problems[name]

    def _made(self, task: str, part: Judged) -> Problem:
        """The task with its accuracy measured on one part of its training data."""
        if part == "test":
            raise ValueError("this referee has no test split")
        training = self.config.training
        limits = (training.train_images, training.validation_images)
        return problem(task, self.config.seed, *limits, self.device, part)


class Heats:
    """The results of heats: those in the folder's file, and those that are run now and added to it.

    The pool is hired when the first heat has to be run. Raises StoreError where the folder cannot be used, or another
    process writes to it.
    """

    def __init__(self, folder: Path, hire: Callable[[], Pool], progress: Progress | None = None) -> None:
        self.folder, self.hire, self.progress = folder, hire, progress or (lambda done, of: None)
        self.pool: Pool | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = _opened(folder / FILE)
        except OSError as error:
            raise StoreError(f"{folder} cannot be used: {error.strerror}") from None
        self.known = dict(_read(self.file))

    def run(self, heats: Sequence[Heat]) -> list[Result]:
        """The heats' results, in their order; what is on file is not run again. Raises StoreError."""
        missing = list({h.key: h for h in heats if h.key not in self.known}.values())
        if missing and self.pool is None:
            self.pool = self.hire()
        self.progress(0, len(missing))
        for done, (job, outcome) in enumerate(chain.from_iterable(self.pool.run(missing) if self.pool else ()), 1):
            if outcome.fault in STOPS:
                why = STOPS[outcome.fault].format(reason=outcome.reason, text=job.text)
                raise StoreError(f"{why}; what is in {self.folder} is safe")
            self.known[job.key] = result = _result(outcome)
            self._write(job, result)
            self.progress(done, len(missing))
        return [self.known[h.key] for h in heats]

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
        self.file.close()

    def _write(self, job: Job, result: Result) -> None:
        entry = {"heat": asdict(job), "result": asdict(result)}
        try:
            self.file.write(json.dumps(entry | {"seal": _seal(entry)}) + "\n")
            self.file.flush()
        except OSError as error:
            raise StoreError(f"{self.file.name} cannot be written: {error.strerror}; what is in it is safe") from None


def curve_of(losses: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """The losses' means over up to 100 stretches of equal length, to four digits."""
    if not len(losses):
        return ()
    stretches = np.array_split(losses.astype(np.float64), min(CURVE_POINTS, len(losses)))
    return tuple(float(f"{part.mean():.4g}") for part in stretches)


def _result(outcome: Outcome) -> Result:
    return Result(outcome.fitness, outcome.accuracy, outcome.seconds, curve_of(outcome.losses), outcome.reason)


def _opened(path: Path) -> IO[str]:
    """The file, locked for as long as it is open, and without the half line that a killed writer may have left."""
    file = held(path.open("a+", encoding="ascii", errors="surrogateescape", newline="\n"), path.parent)
    file.seek(0)
    text = file.read()
    whole = text.rfind("\n") + 1
    file.truncate(whole)
    return file


def _read(file: IO[str]) -> Iterable[tuple[str, Result]]:
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            yield _entry(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreError(f"{file.name} is damaged: line {number} is not a result as it was written") from None


def _entry(line: str) -> tuple[str, Result]:
    """A heat's key and its result. Raises ValueError, or what else damage leads to."""
    entry = json.loads(line)
    if entry.pop("seal") != _seal(entry):
        raise ValueError("something in it is another than when it was sealed")
    result = entry["result"]
    return entry["heat"]["key"], Result(**result | {"curve": tuple(result["curve"])})


def _seal(entry: Mapping[str, object]) -> str:
    return seal(json.dumps(entry)).hex()
