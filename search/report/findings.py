"""A run's store to the figures that a report shows, as plain values; draws nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from ...dsl.text.expressions import Apply
from ...dsl.text.parser import parse
from ...dsl.text.syntax import File, Output
from ...dsl.text.walking import walk
from ..config import Config
from ..runs.export import formula
from ..runs.run import config_of
from ..runs.store import Individual, Store, StoreError
from ..spaces.measure import complexity, front, state_bytes
from ..spaces.paper import read
from ..spaces.trees import tidied
from ..training.fitness import DIVERGED

CONFIDENCE = 0.95
RIVALS = 3
"""How many founders the winner is shown beside, task by task."""
SHARES_SHOWN = 7


@dataclass(frozen=True)
class Spread:
    """The fitness of one population: its best, median and quartiles, and how many of so many members failed."""

    best: float
    median: float
    low: float
    high: float
    failed: int
    members: int


@dataclass(frozen=True)
class Scored:
    """A rule that came through training. `bytes` is its state for each float32 parameter."""

    individual: Individual
    tree: File
    fitness: float
    complexity: int
    bytes: float

    @property
    def formula(self) -> str:
        return formula(self.tree)


@dataclass(frozen=True)
class Shares:
    """What the populations are made of: for each name its share in every generation; a generation's shares sum to 1."""

    kind: str
    rows: dict[str, list[float]]


