"""Entrants, tuned alike and run on paired seeds, to comparisons and claims: the fair protocol, whoever is compared.

Tuning sees the search images alone, the final figures the selection images alone, on seeds that nothing else uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from ..config import Config
from .claims import Basis, Claim, claim
from .entrants import Entrant
from .heats import Heat, Heats, Purpose, Result, heat
from .statistics import Comparison, Floats, compared, corrected
from .tune import Budget, Tuner, tune

BEST_SCHEDULE = "the better schedule of each"
Say = Callable[[str], None]


class Entry(NamedTuple):
    """A rule under a schedule, by their names."""

    rule: str
    schedule: str


class Place(NamedTuple):
    """Where a rule is measured: under a schedule, on a task, so many times the configured steps."""

    rule: str
    schedule: str
    horizon: int
    task: str


@dataclass(frozen=True)
class Contest:
    """Who meets whom. `entries` are entrants under schedules, `pairs` the (rule, rival) that are compared.

    `variants` says that all are variants of one rule, which keep its constants where the budget is 0 trials. `part` is
    whose images judge the final runs.
    """

    entries: tuple[tuple[Entrant, str], ...]
    pairs: tuple[tuple[str, str], ...]
    budget: Budget
    seeds: int
    horizons: tuple[int, ...] = (1,)
    variants: bool = False
    part: Literal["selection", "test"] = "selection"


@dataclass(frozen=True)
class Standings:
    """What a contest came to."""

    contest: Contest
    config: Config
    tuners: dict[Entry, Tuner]
    results: dict[Place, tuple[Result, ...]]

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.config.training.tasks

    def steps(self, horizon: int) -> int:
        return horizon * self.config.training.steps

    def scores(self, entry: Entry, horizon: int, tasks: Sequence[str]) -> Floats:
        """The mean fitness over tasks, (seeds,)."""
        runs = [[result.fitness for result in self.results[Place(*entry, horizon, task)]] for task in tasks]
        mean: Floats = np.mean(runs, axis=0, dtype=np.float64)
        return mean

    def schedules(self, rule: str) -> list[str]:
        return [entry.schedule for entry in self.tuners if entry.rule == rule]

    def better_schedule(self, rule: str) -> str:
        """The schedule under which tuning found the best score, on the search images."""
        return max(self.schedules(rule), key=lambda schedule: self.tuners[Entry(rule, schedule)].best.score)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every pair under every condition, corrected for all of them together."""
        return corrected(list(self._compared()))

    @cached_property
    def claims(self) -> list[Claim]:
        """What may be said of every rule under every condition."""
        groups: dict[tuple[str, str], list[Comparison]] = {}
        for c in self.comparisons:
            groups.setdefault((c.rule, c.condition), []).append(c)
        trials = {entry.rule: len(tuner.trials) for entry, tuner in self.tuners.items()}
        basis = Basis(self.contest.part, trials, len(self.comparisons), self.contest.variants)
        return [claim(rule, condition, group, basis) for (rule, condition), group in groups.items()]

    def _compared(self) -> Iterator[Comparison]:
        scopes = [self.tasks] if len(self.tasks) == 1 else [self.tasks, *((task,) for task in self.tasks)]
        for (rule, rival), horizon, tasks in product(self.contest.pairs, self.contest.horizons, scopes):
            for schedule, ours, theirs in self._meetings(rule, rival):
                condition = f"{' + '.join(tasks)}, {self.steps(horizon)} steps, {schedule}"
                a = self.scores(Entry(rule, ours), horizon, tasks)
                b = self.scores(Entry(rival, theirs), horizon, tasks)
                yield compared(rule, rival, condition, a, b)

    def _meetings(self, rule: str, rival: str) -> Iterator[tuple[str, str, str]]:
        """The condition's words and the schedules of both: the same for both, then the better of each."""
        common = [schedule for schedule in self.schedules(rule) if schedule in self.schedules(rival)]
        yield from ((schedule, schedule, schedule) for schedule in common)
        if len(common) > 1 and self.contest.budget.trials > 0:
            yield BEST_SCHEDULE, self.better_schedule(rule), self.better_schedule(rival)


def hold(contest: Contest, config: Config, heats: Heats, say: Say = lambda line: None) -> Standings:
    """Tune everyone, run everyone, whatever is not on file yet. Raises ConfigError, OptError, StoreError."""
    tuners = {
        Entry(entrant.name, schedule): Tuner(entrant, schedule, contest.budget, config.seed)
        for entrant, schedule in contest.entries
    }
    if contest.budget.trials:
        say(f"tuning {len(tuners)} entries with {contest.budget.trials} trials each")
        tune(list(tuners.values()), config, heats)
    places = [
        Place(*entry, horizon, task)
        for entry, horizon, task in product(tuners, contest.horizons, config.training.tasks)
    ]
    say(f"final runs of {len(tuners)} entries with {contest.seeds} paired seeds each")
    wanted = [final_heat(contest, config, tuners, place, seed) for seed in range(contest.seeds) for place in places]
    found = iter(heats.run(wanted))
    rows = [[next(found) for _ in places] for _ in range(contest.seeds)]
    results = {place: tuple(row[k] for row in rows) for k, place in enumerate(places)}
    return Standings(contest, config, tuners, results)


def final_heat(contest: Contest, config: Config, tuners: Mapping[Entry, Tuner], place: Place, seed: int) -> Heat:
    """One final run: an entry's text with its tuned constants, if it was tuned, on images that tuning never saw."""
    tuner, steps = tuners[Entry(place.rule, place.schedule)], place.horizon * config.training.steps
    text = (tuner.runner_tuned() if tuner.trials else tuner.runner).text
    purpose: Purpose = "test" if contest.part == "test" else "final"
    return heat(config, text, place.task, seed, steps, place.schedule, contest.part, purpose)
