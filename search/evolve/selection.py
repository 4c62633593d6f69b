"""Who of a population is a parent, and who lives on: one row of SELECTIONS a strategy, each a pure function of merits.

`tournament` is the paper's, with elites (Goldberg and Deb, 1991). `aging` lets the oldest die however good they are
(Real, Aggarwal, Huang and Le, "Regularized evolution", arXiv:1802.01548). `islands` are populations that never meet,
the worse half of which is emptied from time to time and begun again with a good rule of the better half (Romera-Paredes
et al., "FunSearch", Nature 625, 2024). `pareto` selects by fronts of several objectives and crowding (Deb et al.,
NSGA-II, 2002), and every other parent by fitness with a preference for what is small (Luke and Panait, "Lexicographic
parsimony pressure", GECCO 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, Protocol

import numpy as np

from ...dsl.text.syntax import File
from ..config import Search
from ..seeds import generator
from ..spaces.measure import complexity, skeleton, state_bytes
from ..spaces.trees import tidied
from ..training.fitness import DIVERGED
from .pareto import by_merit
from .population import Candidate, Member, ranked

Members = tuple[Member, ...]


@dataclass(frozen=True)
class Breeding:
    """The numbers of the loop; which of them a selection goes by is in its row of SELECTIONS.

    `generations` counts the first. `tournament` rules compete for each parent's place. `children` are the births of a
    generation, where elites do not say. `crossover` is the share of children that have two parents. The worse half of
    the `islands` is emptied after every `restart` generations. After every `tune_every`, if it is not 0, the constants
    of the `tune_top` best rules are tuned with `tune_trials` trials each; each is the most promising of `tune_drafts`.
    After `patience` generations without a better rule, if it is not 0, a fresh population begins.
    """

    population: int
    generations: int
    elites: int
    tournament: int
    selection: str = "tournament"
    children: int = 0
    crossover: float = 1.0
    islands: int = 4
    restart: int = 10
    objectives: tuple[str, ...] = ("fitness", "complexity", "memory")
    tune_every: int = 0
    tune_top: int = 1
    tune_trials: int = 16
    tune_drafts: int = 1
    patience: int = 0

    @classmethod
    def of(cls, search: Search) -> Breeding:
        """The numbers that a configuration gives."""
        return cls(**{field.name: getattr(search, field.name) for field in fields(cls)})

    @property
    def births(self) -> int:
        """How many are born in every generation but the first."""
        return SELECTIONS[self.selection](self).births

    @property
    def individuals(self) -> int:
        """How many are born in a whole run, at most."""
        tunings = self.generations // self.tune_every if self.tune_every else 0
        return self.population + self.births * (self.generations - 1) + tunings * self.tune_top * self.tune_trials


class Selection(Protocol):
    @property
    def births(self) -> int:
        """How many children a generation has, the first aside."""
        ...

    def pools(self, members: Members) -> Sequence[Members]:
        """Where parents come from, each pool the best first; the child of place p looks in pool p mod their number."""
        ...

    def next(self, members: Members, children: Members, number: int, seed: int) -> Members:
        """The population after generation `number`'s children have been scored, the best first."""
        ...


def winner(pool: Members, size: int, rng: np.random.Generator) -> Candidate:
    """The best of a tournament; the pool is sorted, so that is the one of the lowest place."""
    return pool[int(rng.integers(len(pool), size=size).min())].candidate


@dataclass(frozen=True)
class Tournament:
    """The elites live on, and children take everyone else's place."""

    breeding: Breeding

    @property
    def births(self) -> int:
        return self.breeding.population - self.breeding.elites

    def pools(self, members: Members) -> Sequence[Members]:
        return [members]

    def next(self, members: Members, children: Members, number: int, seed: int) -> Members:
        return ranked([*members[: self.breeding.elites], *children])


