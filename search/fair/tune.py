"""Entrants to the best constants that a number of trials finds, the same number for each; it compares no rules.

The first trial is what the entrant's author wrote. In log-random search the others come in rounds, drawn from the
declared priors, every other one with the author's values for all but the learning rate; a prior on whose border the
best so far lies is widened before the next round. The evolution strategy starts at the author's values and may leave
the priors, as far as the hyperparameters' intervals let it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...dsl.rule import Value
from ..config import Config, ConfigError
from ..evolve.strategy import Evolution
from ..seeds import generator
from ..spaces.axes import Axis, Side, axes_of, prior_text
from ..training.fitness import overall
from .entrants import Entrant, maker
from .heats import Heats, Result, heat
from .schedules import under

ROUNDS = 4
RATE = "lr"
"""What matters most, and what a few draws of everything at once seldom get right."""
SIGMA = 0.25
"""The evolution strategy's first step, in widths of a prior."""
METHODS = ("log-random", "cma")


@dataclass(frozen=True)
class Budget:
    """What every entrant gets: so many trials, each the mean over tasks of the mean over `seeds` runs."""

    trials: int
    seeds: int = 1
    method: str = "log-random"


@dataclass(frozen=True)
class Trial:
    values: dict[str, Value]
    score: float


@dataclass
class Tuner:
    """One entrant under one schedule: asks for trials until its budget is spent, and remembers what they came to."""

    entrant: Entrant
    schedule: str
    budget: Budget
    seed: int
    trials: list[Trial] = field(default_factory=list)
    widenings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runner = _compiled(under(self.entrant, self.schedule))
        self.axes = {axis.name: axis for axis in axes_of(self.runner.params)}
        if not self.axes and self.budget.trials > 1:
            raise ConfigError(
                f"{self.entrant.name} declares no priors, so there is nothing to tune; add `~ ...` to a param"
            )
        self.strategy: Evolution | None = None
        self.waiting: list[dict[str, Value]] = []

    def ask(self) -> list[dict[str, Value]]:
        """Hyperparameters to try next; none when the budget is spent."""
        left = self.budget.trials - len(self.trials)
        if left <= 0:
            self.waiting = []
        elif not self.trials:
            self.waiting = [{name: self.runner.defaults()[name] for name in self.axes}]
        elif self.budget.method == "cma":
            self.waiting = self._evolved()[:left]
        else:
            share = -(-self.budget.trials // ROUNDS)
            first = len(self.trials)
            self.waiting = [self._drawn(number) for number in range(first, first + min(share, left))]
        return self.waiting

    def tell(self, scores: Sequence[float]) -> None:
        """The scores of the hyperparameters last asked for."""
        self.trials += [Trial(values, score) for values, score in zip(self.waiting, scores, strict=True)]
        over = len(self.trials) >= self.budget.trials
        if self.budget.method == "cma":
            if self.strategy and len(scores) == len(self.positions):
                self.strategy.tell(self.positions, scores)
            if over:
                self._widen_all()
        elif not over:
            self._widen()

    @property
    def best(self) -> Trial:
        """The trial of the highest score, the earlier of equals."""
        return max(self.trials, key=lambda trial: trial.score)

    def borders(self) -> dict[str, Side]:
        """Hyperparameters whose best value lies on a border of its prior or beyond, unless its author put it there."""
        drawn, author = self.trials[1:], self.trials[0].values
        sides = {
            name: axis.side(float(self.best.values[name]), (float(trial.values[name]) for trial in drawn))
            for name, axis in self.axes.items()
            if self.best.values[name] != author[name]
        }
        return {name: side for name, side in sides.items() if side}

    def tuned(self) -> Entrant:
        """The entrant with the constants of the best trial and the priors as they ended up; its schedule untouched."""
        priors = {name: axis.prior for name, axis in self.axes.items()}
        return self.entrant.with_values(self.best.values, priors)

    def runner_tuned(self) -> Entrant:
        """The same, as it runs under the schedule."""
        return self.runner.with_values(self.best.values)

    def _drawn(self, number: int) -> dict[str, Value]:
        """A trial's values. What two rules call alike is drawn alike, so that neither is luckier."""
        alone = number % 2 == 1 and RATE in self.axes
        draws = {
            name: axis.value(axis.draw(generator(self.seed, "tune", name, number)))
            for name, axis in self.axes.items()
            if name == RATE or not alone
        }
        return {**self.trials[0].values, **draws}

    def _evolved(self) -> list[dict[str, Value]]:
        if self.strategy is None:
            start = [axis.position(float(self.runner.defaults()[name])) for name, axis in self.axes.items()]
            self.strategy = Evolution(np.clip(start, 0.1, 0.9).tolist(), SIGMA, generator(self.seed, "tune"))
        self.positions = self.strategy.ask()
        return [
            {name: axis.value(x) for (name, axis), x in zip(self.axes.items(), position, strict=True)}
            for position in self.positions.tolist()
        ]

    def _widen_all(self) -> None:
        """Widen until the best is inside, where the strategy has left the priors."""
        while self._widen():
            pass

    def _widen(self) -> bool:
        """Move every border that the best lies on, as far as there is room; says whether there was any."""
        before = len(self.widenings)
        for name, side in self.borders().items():
            axis = self.axes[name]
            wider: Axis = axis.widened(side)
            if wider != axis:
                self.widenings.append(f"{name}: {prior_text(axis.prior)} became {prior_text(wider.prior)}")
                self.axes[name] = wider
        return len(self.widenings) > before


def _compiled(entrant: Entrant) -> Entrant:
    """The same, where an optimizer can be made of it; what is wrong with it is said once, not run by run."""
    try:
        maker(entrant.text)
    except ValueError as error:
        raise ConfigError(f"{entrant.name} cannot be trained: {error}") from None
    return entrant


def tune(tuners: Sequence[Tuner], config: Config, heats: Heats) -> None:
    """Spend every tuner's budget on the search images, a round of all of them at a time. Raises StoreError."""
    while asked := [(tuner, values) for tuner in tuners for values in tuner.ask()]:
        training = config.training
        runs = [(task, replicate) for task in training.tasks for replicate in range(tuners[0].budget.seeds)]
        wanted = [
            heat(config, t.runner.with_values(values).text, task, k, training.steps, t.schedule, "search", "tune")
            for t, values in asked
            for task, k in runs
        ]
        results = iter(heats.run(wanted))
        scores = iter([_score(runs, results) for _ in asked])
        for tuner in tuners:
            tuner.tell([next(scores) for _ in tuner.waiting])


def _score(runs: Sequence[tuple[str, int]], results: Iterator[Result]) -> float:
    """A trial's score, from the results of its runs, (task, replicate) each, which come next."""
    fitness: dict[str, list[float]] = {task: [] for task, _ in runs}
    for task, _ in runs:
        fitness[task].append(next(results).fitness)
    return overall(fitness)
