"""What each way of searching is worth: searches of equal cost, on tasks that are trained, beside one reference.

    python examples/strategies.py --out docs/results/strategies.json            # goes on where it was interrupted
    python examples/strategies.py --seeds 2 --budget 4000                       # a quick look

Every search begins with the same rules for the same seed, and ends when its training runs have taken `--budget` steps,
short schedules on rungs included. Its best rule is then trained on seeds that no search has met; the mean of those
scores is what counts, and it is compared seed by seed with that of the reference.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np

from optc.search.config import Config, checked
from optc.search.evolve.population import Candidate, Generation, Merit
from optc.search.fair.statistics import compared
from optc.search.runs.run import create, run
from optc.search.runs.store import Individual, Store
from optc.search.spaces.space import SPACES
from optc.search.training.evaluate import Evaluator, Job
from optc.search.training.fitness import overall

REFERENCE = "tournament"
BASE: dict[str, Any] = {
    "search": {
        "space": "expression",
        "population": 12,
        "generations": 1000,
        "elites": 2,
        "tournament": 3,
        "selection": "tournament",
        "tune_every": 0,
        "patience": 0,
    },
    "training": {"steps": 60, "batch": 32, "seeds": 1},
    "machine": {"pool": "inline", "device": "cpu", "cache": True, "together": 1},
}
OWN = SPACES["expression"].defaults
STRATEGIES: dict[str, dict[str, dict[str, Any]]] = {
    REFERENCE: {},
    "aging": {"search": {"selection": "aging", "children": 3}},
    "islands": {"search": {"selection": "islands", "islands": 3, "elites": 1, "restart": 3}},
    "pareto": {"search": {"selection": "pareto", "objectives": ["fitness", "complexity"]}},
    "tuning": {"search": {"tune_every": 2, "tune_top": 1, "tune_trials": 10}},
    "pareto and tuning": {
        "search": {"selection": "pareto", "objectives": ["fitness", "complexity"], "tune_every": 2, "tune_top": 1,
                   "tune_trials": 10},
    },
    "taking turns": {"search": {"patience": 3}},
    "as the space says": {"search": {**OWN, "generations": 1000}},
    "the same without turns": {"search": {**OWN, "generations": 1000, "patience": 0}},
    "one rung": {"training": {"rungs": [0.33]}},
    "no crossing": {"search": {"crossover": 0.0}},
    "no gates": {"search": {"gates": []}},
    "control: random": {"search": {"control": "random", "crossover": 0.0}},
    "control: constants": {"search": {"control": "constants", "crossover": 0.0}},
}  # fmt: skip
"""What each strategy changes of BASE."""
FRESH = range(1000, 1008)
"""The seeds that judge; a search trains with seed 0 of each task."""


class SpentError(Exception):
    """The budget is spent."""


class Spending:
    """Ends a search once its training runs have taken so many steps; a rule that was late does not count."""

    def __init__(self, store: Store, budget: int) -> None:
        self.store, self.budget = store, budget
        self.best, self.fitness, self.rules = "", -np.inf, 0

    def scored(self, candidate: Candidate, fitness: float, fresh: bool) -> None:
        if self.store.steps() > self.budget:
            raise SpentError
        self.rules += 1
        if fitness > self.fitness:
            self.best, self.fitness = candidate.id, fitness

    def stopped(self, candidate: Candidate, merit: Merit) -> None:
        self.rules += 1

    def started(self, individuals: int, known: int) -> None: ...

    def generation(self, generation: Generation) -> None: ...

    def finished(self) -> None: ...


def configuration(changes: Mapping[str, Mapping[str, Any]], tasks: Sequence[str], seed: int) -> Config:
    data = {section: {**BASE[section], **changes.get(section, {})} for section in BASE}
    data["training"]["tasks"] = list(tasks)
    return checked({"seed": seed, **data}, "strategy")


def search(strategy: str, tasks: Sequence[str], seed: int, budget: int) -> dict[str, Any]:
    """One search: the best rule that its budget found, its score there, and its score on fresh seeds."""
    config = configuration(STRATEGIES[strategy], tasks, seed)
    with tempfile.TemporaryDirectory() as folder:
        store = create(config, Path(folder) / "run")
        spending = Spending(store, budget)
        with suppress(SpentError):
            run(store, config, spending)
        (best,) = [individual for individual in store.individuals() if individual.id == spending.best]
        store.close()
    scores = {"search": round(spending.fitness, 5), "fresh": round(judged(best, config), 5)}
    return {"strategy": strategy, "seed": seed, "rules": spending.rules, **scores, "rule": best.text}


def judged(best: Individual, config: Config) -> float:
    evaluate, training = Evaluator(config), config.training
    return overall(
        {
            task: [evaluate(Job(best.key, best.text, task, seed, training.steps)).fitness for seed in FRESH]
            for task in training.tasks
        }
    )


def table(searches: list[dict[str, Any]]) -> list[str]:
    """Each strategy's scores, and how they differ from the reference's, with a bootstrap interval."""
    lines = [f"{'':24}{'rules':>6}{'search':>8}{'fresh':>8}   minus {REFERENCE}, 95%"]
    reference = {one["seed"]: one["fresh"] for one in searches if one["strategy"] == REFERENCE}
    for strategy in STRATEGIES:
        own = {one["seed"]: one for one in searches if one["strategy"] == strategy and one["seed"] in reference}
        if not own:
            continue
        rules, here, fresh = (np.mean([one[key] for one in own.values()]) for key in ("rules", "search", "fresh"))
        gap = compared(strategy, REFERENCE, "", [one["fresh"] for one in own.values()], [reference[k] for k in own])
        shown = f"{gap.mean:+.4f}  [{gap.low:+.4f}, {gap.high:+.4f}]  {gap.wins} of {gap.seeds} seeds won"
        lines.append(f"{strategy:24}{rules:6.0f}{here:8.4f}{fresh:8.4f}   {'' if strategy == REFERENCE else shown}")
    return lines


@click.command()
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1), help="Searches by each strategy.")
@click.option("--budget", default=10_000, show_default=True, type=click.IntRange(1), help="Training steps of a search.")
@click.option("--tasks", default="digits,rotated_1e4", show_default=True, help="What the rules are trained on.")
@click.option("--only", default=",".join(STRATEGIES), help="Which strategies, with commas between them.")
@click.option("--out", type=click.Path(path_type=Path), help="Write everything as JSON, and go on with what is there.")
def main(seeds: int, budget: int, tasks: str, only: str, out: Path | None) -> None:
    """Hold strategies against each other at equal cost."""
    names = tasks.split(",")
    setup = {"budget": budget, "tasks": names, "fresh seeds": len(FRESH), "base": BASE, "strategies": STRATEGIES}
    about = json.loads(json.dumps(setup))
    known = json.loads(out.read_text()) if out and out.exists() else {**about, "searches": []}
    if {key: known.get(key) for key in about} != about:
        raise click.ClickException(f"{out} holds other searches than these; choose another file")
    done = {(one["strategy"], one["seed"]) for one in known["searches"]}
    for seed in range(seeds):
        for strategy in only.split(","):
            if (strategy, seed) not in done:
                known["searches"].append(search(strategy, names, seed, budget))
                if out:
                    out.write_text(json.dumps(known, indent=1) + "\n")
    click.echo("\n".join(table(known["searches"])))


if __name__ == "__main__":
    main()