@dataclass(frozen=True)
class Aging:
    """The youngest live on; a rule survives only by its children's scores. The best ever is in the hall of fame."""

    breeding: Breeding

    @property
    def births(self) -> int:
        return self.breeding.children or max(1, self.breeding.population // 5)

    def pools(self, members: Members) -> Sequence[Members]:
        return [members]

    def next(self, members: Members, children: Members, number: int, seed: int) -> Members:
        youngest = sorted([*members, *children], key=lambda m: m.candidate.age, reverse=True)
        return ranked(youngest[: self.breeding.population])


@dataclass(frozen=True)
class Islands:
    """Tournaments with elites on each island; the child of place p belongs to island p mod `islands`."""

    breeding: Breeding

    @property
    def births(self) -> int:
        return self.breeding.population - self.breeding.elites * self.breeding.islands

    def pools(self, members: Members) -> Sequence[Members]:
        return [tuple(m for m in members if m.island == k) for k in range(self.breeding.islands)]

    def next(self, members: Members, children: Members, number: int, seed: int) -> Members:
        settled = tuple(replace(c, island=c.candidate.place % self.breeding.islands) for c in children)
        pairs = zip(self.pools(members), self.pools(settled), strict=True)
        islands = [ranked([*old[: self.breeding.elites], *new]) for old, new in pairs]
        due = number > 0 and number % self.breeding.restart == 0 and number < self.breeding.generations - 1
        return ranked(m for island in (_restarted(islands, number, seed) if due else islands) for m in island)


def _restarted(islands: Sequence[Members], number: int, seed: int) -> list[Members]:
    """The worse half of the islands each with one rule alone: the best of some island of the better half."""
    order = sorted(range(len(islands)), key=lambda k: islands[k][0].merit, reverse=True)
    better = order[: -(-len(order) // 2)]
    fresh = list(islands)
    for k in order[len(better) :]:
        source = better[int(generator(seed, "restart", number, k).integers(len(better)))]
        fresh[k] = (replace(islands[source][0], island=k),)
    return fresh


# ---------------------------------------------------------------- several objectives

OBJECTIVES: dict[str, Callable[[Member, File], float]] = {
    "fitness": lambda member, tree: member.fitness,
    "complexity": lambda member, tree: -complexity(tree),
    "memory": lambda member, tree: -state_bytes(tree),
}
"""A member and its tidied tree to what `pareto` may select by, each the larger the better."""


class Traits(NamedTuple):
    """What selection goes by: the objectives, each the larger the better, and the form."""

    point: tuple[float, ...]
    skeleton: str


@dataclass(frozen=True)
class Pareto:
    """Parents and children compete for the next population, by fronts and then by crowding.

    A rule that failed, or was stopped at a rung, is worse than all that came through, however small it is (Deb's
    constrained domination).
    """

    breeding: Breeding
    traits: dict[str, Traits] = field(default_factory=dict)

    @property
    def births(self) -> int:
        return self.breeding.children or self.breeding.population

    def pools(self, members: Members) -> Sequence[Members]:
        return [self._sorted(members), self._fittest(members)]

    def next(self, members: Members, children: Members, number: int, seed: int) -> Members:
        return ranked(self._sorted(ranked([*members, *children]))[: self.breeding.population])

    def _sorted(self, members: Members) -> Members:
        """The best first: those that came through by front and crowding, then the others as they are ranked."""
        through, others = _told_apart(members)
        points = [self._of(m).point for m in through]
        first, again = self._one_of_each([through[k] for k in by_merit(np.array(points, np.float64))])
        return (*first, *again, *others)

    def _fittest(self, members: Members) -> Members:
        """The fittest first; of those within a hundredth, the best by the other objectives (Luke and Panait, 2002)."""
        names = self.breeding.objectives
        through, others = _told_apart(members)

        def order(member: Member) -> tuple[float, ...]:
            point = self._of(member).point
            return -round(member.fitness, 2), *(-x for name, x in zip(names, point, strict=True) if name != "fitness")

        first, again = self._one_of_each(sorted(through, key=order))
        return (*first, *again, *others)

    def _one_of_each(self, members: Sequence[Member]) -> tuple[list[Member], list[Member]]:
        """The first of every skeleton, and the rest: what differs in constants alone does not crowd a population."""
        first: dict[str, Member] = {}
        for member in members:
            first.setdefault(self._of(member).skeleton, member)
        kept = {member.candidate.id for member in first.values()}
        return list(first.values()), [member for member in members if member.candidate.id not in kept]

    def _of(self, member: Member) -> Traits:
        known = self.traits.get(member.candidate.id)
        if known is None:
            tree = tidied(member.candidate.tree)
            point = tuple(OBJECTIVES[name](member, tree) for name in self.breeding.objectives)
            known = self.traits[member.candidate.id] = Traits(point, skeleton(tree))
        return known


def _told_apart(members: Members) -> tuple[list[Member], list[Member]]:
    """Those that came through, and those that failed or were stopped at a rung."""
    furthest = max(m.merit.rung for m in members)
    through = [m for m in members if m.merit.rung == furthest and m.fitness > DIVERGED]
    return through, [m for m in members if m.merit.rung < furthest or m.fitness <= DIVERGED]


SELECTIONS: dict[str, Callable[[Breeding], Selection]] = {
    "tournament": Tournament,
    "aging": Aging,
    "islands": Islands,
    "pareto": Pareto,
}
