"""A configuration to what its run would cost, from a few training steps of each task on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .config import Config
from ..training.evaluate import Evaluator, Job, settle
from ..spaces.founders import founder_texts
from ..training.pool import worker_count
from ..evolve.selection import Breeding

STEPS, TIMINGS = (4, 16), 2


@dataclass(frozen=True)
class Cost:
    """Of a whole run: rules born at most, training runs and steps of those, and seconds at so many workers."""

    individuals: int
    runs: int
    steps: int
    seconds: float
    workers: int
    seconds_a_run: dict[str, float]


def cost(config: Config) -> Cost:
    """The most that a run can cost: gates and repeated rules only make it less. Raises DataError, ConfigError."""
    search, training = config.search, config.training
    individuals = Breeding.of(search).individuals
    seconds = seconds_a_run(config)
    runs = individuals * len(training.tasks) * training.seeds
    workers = 1 if config.machine.pool == "inline" else worker_count(config)
    total = individuals * training.seeds * sum(seconds.values()) / workers
    return Cost(individuals, runs, runs * training.steps, total, workers, seconds)


def seconds_a_run(config: Config) -> dict[str, float]:
    """What one training run of each task takes here: a fixed part and one that grows with its steps, from two runs."""
    settle(config)
    text = next(iter(founder_texts(config).values()))
    return {task: _seconds(config, text, task) for task in config.training.tasks}


def _seconds(config: Config, text: str, task: str) -> float:
    few, more = (min(_timed(config, text, task, steps) for _ in range(TIMINGS)) for steps in STEPS)
    a_step = max(0.0, more - few) / (STEPS[1] - STEPS[0])
    return few + a_step * (config.training.steps - STEPS[0])


def _timed(config: Config, text: str, task: str, steps: int) -> float:
    """On a CPU, the processor's time: what else runs on the machine now is not the search's cost."""
    evaluator = Evaluator(config)
    evaluator(Job("warm-up", text, task, 0, steps))
    clock = time.perf_counter if evaluator.device.type == "cuda" else time.process_time
    start = clock()
    evaluator(Job("timed", text, task, 0, steps))
    return (clock() - start) / (1 if clock is time.perf_counter else config.machine.threads)


def in_words(config: Config, found: Cost) -> list[str]:
    """The cost, as lines."""
    training = config.training
    tasks = ", ".join(f"{task} {seconds:.1f} s" for task, seconds in found.seconds_a_run.items())
    return [
        f"{found.individuals:,} individuals at most, {found.runs:,} training runs of {training.steps} steps, "
        f"{found.steps:,} steps",
        f"one run here, alone on {config.machine.threads} thread(s): {tasks}",
        f"the whole with {found.workers} worker(s): about {_duration(found.seconds)}, less where gates refuse rules",
    ]


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
