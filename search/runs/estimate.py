"""A configuration to what its run would cost, from one generation's births and a few training steps on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...dsl.text.format import format_file
from ...dsl.text.syntax import File
from ..config import Config
from ..evolve.evolve import evolve
from ..evolve.population import Candidate, Merit
from ..evolve.selection import Breeding
from ..spaces.founders import founder_texts, opened_by
from ..spaces.gates import Gatekeeper
from ..spaces.keys import key_of
from ..spaces.space import SPACES
from ..spaces.trees import tidied
from ..training.build import optimizer_of
from ..training.evaluate import Evaluator, Job, settle
from ..training.pool import worker_count

STEPS, TIMINGS = (4, 16), 2


COMPILED = 8
"""How many rules of the first generation are compiled to see how long that takes."""


@dataclass(frozen=True)
class Cost:
    """Of a whole run: rules born at most, training runs and steps of those, and seconds at so many workers.

    A birth is what a rule takes where it is bred, with its gates and key; whoever trains a rule compiles it. `failed`
    says why a task's first steps failed with the first founder.
    """

    individuals: int
    runs: int
    steps: int
    seconds: float
    workers: int
    seconds_a_run: dict[str, float]
    seconds_a_birth: float
    seconds_a_rule: float
    failed: dict[str, str]


def cost(config: Config) -> Cost:
    """The most that a run can cost: gates and repeated rules only make it less. Raises DataError, ConfigError."""
    training = config.training
    individuals = Breeding.of(config.search).individuals
    settle(config)
    seconds, failed = _tried(config)
    a_birth, a_rule = _seconds_of_births(config)
    jobs = len(training.tasks) * training.seeds
    workers = workers_of(config)
    trained = training.seeds * sum(seconds.values()) + min(jobs, workers) * a_rule
    total = individuals * (a_birth + trained / workers)
    runs = individuals * jobs
    return Cost(individuals, runs, runs * training.steps, total, workers, seconds, a_birth, a_rule, failed)


def workers_of(config: Config) -> int:
    """How many will train: on this machine, or on the cluster as it stands. Raises ConfigError."""
    if config.machine.pool == "ray":
        from ..training.pool_ray import workers_there

        return workers_there(config)
    return 1 if config.machine.pool == "inline" else worker_count(config)


def _seconds_of_births(config: Config) -> tuple[float, float]:
    """What a rule of the first generation takes to be born, and one of another structure than any before to compile."""
    space = opened_by(SPACES[config.search.space], founder_texts(config))
    gates = Gatekeeper(config.search.gates, config.training.steps)
    trees: list[File] = []

    def score(born: Sequence[Candidate]) -> list[Merit]:
        trees.extend(candidate.tree for candidate in born if key_of(candidate.tree))
        return [Merit(0, 0.0) for _ in born]

    start = time.process_time()
    next(evolve(space, Breeding.of(config.search), config.seed, gates, score))
    born = time.process_time()
    for tree in trees[:COMPILED]:
        optimizer_of(format_file(tidied(tree)))
    compiled = time.process_time()
    return (born - start) / len(trees), (compiled - born) / len(trees[:COMPILED])


def _tried(config: Config) -> tuple[dict[str, float], dict[str, str]]:
    """The seconds that one training run of each task takes here, and why runs of some fail."""
    evaluator, text = Evaluator(config), next(iter(founder_texts(config).values()))
    first = {task: evaluator(Job("warm-up", text, task, 0, STEPS[0])) for task in config.training.tasks}
    failed = {task: outcome.reason for task, outcome in first.items() if outcome.reason}
    return {task: _seconds(evaluator, text, task) for task in first}, failed


def _seconds(evaluator: Evaluator, text: str, task: str) -> float:
    """A fixed part and one that grows with a run's steps, from two runs."""
    few, more = (min(_timed(evaluator, text, task, steps) for _ in range(TIMINGS)) for steps in STEPS)
    a_step = max(0.0, more - few) / (STEPS[1] - STEPS[0])
    return few + a_step * (evaluator.config.training.steps - STEPS[0])


def _timed(evaluator: Evaluator, text: str, task: str, steps: int) -> float:
    """On a CPU, the processor's time: what else runs on the machine now is not the search's cost."""
    clock = time.perf_counter if evaluator.device.type == "cuda" else time.process_time
    start = clock()
    evaluator(Job("timed", text, task, 0, steps))
    return (clock() - start) / (1 if clock is time.perf_counter else evaluator.config.machine.threads)


def in_words(config: Config, found: Cost) -> list[str]:
    """The cost, as lines."""
    training = config.training
    tasks = ", ".join(f"{task} {seconds:.1f} s" for task, seconds in found.seconds_a_run.items())
    return [
        f"{found.individuals:,} individuals at most, {found.runs:,} training runs of {training.steps} steps, "
        f"{found.steps:,} steps",
        f"one run here, alone on {config.machine.threads} thread(s): {tasks}",
        f"one rule here: {found.seconds_a_birth * 1e3:.1f} ms to breed, {found.seconds_a_rule * 1e3:.0f} ms to compile",
        f"the whole with {found.workers} worker(s): about {_duration(found.seconds)}, less where gates refuse rules",
        *(f"warning: on {task} training failed with the first founder: {why}" for task, why in found.failed.items()),
    ]


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
