"""A run's events to the terminal: a live bar where there is one, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .evolve import Candidate, Generation
from .run import Listener

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 30.0


def make_listener(console: Console) -> Listener:
    return Bar(console) if console.is_terminal else Lines()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Tally:
    """How far a run is, and how long the rest will take if it goes on as it went."""

    def __init__(self, individuals: int) -> None:
        self.individuals = individuals
        self.start = time.monotonic()
        self.done = self.trained = 0
        self.best = float("-inf")

    def add(self, fitness: float, fresh: bool) -> None:
        self.done += 1
        self.trained += fresh
        self.best = max(self.best, fitness)

    @property
    def left(self) -> str:
        if not self.trained:
            return "-:--"
        pace = (time.monotonic() - self.start) / self.done
        return _duration(pace * (self.individuals - self.done))


class Lines:
    """A line a generation, and one every half a minute in between."""

    def started(self, individuals: int, known: int) -> None:
        self.tally, self.spoke = _Tally(individuals), time.monotonic()
        again = f", going on from {known} recorded training runs" if known else ""
        print(f"searching {individuals} individuals{again}", flush=True)

    def scored(self, candidate: Candidate, fitness: float, fresh: bool) -> None:
        self.tally.add(fitness, fresh)
        if time.monotonic() - self.spoke > SECONDS_BETWEEN_LINES:
            self._say(f"generation {candidate.generation}")

    def generation(self, generation: Generation) -> None:
        self._say(f"generation {generation.number} done")

    def _say(self, what: str) -> None:
        tally, self.spoke = self.tally, time.monotonic()
        done = f"{tally.done}/{tally.individuals} individuals, {tally.left} left"
        print(f"{what}: best {tally.best:.4f}, {done}", flush=True)

    def finished(self) -> None:
        pass


class Bar:
    """One live line: individuals done, the best so far, the generation, the time left."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            TextColumn("generation {task.fields[generation]:>3}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("best [bold green]{task.fields[best]}[/]"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left"),
            console=console,
        )

    def started(self, individuals: int, known: int) -> None:
        self.tally = _Tally(individuals)
        self.bar = self.progress.add_task("", total=individuals, generation=0, best="-", left="-:--")
        self.progress.start()

    def scored(self, candidate: Candidate, fitness: float, fresh: bool) -> None:
        self.tally.add(fitness, fresh)
        best, left = f"{self.tally.best:.4f}", self.tally.left
        self.progress.update(self.bar, advance=1, best=best, left=left, generation=candidate.generation)

    def generation(self, generation: Generation) -> None:
        best = generation.best
        self.progress.print(f"generation {generation.number:>3}  best {best.fitness:.4f}  (born {best.candidate.id})")

    def finished(self) -> None:
        self.progress.stop()
