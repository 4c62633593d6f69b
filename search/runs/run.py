"""A configuration to a finished run: evolves, trains what is not known yet, writes every result down."""

from __future__ import annotations

import gc
import io
import json
import platform
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dsl.text.format import format_file
from ...dsl.text.parser import parse
from ..config import Config, checked, to_toml
from ..evolve.control import controlled
from ..evolve.evolve import evolve
from ..evolve.selection import Breeding
from ..files import write_whole
from ..spaces.founders import founder_texts, opened_by
from ..spaces.gates import Gatekeeper
from ..spaces.space import SPACES
from ..spaces.trees import named, tidied, unplaced
from ..tasks.task import TASKS, digest_of, splits_of
from ..training.fitness import DIVERGED
from ..training.pool import make_pool
from .listener import Listener
from .scorer import Scorer
from .scores import Scores
from .store import Individual, Store, StoreError

PACKAGES = ("optc", "torch", "torchvision", "triton", "numpy")
UNSEEN = 200_000
"""How many new objects the collector lets be before it looks through them: some hundred rules' worth."""


# ---------------------------------------------------------------- a run's folder


def create(config: Config, folder: Path, founders: str = "") -> Store:
    """A new run's folder: its resolved configuration, versions and splits. Raises StoreError, DataError.

    `founders` are those of another run, as its store has them; else they are the configuration's.
    """
    splits = _splits(config)
    about = {
        "config": to_toml(config),
        "versions": json.dumps(_versions()),
        "data": _data(config),
        "founders": founders or json.dumps(founder_texts(config)),
    }
    files = {
        "config.toml": about["config"].encode(),
        "versions.json": json.dumps(_versions(), indent=2).encode() + b"\n",
        "splits.npz": _archive(splits),
    }
    return Store.create(folder, about, files)


def _archive(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def config_of(store: Store) -> Config:
    """The configuration that a run was started with. Raises ConfigError, StoreError."""
    return checked(tomllib.loads(store.about("config")), str(store.folder))


def _recorded(store: Store, what: str) -> dict[str, str]:
    """What a run wrote down by name: the texts of its founders, the digests of its data. Raises StoreError."""
    return dict(json.loads(store.about(what)))


def _splits(config: Config) -> dict[str, npt.NDArray[np.int32]]:
    """Of all tasks, as they are written down."""
    training = config.training
    return {
        f"{TASKS[task].name}_{part}": indices.astype(np.int32)
        for task in training.tasks
        for part, indices in splits_of(task, config.seed, training.train_images, training.validation_images).items()
    }


def _data(config: Config) -> str:
    """What the tasks are made of, as it is written down."""
    return json.dumps({task: digest_of(task) for task in config.training.tasks})


def check_data(store: Store, config: Config) -> None:
    """Raises StoreError where a run's tasks are not what they were when it began: scores of two would be mixed."""
    for task, digest in _recorded(store, "data").items():
        if digest != digest_of(task):
            raise StoreError(
                f"{store.folder} cannot be continued: the data of its task {task}, or the file that the task is in, "
                "has changed since the run began; put it back, or start a new run"
            )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


# ---------------------------------------------------------------- running


@contextmanager
def settled_memory() -> Iterator[None]:
    """Python's collector does not look again at what was there before the search: all that importing torch left.

    It looks seldom at what comes after, for trees, rules and graphs have no cycles and go without it.
    """
    gc.collect()
    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(UNSEEN, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()  # what stays frozen at the end of a program is never freed, and libraries in C complain of it


@settled_memory()
def run(store: Store, config: Config, listener: Listener) -> None:
    """Search from wherever the store stands to the end. Whatever interrupts it, what is scored is in the store."""
    check_data(store, config)
    search = config.search
    breeding = Breeding.of(search)
    pool, scores = make_pool(config), Scores(config)
    try:
        scorer = Scorer(store, config, pool, scores, listener)
        listener.started(breeding.individuals, len(scorer.known))
        gates = Gatekeeper(search.gates, config.training.steps)
        space = opened_by(SPACES[search.space], _recorded(store, "founders"))
        space = controlled(space, search.control)
        bred = evolve(space, breeding, config.seed, gates, scorer, scorer.rehearse, gates.forget, gates.traits)
        for generation in bred:
            store.generation(generation.number, [member.candidate.id for member in generation.members])
            listener.generation(generation)
            if generation.best.fitness <= DIVERGED and not (breeding.patience and store.hall_of_fame(1)):
                raise StoreError(_hopeless(store))
    finally:
        pool.close()
        scores.close()
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
    try:
        write_whole(path, readable(best[0]))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}; the run itself is safe") from None
    return path


def readable(individual: Individual, name: str = "Bred") -> str:
    """An individual's text as people want it: without what it never reads, and with its history in a comment."""
    tree = unplaced(named(tidied(parse(individual.text)), name))
    score = "unscored" if individual.fitness is None else f"fitness {individual.fitness:.4f}"
    origin = ", ".join(individual.operators)
    return f"## Individual {individual.id} of a search: {score}, by {origin}.\n{format_file(tree)}"
