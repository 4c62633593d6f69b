"""The genetic loop: a space, a seed and a way to score candidates to one generation after another; no I/O.

Every draw comes from a stream named by (seed, generation, place, attempt), so that a candidate depends on its parents'
scores and its own name alone: not on who else was evaluated, where, or in which order. Running the loop again with the
scores of an interrupted run therefore continues it exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...dsl.text.syntax import File
from ..seeds import generator
from ..spaces.space import Space
from .forecast import Forecast, Traits
from .polish import ATTEMPTS, Admit, Polisher, Score
from .population import Candidate, Generation, Member, Refusal, ranked
from .seasons import Seasons
from .selection import SELECTIONS, Breeding, Members, winner


def evolve(
    space: Space,
    breeding: Breeding,
    seed: int,
    admit: Admit,
    score: Score,
    rehearse: Score | None = None,
    forget: Callable[[], None] = lambda: None,
    traits: Traits = lambda tree: None,
) -> Iterator[Generation]:
    """The generations of a run in order; who lives on from one to the next keeps the score it has.

    `rehearse` scores on other seeds than `score` does: constants are tuned by it. Without it there is no chance in
    scores, and `score` does for both. `forget` is called where a population begins afresh: what the gates refused as
    born before may be born again. `traits` is what trials are forecast by; without it their first drafts are tried.
    """
    selection = SELECTIONS[breeding.selection](breeding)
    forecast = Forecast(traits)
    polish = Polisher(breeding, seed, space.literals, admit, score, rehearse or score, forecast)
    seasons = Seasons(breeding)
    members: Members = ()
    for number in range(breeding.generations):
        nursery = _Nursery(space, breeding, seed, number, selection.pools(members) if members else (), admit)
        born = [nursery.birth(place) for place in range(selection.births if number else breeding.population)]
        children = tuple(Member(candidate, merit) for candidate, merit in zip(born, score(born), strict=True))
        forecast.learn(children)
        members = polish(selection.next(members, ranked(children), number, seed), number)
        yield Generation(number, members)
        members = seasons.turned(members, number, seed, selection)
        if not members:
            forget()


@dataclass(frozen=True)
class _Nursery:
    """Where one generation is born."""

    space: Space
    breeding: Breeding
    seed: int
    number: int
    pools: Sequence[Members]
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
            tree, operators, parents = self._conceived(rng, place)
            reason = self.admit(tree) if attempt < ATTEMPTS - 1 else ""
            if not reason:
                break
            refused.append(Refusal(tree, reason))
        return Candidate(self.number, place, tree, operators, parents, tuple(refused))

    def _conceived(self, rng: np.random.Generator, place: int) -> tuple[File, tuple[str, ...], tuple[str, ...]]:
        """A child of its pool's winners. Where a population begins there are no parents."""
        if not self.pools:
            return self.space.random(rng), ("random",), ()
        pool, size = self.pools[place % len(self.pools)], self.breeding.tournament
        first, second = winner(pool, size, rng), winner(pool, size, rng)
        strength = 1 - 0.5 * self.number / self.breeding.generations
        if self.breeding.crossover < 1 and rng.random() >= self.breeding.crossover:
            child, mutations = self.space.mutate(first.tree, rng, strength)
            return child, mutations, () if mutations == ("random",) else (first.id,)
        child, mutations = self.space.mutate(self.space.cross(first.tree, second.tree, rng), rng, strength)
        return child, ("cross", *mutations), (first.id, second.id)
