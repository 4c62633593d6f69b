"""Members to those that differ: the first of every skeleton and of every behaviour on made-up gradients, and the rest.

A behaviour is the direction of all moves on the gates' gradients. Rules within SAME of each other move parameters
alike, whatever else is written in them: so neither constants nor idle terms crowd a population (behavioural diversity
against early convergence: Mouret and Doncieux, Evolutionary Computation 20, 2012).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..spaces.gates import behaviour
from ..spaces.measure import skeleton
from ..spaces.trees import tidied
from .population import Member

LENGTH = 500
"""The steps of a run, for a rule that asks."""
SAME = 0.998
"""The least cosine between the moves of two rules that behave alike: some four degrees apart."""


class Niches:
    """What is known of members, by candidate."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, NDArray[np.float64]]] = {}

    def split(self, members: Sequence[Member]) -> tuple[list[Member], list[Member]]:
        """The first member of each skeleton that behaves unlike all before it, and all others, in the order given."""
        traits = [self._traits(member) for member in members]
        rows = np.array([row for _, row in traits])
        skeletons, kept, again = set[str](), list[int](), list[int]()
        for k, (word, row) in enumerate(traits):
            alike = word in skeletons or (bool(kept) and float((rows[kept] @ row).max()) > SAME)
            (again if alike else kept).append(k)
            skeletons.add(word)
        return [members[k] for k in kept], [members[k] for k in again]

    def _traits(self, member: Member) -> tuple[str, NDArray[np.float64]]:
        name, tree = member.candidate.id, member.candidate.tree
        if name not in self.known:
            self.known[name] = skeleton(tidied(tree)), behaviour(tree, LENGTH)
        return self.known[name]
