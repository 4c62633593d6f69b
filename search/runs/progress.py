"""A run's events to plain lines, or to the live table where there is a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..evolve.population import Candidate, Generation, Merit
from .listener import Listener

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 30.0


def make_listener(console: Console) -> Listener:
    from .live import Board

    return Board(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


def duration(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Tally:
    """How far a run is, and how long the rest will take if it goes on as it went."""

    def __init__(self, individuals: int) -> None:
        self.individuals = individuals
        self.start = time.monotonic()
        self.born: set[str] = set()
        self.trained = 0
        self.best = float("-inf")

    def add(self, candidate: Candidate, fitness: float | None, fresh: bool) -> None:
        """What became of a candidate; a trial that is then judged is heard of twice."""
        self.born.add(candidate.id)
        self.trained += fresh
        if fitness is not None:
            self.best = max(self.best, fitness)

    @property
    def done(self) -> int:
        return len(self.born)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    @property
    def pace(self) -> float:
        """Individuals a second, those with known scores too."""
        return self.done / self.seconds if self.done else 0.0

    @property
    def left(self) -> str:
        return duration((self.individuals - self.done) / self.pace) if self.trained else "-:--"


class Lines:
    """A line a generation, and one every half a minute in between."""

    def started(self, individuals: int, known: int) -> None:
        self.tally, self.spoke = Tally(individuals), time.monotonic()
        again = f", going on from {known} recorded training runs" if known else ""
        print(f"searching {individuals} individuals{again}", flush=True)

    def scored(self, candidate: Candidate, fitness: float | None, fresh: bool) -> None:
        self.tally.add(candidate, fitness, fresh)
        if time.monotonic() - self.spoke > SECONDS_BETWEEN_LINES:
            self._say(f"generation {candidate.generation}")

    def stopped(self, candidate: Candidate, merit: Merit) -> None:
        self.scored(candidate, None, True)

    def generation(self, generation: Generation) -> None:
        self._say(f"generation {generation.number} done")

    def _say(self, what: str) -> None:
        tally, self.spoke = self.tally, time.monotonic()
        done = f"{tally.done}/{tally.individuals} individuals, {tally.left} left"
        print(f"{what}: best {tally.best:.4f}, {done}", flush=True)

    def finished(self) -> None:
        pass
