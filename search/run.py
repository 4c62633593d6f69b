"""A configuration to a finished run: evolves, trains what is not known yet, writes every result down."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..dsl.format import format_file
from ..dsl.parser import parse
from .config import Config, checked, to_toml
from .evaluate import Job
from .evolve import evolve
from .fitness import DIVERGED, overall
from .founders import founder_texts, opened_by
from .gates import Gatekeeper
from .keys import key_of
from .pool import Pool, make_pool
from .population import Candidate, Generation, Merit
from .selection import Breeding
from .space import SPACES
from .store import Individual, Rejected, Store, StoreError
from .tasks.task import TASKS
from .trees import named, tidied, unplaced

PACKAGES = ("optc", "torch", "torchvision", "triton", "numpy")


class Listener(Protocol):
    """Whoever shows a run to the user."""

    def started(self, individuals: int, known: int) -> None:
        """So many individuals will be born at most; so many training runs are on record."""
        ...

    def scored(self, candidate: Candidate, fitness: float, fresh: bool) -> None:
        """An individual's score is in; `fresh` where it was trained for it."""
        ...

    def generation(self, generation: Generation) -> None: ...

    def finished(self) -> None: ...


# ---------------------------------------------------------------- a run's folder


def create(config: Config, folder: Path) -> Store:
    """A new run's folder: its resolved configuration, versions and splits. Raises StoreError, DataError."""
    splits = [_splits(config, task) for task in config.training.tasks]
    about = {
        "config": to_toml(config),
        "versions": json.dumps(_versions()),
        "founders": json.dumps(founder_texts(config)),
    }
    store = Store.create(folder, about)
    (folder / "config.toml").write_text(about["config"])
    (folder / "versions.json").write_text(json.dumps(_versions(), indent=2) + "\n")
    arrays: dict[str, Any] = {name: indices for parts in splits for name, indices in parts.items()}
    np.savez_compressed(folder / "splits.npz", **arrays)
    return store


def config_of(store: Store) -> Config:
    """The configuration that a run was started with. Raises ConfigError, StoreError."""
    import tomllib

    return checked(tomllib.loads(store.about("config")), str(store.folder))


def _splits(config: Config, task: str) -> dict[str, npt.NDArray[np.int32]]:
    training = config.training
    splits = TASKS[task].splits(config.seed, training.train_images, training.validation_images)
    return {f"{TASKS[task].name}_{part}": indices.astype(np.int32) for part, indices in splits.items()}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


# ---------------------------------------------------------------- running


def run(store: Store, config: Config, listener: Listener) -> None:
    """Search from wherever the store stands to the end. Whatever interrupts it, what is scored is in the store."""
    search = config.search
    breeding = Breeding.of(search)
    pool = make_pool(config)
    try:
        scorer = _Scorer(store, config, pool, listener)
        listener.started(breeding.individuals, len(scorer.known))
        gates = Gatekeeper(search.gates, config.training.steps)
        space = opened_by(SPACES[search.space], json.loads(store.about("founders")))
        for generation in evolve(space, breeding, config.seed, gates, scorer):
            store.generation(generation.number, [member.candidate.id for member in generation.members])
            listener.generation(generation)
            if generation.best.fitness <= DIVERGED:
                raise StoreError(_hopeless(store))
    finally:
        pool.close()
        listener.finished()
    write_best(store)


def _hopeless(store: Store) -> str:
    """Selection among rules that all failed would be a random walk."""
    reasons = "; ".join(f"{reason} ({count} times)" for reason, count in list(store.reasons().items())[:3])
    return f"every rule of a generation failed, so there is nothing to breed from: {reasons}"


def write_best(store: Store) -> Path | None:
    """The best rule so far as `best.opt` in the run's folder, without sleeping genes; None before any is scored."""
    best = store.hall_of_fame(1)
    if not best:
        return None
    path = store.folder / "best.opt"
    path.write_text(readable(best[0]))
    return path


def readable(individual: Individual, name: str = "Bred") -> str:
    """An individual's text as people want it: without what it never reads, and with its history in a comment."""
    tree = unplaced(named(tidied(parse(individual.text)), name))
    score = "unscored" if individual.fitness is None else f"fitness {individual.fitness:.4f}"
    origin = ", ".join(individual.operators)
    return f"## Individual {individual.id} of a search: {score}, by {origin}.\n{format_file(tree)}"


class _Scorer:
    """Candidates to fitnesses: from the store where a rule of the same key was scored, else by training."""

    def __init__(self, store: Store, config: Config, pool: Pool, listener: Listener) -> None:
        self.store, self.pool, self.listener = store, pool, listener
        self.tasks, self.replicates = config.training.tasks, range(config.training.seeds)
        self.known = store.fitness_of_runs()

    def __call__(self, candidates: Sequence[Candidate]) -> list[Merit]:
        keys = [key_of(candidate.tree) for candidate in candidates]
        self._write_births(candidates, keys)
        waiting: dict[str, list[Candidate]] = {}
        for candidate, key in zip(candidates, keys, strict=True):
            waiting.setdefault(key, []).append(candidate)
        for key in list(waiting):
            if not list(self._missing(key)):
                self._announce(key, waiting.pop(key), fresh=False)
        jobs = [
            Job(key, format_file(tidied(same[0].tree)), task, replicate)
            for key, same in waiting.items()
            for task, replicate in self._missing(key)
        ]
        for job, outcome in self.pool.run(jobs):
            self.store.record(job, outcome)
            self.known[job.key, job.task, job.replicate] = outcome.fitness
            if not list(self._missing(job.key)):
                self._announce(job.key, waiting.pop(job.key), fresh=True)
        return [Merit(0, self._fitness(key)) for key in keys]

    def _missing(self, key: str) -> Iterator[tuple[str, int]]:
        return ((t, r) for t in self.tasks for r in self.replicates if (key, t, r) not in self.known)

    def _fitness(self, key: str) -> float:
        return overall({task: [self.known[key, task, r] for r in self.replicates] for task in self.tasks})

    def _announce(self, key: str, same: Sequence[Candidate], fresh: bool) -> None:
        fitness = self._fitness(key)
        self.store.score(key, fitness)
        for candidate in same:
            self.listener.scored(candidate, fitness, fresh and candidate is same[0])

    def _write_births(self, candidates: Sequence[Candidate], keys: Sequence[str]) -> None:
        individuals = [
            Individual(c.id, c.generation, c.place, key, format_file(c.tree), c.operators, c.parents)
            for c, key in zip(candidates, keys, strict=True)
        ]
        rejected = [
            Rejected(c.id, attempt, format_file(refusal.tree), refusal.reason)
            for c in candidates
            for attempt, refusal in enumerate(c.refused)
        ]
        self.store.born(individuals, rejected)
