"""A finished search to what its best rule is worth on the official test split: the only code that ever reads one.

It is read once a run. Before it is, the candidates have been run again on fresh seeds, the one to be tested is chosen
by the selection images, and the choice is written down; the file says so ever after.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from ..config import Config
from ..runs.run import readable
from ..runs.store import Individual, Store, StoreError
from ..tasks.dataset import Dataset
from ..tasks.protocol import Problem
from ..tasks.sources import test_examples, training_examples
from ..tasks.splits import Judged
from ..tasks.task import TASKS
from ..training.fitness import overall
from .compare import comparison
from .contest import Contest, Place, Say, Standings, hold
from .entrants import Entrant, from_text
from .heats import Heats, Referee, heat
from .record import Scored, record_of, scored, write_record
from .scoreboard import as_json
from .tune import Budget

FOLDER = "test"


class FinalReferee(Referee):
    """A referee that can also judge by test images."""

    def _made(self, task: str, part: Judged) -> Problem:
        return tested(self.config, task, self.device) if part == "test" else super()._made(task, part)


def tested(config: Config, name: str, device: torch.device) -> Problem:
    """The task, trained on what the search trained on, judged by the whole test split. Raises DataError.

    What is made up as it goes, such as a landscape, is judged by a draw that nothing else uses.
    """
    task, training = TASKS[name], config.training
    limits = (training.train_images, training.validation_images)
    if not isinstance(task, Dataset):
        return task.problem(config.seed, *limits, device, "test")
    data, unseen = training_examples(task.data, task.form), test_examples(task.data, task.form)
    train = task.splits(config.seed, *limits)["train"]
    return task.ready(data.followed_by(unseen, task.data), train, np.arange(len(data), len(data) + len(unseen)), device)


@dataclass(frozen=True)
class Plan:
    """What is asked of a test: how many of the best are run again, on how many seeds, and whom the winner must meet.

    Rivals and winner are tuned with `trials` trials each, under both schedules.
    """

    top: int = 5
    seeds: int = 20
    against: tuple[str, ...] = ()
    trials: int = 16


# ---------------------------------------------------------------- the test


def test(store: Store, config: Config, plan: Plan, heats: Heats, say: Say) -> dict[str, Any]:
    """Choose, write the choice down, read the test split; the record. Raises StoreError where it was read already."""
    record = _begun(store, plan) or _chosen(store, config, plan, heats, say)
    write_record(store.folder, record)
    say("reading the test split")
    for task in config.training.tasks:  # what is wrong with it is said here, and not as a failed run
        tested(config, task, torch.device("cpu"))
    record |= _read_test(from_text(record["winner"]["text"]), config, plan, heats, say)
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_record(store.folder, record)
    return record


def _begun(store: Store, plan: Plan) -> dict[str, Any] | None:
    """The record of a reading that was interrupted. Raises StoreError where it cannot be gone on with."""
    begun = record_of(store.folder)
    if begun is not None and begun.get("finished"):
        raise StoreError(f"the test split of {store.folder} was read on {begun['begun']}")
    if begun is not None and begun["plan"] != _plain(plan):
        raise StoreError(
            f"a test of {store.folder} was begun with other options, and can only be gone on with: {begun['plan']}"
        )
    return begun


def _chosen(store: Store, config: Config, plan: Plan, heats: Heats, say: Say) -> dict[str, Any]:
    """The beginning of a record: who is to be tested, and why. The test split is not read."""
    candidates = _candidates(store, config, plan.top)
    say(f"the {len(candidates)} best again, on {plan.seeds} fresh seeds and the selection split")
    again = [_again(config, candidate, plan.seeds, heats) for candidate in candidates]
    chosen = max(range(len(candidates)), key=lambda k: again[k].mean)
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": _plain(plan),
        "tasks": config.training.tasks,
        "winner": {
            "individual": candidates[chosen].id,
            "rank": chosen + 1,
            "text": readable(candidates[chosen]),
        },
        "search": candidates[chosen].fitness,
        "selection": asdict(again[chosen]),
        "candidates": [
            {"individual": c.id, "search": c.fitness} | asdict(s) for c, s in zip(candidates, again, strict=True)
        ],
    }


def _plain(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {"against": list(plan.against)}


def _candidates(store: Store, config: Config, top: int) -> list[Individual]:
    if len(store.best_by_generation()) < config.search.generations:
        raise StoreError(
            f"{store.folder} is not finished, and its test split is read once: optsearch resume {store.folder}"
        )
    return store.hall_of_fame(top)


def _again(config: Config, candidate: Individual, seeds: int, heats: Heats) -> Scored:
    """A candidate as it was bred, on seeds and images that the search never saw."""
    text, tasks = readable(candidate), config.training.tasks
    wanted = [
        heat(config, text, task, seed, config.training.steps, "own", "selection", "select")
        for seed in range(seeds)
        for task in tasks
    ]
    found = iter(heats.run(wanted))
    return scored([overall({task: [next(found).fitness] for task in tasks}) for _ in range(seeds)])


def _read_test(winner: Entrant, config: Config, plan: Plan, heats: Heats, say: Say) -> dict[str, Any]:
    """The winner as it was bred; then, if there are rivals, everyone tuned alike."""
    alone = hold(Contest(((winner, "own"),), (), Budget(0), plan.seeds, part="test"), config, heats, say)
    results = {task: alone.results[Place(winner.name, "own", 1, task)] for task in alone.tasks}
    accuracy = {t: [r.accuracy for r in runs if r.accuracy is not None] for t, runs in results.items()}
    entry = next(iter(alone.tuners))
    out: dict[str, Any] = {
        "test": asdict(scored(alone.scores(entry, 1, alone.tasks))),
        "accuracy": {task: float(np.mean(found)) if found else None for task, found in accuracy.items()},
    }
    if plan.against:
        standings = _contest(winner, config, plan, heats, say)
        out["standings"] = as_json(standings)
    return out


def _contest(winner: Entrant, config: Config, plan: Plan, heats: Heats, say: Say) -> Standings:
    contest = comparison([winner], plan.against, ("constant", "cosine"), (1,), Budget(plan.trials), plan.seeds)
    return hold(replace(contest, part="test"), config, heats, say)