@dataclass(frozen=True)
class Seeds:
    """The fitness of one rule on one task, a figure a seed."""

    rule: str
    task: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95% interval of the mean over seeds; for one seed the value itself."""
        count = len(self.values)
        if count < 2:
            return self.mean, self.mean
        half = stdtrit(count - 1, (1 + CONFIDENCE) / 2) * float(np.std(self.values, ddof=1)) / count**0.5
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Reason:
    """Why some rules have no score of their own: how many, and one of them."""

    text: str
    count: int
    example: str


class Findings:
    """What a run found out. Raises StoreError where no rule is scored yet."""

    def __init__(self, store: Store) -> None:
        self.folder = store.folder
        self.config: Config = config_of(store)
        self.versions: dict[str, str] = json.loads(store.about("versions"))
        self.individuals = {i.id: i for i in store.individuals()}
        self.populations = [[self.individuals[one] for one in members] for members in store.populations()]
        self.training_seconds = store.training_seconds()
        self.hall = store.hall_of_fame(len(self.individuals))
        if not self.hall or _fitness(self.hall[0]) <= DIVERGED:
            raise StoreError(f"{store.folder} has no scored individual yet, so there is nothing to report")
        if not self.populations:
            raise StoreError(f"{store.folder} has no finished generation yet, so there is nothing to report")
        self._store = store
        self._parsed: dict[str, File] = {}
        self._trees: dict[str, File] = {}

    @property
    def winner(self) -> Individual:
        return self.hall[0]

    @property
    def founders(self) -> list[Individual]:
        """The rules that the run began with, without those that were drawn, the best first."""
        first = [
            i for i in self.individuals.values() if i.operators[0].startswith("founder ") and i.fitness is not None
        ]
        return sorted(first, key=_fitness, reverse=True)

    def tree(self, individual: Individual) -> File:
        """An individual's parse tree without sleeping genes."""
        if individual.id not in self._trees:
            self._trees[individual.id] = tidied(self._read(individual))
        return self._trees[individual.id]

    def _read(self, individual: Individual) -> File:
        """Parsing is most of a report's work, so each text is parsed once."""
        if individual.id not in self._parsed:
            self._parsed[individual.id] = parse(individual.text)
        return self._parsed[individual.id]

    def formula(self, individual: Individual) -> str:
        return formula(self.tree(individual))

    def outputs(self, individual: Individual) -> set[str]:
        """Which of `update`, `step_size` and `decay` an individual writes."""
        return {item.name for item in self.tree(individual).items if isinstance(item, Output)}

    @cached_property
    def spreads(self) -> list[Spread]:
        """One for each finished generation."""
        return [_spread(population) for population in self.populations]

    @cached_property
    def scored(self) -> list[Scored]:
        """Every distinct rule that came through training, the best first."""
        through = [i for i in self.hall if _fitness(i) > DIVERGED]
        return [self._scored(i) for i in through]

    def _scored(self, i: Individual) -> Scored:
        tree = self.tree(i)
        return Scored(i, tree, _fitness(i), complexity(tree), state_bytes(tree))

    @cached_property
    def front(self) -> list[Scored]:
        """The rules that no simpler rule beats, the simplest first."""
        return front(self.scored, lambda s: s.complexity, lambda s: s.fitness)

    @cached_property
    def shares(self) -> Shares:
        """The primitives of the paper's space, or the operators of what a free space's rules do, over generations."""
        paper = self.config.search.space == "paper"
        parts = {i.id: self._parts(i, paper) for p in self.populations for i in p}
        counts = [Counter(part for i in p for part in parts[i.id]) for p in self.populations]
        kind = "terms" if paper else "operators"
        return Shares(kind, _shares(counts))

    def _parts(self, individual: Individual, paper: bool) -> list[str]:
        if paper:
            return [term.primitive for term in read(self._read(individual)).terms]
        updates = [item for item in self.tree(individual).items if isinstance(item, Output) and item.name == "update"]
        return [node.op for update in updates for node in walk(update) if isinstance(node, Apply)]

    @cached_property
    def tasks(self) -> list[Seeds]:
        """The winner and the best founders: every seed of every task."""
        shown = {"winner": self.winner} | {i.operators[0].removeprefix("founder "): i for i in self.founders[:RIVALS]}
        found, steps = [], self.config.training.steps
        for task in self.config.training.tasks:
            for name, individual in shown.items():
                runs = self._store.outcomes(individual.key)
                values = tuple(o.fitness for job, o in runs if (job.task, job.steps) == (task, steps))
                if values:
                    found.append(Seeds(name, task, values))
        return found

    @property
    def refused(self) -> int:
        """How many children the gates turned away."""
        return len(self._store.refusals())

    @cached_property
    def ledger(self) -> list[Reason]:
        """Why rules have no score of their own, the most frequent reason first."""
        texts = {i.key: i.text for i in self.individuals.values()}
        turned = [(r.reason, r.text) for r in self._store.refusals()]
        failed = {(f"training: {reason}", texts[key]) for key, reason in self._store.failures()}
        examples: dict[str, str] = {}
        for reason, text in [*turned, *sorted(failed)]:
            examples.setdefault(reason, text)
        return [
            Reason(reason, count, formula(parse(examples[reason]))) for reason, count in self._store.reasons().items()
        ]


def _fitness(individual: Individual) -> float:
    return DIVERGED if individual.fitness is None else individual.fitness


def _spread(population: Sequence[Individual]) -> Spread:
    """Of those that have a fitness; who was stopped at a rung has none."""
    values = [_fitness(i) for i in population if i.rung is None or i.fitness is not None] or [DIVERGED]
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    failed = sum(value <= DIVERGED for value in values)
    return Spread(max(values), float(median), float(low), float(high), failed, len(population))


def _shares(counts: Iterable[Counter[str]]) -> dict[str, list[float]]:
    """Shares of the most frequent names, and of all others together."""
    columns = list(counts)
    total = sum(columns, Counter())
    names = [name for name, _ in total.most_common()]
    shown = names if len(names) <= SHARES_SHOWN else names[: SHARES_SHOWN - 1]
    rows = {name: [_part(c[name], c) for c in columns] for name in shown}
    if len(names) > len(shown):
        rows["others"] = [_part(sum(c[name] for name in names[len(shown) :]), c) for c in columns]
    return rows


def _part(count: int, counter: Counter[str]) -> float:
    return count / max(1, counter.total())
