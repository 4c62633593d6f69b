"""The genetic loop: a space, a seed and a way to score candidates to one generation after another; no I/O.

Every draw comes from a stream named by (seed, generation, place, attempt), so that a candidate depends on its parents'
scores and its own name alone: not on who else was evaluated, where, or in which order. Running the loop again with the
scores of an interrupted run therefore continues it exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..dsl.syntax import File
from .seeds import generator
from .space import Space

ATTEMPTS = 10


@dataclass(frozen=True)
class Refusal:
    """A child that a gate turned away, and why."""

    tree: File
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A rule that was born: where, of whom, by which operators, and after which refused siblings."""

    generation: int
    place: int
    tree: File
    operators: tuple[str, ...]
    parents: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.generation}.{self.place}"


@dataclass(frozen=True)
class Member:
    candidate: Candidate
    fitness: float


@dataclass(frozen=True)
class Generation:
    """A population, the best first; of equals the older first."""

    number: int
    members: tuple[Member, ...]

    @property
    def best(self) -> Member:
        return self.members[0]


@dataclass(frozen=True)
class Breeding:
    """The numbers of the loop. `generations` counts the first; `tournament` rules compete for each parent's place."""

    population: int
    generations: int
    elites: int
    tournament: int


Score = Callable[[Sequence[Candidate]], Sequence[float]]
Admit = Callable[[File], str]
"""Why a tree is not worth training; empty if it is."""


def evolve(space: Space, breeding: Breeding, seed: int, admit: Admit, score: Score) -> Iterator[Generation]:
    """The generations of a run in order; the elites of one live on in the next with the scores they have."""
    members: tuple[Member, ...] = ()
    for number in range(breeding.generations):
        elites = members[: breeding.elites]
        nursery = _Nursery(space, breeding, seed, number, members, admit)
        born = [nursery.birth(place) for place in range(breeding.population - len(elites))]
        scored = [Member(candidate, fitness) for candidate, fitness in zip(born, score(born), strict=True)]
        members = _ranked([*elites, *scored])
        yield Generation(number, members)


def _ranked(members: Sequence[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda m: (-m.fitness, m.candidate.generation, m.candidate.place)))


@dataclass(frozen=True)
class _Nursery:
    """Where one generation is born."""

    space: Space
    breeding: Breeding
    seed: int
    number: int
    parents: tuple[Member, ...]
    admit: Admit

    def birth(self, place: int) -> Candidate:
        """The child of a place; after ten refusals the last is taken as it is, to be judged by its score."""
        if self.number == 0 and place < len(self.space.founders):
            name, tree = list(self.space.founders.items())[place]
            self.admit(tree)  # a founder is welcome whatever it is, but the gates must know of it
            return Candidate(0, place, tree, (f"founder {name}",))
        refused: list[Refusal] = []
        for attempt in range(ATTEMPTS):
            rng = generator(self.seed, "birth", self.number, place, attempt)
            tree, operators, parents = self._conceived(rng)
            reason = self.admit(tree) if attempt < ATTEMPTS - 1 else ""
            if not reason:
                break
            refused.append(Refusal(tree, reason))
        return Candidate(self.number, place, tree, operators, parents, tuple(refused))

    def _conceived(self, rng: np.random.Generator) -> tuple[File, tuple[str, ...], tuple[str, ...]]:
        if self.number == 0:
            return self.space.random(rng), ("random",), ()
        first, second = self._winner(rng), self._winner(rng)
        child = self.space.cross(first.tree, second.tree, rng)
        child, mutations = self.space.mutate(child, rng, 1 - 0.5 * self.number / self.breeding.generations)
        return child, ("cross", *mutations), (first.id, second.id)

    def _winner(self, rng: np.random.Generator) -> Candidate:
        """The best of a tournament; members are ranked, so that is the one of the lowest place."""
        return self.parents[int(rng.integers(len(self.parents), size=self.breeding.tournament).min())].candidate
