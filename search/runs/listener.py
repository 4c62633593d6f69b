"""What a search tells whoever shows it to the user."""

from __future__ import annotations

from typing import Protocol

from ..evolve.population import Candidate, Generation, Merit


class Listener(Protocol):
    def started(self, individuals: int, known: int) -> None:
        """So many individuals will be born at most; so many training runs are on record."""
        ...

    def scored(self, candidate: Candidate, fitness: float, fresh: bool) -> None:
        """An individual's score is in; `fresh` where it was trained for it."""
        ...

    def stopped(self, candidate: Candidate, merit: Merit) -> None:
        """An individual was not worth a longer schedule than the one it has had, or was a trial in a tuning."""
        ...

    def generation(self, generation: Generation) -> None: ...

    def finished(self) -> None: ...
