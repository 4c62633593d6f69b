"""What populations are made of: candidates, what they came to, and who is better; nothing is bred here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ...dsl.text.syntax import File

TRIAL = ("tuned",)
"""The operators of a rule that is another with other constants, tried on seeds that judge no one."""


class Merit(NamedTuple):
    """How many rungs training followed a rule past, and its fitness on the last; followed further is better."""

    rung: int
    fitness: float


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

    @property
    def age(self) -> tuple[int, int]:
        """Smaller for those who were born earlier."""
        return self.generation, self.place


@dataclass(frozen=True)
class Member:
    """A candidate that is scored, and the island it lives on."""

    candidate: Candidate
    merit: Merit
    island: int = 0

    @property
    def fitness(self) -> float:
        return self.merit.fitness


@dataclass(frozen=True)
class Generation:
    """A population, the best first; of equals the older first."""

    number: int
    members: tuple[Member, ...]

    @property
    def best(self) -> Member:
        return self.members[0]


def ranked(members: Iterable[Member]) -> tuple[Member, ...]:
    """The best first; of equals the older first."""
    return tuple(sorted(members, key=lambda m: (-m.merit.rung, -m.merit.fitness, m.candidate.age)))
