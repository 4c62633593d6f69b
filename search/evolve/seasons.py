"""A population that gets no better to the one that goes on: a fresh one, and then what the two are together.

A population settles where it is good; another, born as the first was, settles elsewhere. Restarts of what has converged
are old (Goldberg, "Sizing populations for serial and parallel genetic algorithms", ICGA 1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from .selection import Breeding, Members, Selection

GAIN = 0.002
"""By how much the best fitness has to rise to count as better."""
ROOM = 3
"""A fresh population is begun where so many times the patience is left: to grow, and to breed with the other."""


@dataclass
class Seasons:
    """What is to be known of the generations so far; `aside` is the population that waits for the present one."""

    breeding: Breeding
    aside: Members = ()
    best: float = -inf
    waited: int = 0

    def turned(self, members: Members, number: int, seed: int, selection: Selection) -> Members:
        """Who breeds after generation `number`: the same, no one, or whom selection leaves of both populations."""
        patience, left = self.breeding.patience, self.breeding.generations - 1 - number
        stuck = self._stuck(members)
        if self.aside and (stuck or left == patience):
            aside, self.aside = self.aside, ()
            return self._begun(selection.next(aside, members, number, seed))
        if stuck and left >= ROOM * patience:
            self.aside = members
            return self._begun(())
        return members

    def _stuck(self, members: Members) -> bool:
        best = max(member.fitness for member in members)
        if best > self.best + GAIN:
            self.best, self.waited = best, 0
        else:
            self.waited += 1
        return 0 < self.breeding.patience <= self.waited

    def _begun(self, members: Members) -> Members:
        self.best, self.waited = max((member.fitness for member in members), default=-inf), 0
        return members
