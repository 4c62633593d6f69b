"""A run's store to where its candidates went: born, refused and by which gate, stopped, failed, trained; in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..config import Config
from ..evolve.population import TRIAL
from ..evolve.rungs import Ladder
from ..training.fitness import DIVERGED
from .store import Individual, Store


@dataclass(frozen=True)
class Ledger:
    """How many candidates there were, and what became of them; every one is counted once.

    `stopped` has a count for each rung; `tried` are constants that were tuned, but not judged. `repeated` are rules of
    one canonical form with an earlier one, whose score they share. `runs` are training runs, of which `cached` were
    known from other searches.
    """

    candidates: int
    refused: dict[str, int]
    repeated: int
    stopped: tuple[int, ...]
    tried: int
    failed: int
    whole: int
    waiting: int
    runs: int
    cached: int


def ledger(store: Store, config: Config) -> Ledger:
    """The counts of a run, whether it is finished or not."""
    rungs = Ladder(config).top
    refused = Counter(r.reason.partition(":")[0] for r in store.refusals())
    individuals = store.individuals()
    first: dict[str, Individual] = {}
    for individual in individuals:
        first.setdefault(individual.key, individual)
    judged = [i for i in first.values() if i.rung is not None]
    failed = sum(i.fitness is not None and i.fitness <= DIVERGED for i in judged)
    unjudged = [i for i in judged if i.fitness is None]
    stopped = Counter(i.rung for i in unjudged if i.operators != TRIAL)
    runs, cached = store.runs()
    return Ledger(
        len(individuals) + refused.total(),
        dict(refused.most_common()),
        len(individuals) - len(first),
        tuple(stopped[rung] for rung in range(rungs)),
        len(unjudged) - stopped.total(),
        failed,
        len(judged) - failed - len(unjudged),
        len(first) - len(judged),
        runs,
        cached,
    )


def lines(found: Ledger, config: Config) -> list[str]:
    """The counts as an indented table; what never happened is left out, but for what was trained whole."""
    rungs = zip(found.stopped, Ladder(config).lengths, strict=False)
    rows = [
        *((count, f"refused by a gate: {reason}") for reason, count in found.refused.items()),
        (found.repeated, "the same rule as one born before, and its score"),
        *((count, f"stopped at rung {k}, after {steps} steps") for k, (count, steps) in enumerate(rungs, 1)),
        (found.tried, "constants that were tried on other seeds, to tune a rule"),
        (found.failed, "failed in training, and given up where they did"),
        (found.whole, f"trained for all {config.training.steps} steps"),
        (found.waiting, "not judged yet"),
    ]
    known = f", {found.cached:,} of them known from other searches" if found.cached else ""
    return [
        f"where {found.candidates:,} candidates went:",
        *(f"  {count:>6,}  {what}" for count, what in rows if count or "trained" in what),
        f"training runs: {found.runs:,}{known}",
    ]
