"""What a run has found out ⇄ a SQLite file in its folder: one writer, results as they come, readable at any time.

`kill -9` at any instant loses only what was being evaluated: the file is in write-ahead mode, and everything else of a
run follows from its configuration and these results.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..training.evaluate import Job, Outcome
from .database import FILE, StoreError, check, connected, inserting, locked, make, speaking_of

__all__ = ["FILE", "Individual", "Rejected", "Store", "StoreError"]


@dataclass(frozen=True)
class Individual:
    """A rule that was born in a run; `rung` is None until it is judged.

    It is how many rungs the rule went past. One that was stopped at a rung has no fitness, and one that failed has -1.
    """

    id: str
    generation: int
    place: int
    key: str
    text: str
    operators: tuple[str, ...]
    parents: tuple[str, ...]
    fitness: float | None = None
    rung: int | None = None


@dataclass(frozen=True)
class Rejected:
    """A child that a gate turned away before the individual was born."""

    individual: str
    attempt: int
    text: str
    reason: str


class Store:
    """An open run. Reading is possible beside a writer; a second writer is refused."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: IO[str] | None = None) -> None:
        self.folder = folder
        self._database = database
        self._lock = lock

    # ------------------------------------------------------------ opening

    @classmethod
    def create(cls, folder: Path, about: Mapping[str, str], files: Mapping[str, bytes] | None = None) -> Store:
        """A new, empty run in a folder that has none, beside files for people to read. Raises StoreError."""
        if (folder / FILE).exists():
            raise StoreError(
                f"{folder} already holds a run; choose another folder, or go on with it: optsearch resume {folder}"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = locked(folder)
            for name, content in (files or {}).items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror}") from None
        with speaking_of(folder):
            make(folder, about)
            return cls(folder, connected(folder / FILE), lock)

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> Store:
        """The run in a folder. Raises StoreError where there is none, where it is damaged, or in use by a writer."""
        if not (folder / FILE).is_file():
            raise StoreError(f"{folder} holds no run: there is no {FILE} in it")
        try:
            lock = locked(folder) if write else None
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror}") from None
        with speaking_of(folder):
            database = connected(folder / FILE)
            check(database, folder)
        return cls(folder, database, lock)

    def close(self) -> None:
        self._database.close()
        if self._lock:
            self._lock.close()

    # ------------------------------------------------------------ writing

    def born(self, individuals: Sequence[Individual], rejected: Sequence[Rejected] = ()) -> None:
        """Write down a generation's children. What is there already must be the same, or the run is not ours."""
        for known in individuals:
            for (text,) in self._rows("SELECT text FROM individuals WHERE id = ?", known.id):
                if text != known.text:
                    raise StoreError(
                        f"{self.folder} cannot be continued: individual {known.id} differs from the recorded one. "
                        "Was the run made by another version of optc, or its configuration changed?"
                    )
        with speaking_of(self.folder), self._database:
            self._database.executemany(inserting("individuals", "IGNORE"), map(_row, individuals))
            rows = [(r.individual, r.attempt, r.text, r.reason) for r in rejected]
            self._database.executemany(inserting("refusals", "IGNORE"), rows)

    def record(self, results: Iterable[tuple[Job, Outcome]], cached: bool = False) -> None:
        """Write down training runs that ended together, in one transaction; `cached` where another search had run
        them."""
        with speaking_of(self.folder), self._database:
            for job, outcome in results:
                losses = np.asarray(outcome.losses, np.float32).tobytes()
                scores = outcome.fitness, outcome.accuracy, losses, outcome.seconds, outcome.reason, cached
                row = job.key, job.task, job.replicate, job.steps, *scores
                self._database.execute(inserting("runs", "REPLACE"), row)

    def judge(self, verdicts: Iterable[tuple[str, int, float | None]]) -> None:
        """(key, rung, fitness): every individual of that key went past so many rungs, and has this fitness if it went
        past all or failed."""
        rows = [(rung, fitness, key) for key, rung, fitness in verdicts]
        with speaking_of(self.folder), self._database:
            self._database.executemany(
                "UPDATE individuals SET rung = ?1, fitness = ?2, seal = "
                "seal(id, generation, place, key, text, operators, parents, ?2, ?1) WHERE key = ?3",
                rows,
            )

    def generation(self, number: int, ids: Sequence[str]) -> None:
        """Write down who made up a population, the best first."""
        with speaking_of(self.folder), self._database:
            rows = [(number, rank, individual) for rank, individual in enumerate(ids)]
            self._database.executemany(inserting("members", "REPLACE"), rows)

    # ------------------------------------------------------------ reading

    def about(self, key: str) -> str:
        for (value,) in self._rows("SELECT value FROM about WHERE key = ?", key):
            return str(value)
        raise StoreError(f"{self.folder / FILE} is damaged: it does not say its {key}")

    def fitness_of_runs(self) -> dict[tuple[str, str, int, int], float]:
        """The fitness of every finished training run by (key, task, replicate, steps)."""
        rows = self._rows("SELECT key, task, replicate, steps, fitness FROM runs")
        with speaking_of(self.folder):
            return {(str(key), str(task), int(r), int(steps)): float(fitness) for key, task, r, steps, fitness in rows}

    def individuals(self) -> list[Individual]:
        """Everyone, in the order of birth."""
        with speaking_of(self.folder):
            return [_individual(row) for row in self._rows("SELECT * FROM individuals ORDER BY generation, place")]

    def hall_of_fame(self, size: int) -> list[Individual]:
        """The best rules, one individual a key, the best first."""
        rows = self._rows(
            "SELECT * FROM individuals WHERE fitness IS NOT NULL ORDER BY fitness DESC, generation, place"
        )
        best: dict[str, Individual] = {}
        with speaking_of(self.folder):
            for row in rows:
                individual = _individual(row)
                best.setdefault(individual.key, individual)
                if len(best) == size:
                    break
        return list(best.values())

    def best_by_generation(self) -> list[float]:
        """The best fitness of every finished generation; -1 where none came through."""
        rows = self._rows(
            "SELECT COALESCE(MAX(fitness), -1) FROM members JOIN individuals ON individual = id "
            "GROUP BY members.generation ORDER BY members.generation"
        )
        return [fitness for (fitness,) in rows]

    def outcomes(self, key: str) -> list[tuple[Job, Outcome]]:
        """The training runs of a rule, with their losses; those of the longest schedule last."""
        rows = self._rows(
            "SELECT task, replicate, steps, fitness, accuracy, losses, seconds, reason FROM runs WHERE key = ? "
            "ORDER BY steps, task, replicate",
            key,
        )
        with speaking_of(self.folder):
            return [
                (Job(key, "", task, r, steps), Outcome(float(fitness), accuracy, np.frombuffer(losses, "f4"), *rest))
                for task, r, steps, fitness, accuracy, losses, *rest in rows
            ]

    def populations(self) -> list[list[str]]:
        """The members' ids of every finished generation, the best first."""
        found: dict[int, list[str]] = {}
        for number, individual in self._rows("SELECT generation, individual FROM members ORDER BY generation, rank"):
            found.setdefault(number, []).append(individual)
        return list(found.values())

    def refusals(self) -> list[Rejected]:
        """The children that gates turned away."""
        rows = self._rows("SELECT individual, attempt, text, reason FROM refusals")
        return [Rejected(*row) for row in rows]

    def failures(self) -> list[tuple[str, str]]:
        """The key and the reason of every training run that failed."""
        return list(self._rows("SELECT key, reason FROM runs WHERE reason != '' ORDER BY key, task, replicate, steps"))

    def reasons(self) -> dict[str, int]:
        """Why children were refused and training runs failed, with how often, the most frequent first."""
        rows = self._rows(
            "SELECT why, COUNT(*) FROM (SELECT reason AS why FROM refusals UNION ALL "
            "SELECT 'training: ' || reason FROM runs WHERE reason != '') GROUP BY why ORDER BY COUNT(*) DESC, why"
        )
        return dict(rows)

    def runs(self) -> tuple[int, int]:
        """How many training runs are on record, and how many of them other searches had run."""
        (counts,) = self._rows("SELECT COUNT(*), TOTAL(cached) FROM runs")
        return int(counts[0]), int(counts[1])

    def steps(self) -> int:
        """How many training steps all runs together took; of a run that was given up, those of a whole one."""
        (counts,) = self._rows("SELECT TOTAL(steps) FROM runs")
        return int(counts[0])

    def training_seconds(self) -> float:
        (total,) = next(self._rows("SELECT TOTAL(seconds) FROM runs"))
        return float(total)

    def _rows(self, query: str, *values: object) -> Iterator[tuple]:  # type: ignore[type-arg]
        with speaking_of(self.folder):
            yield from self._database.execute(query, values).fetchall()


def _row(individual: Individual) -> tuple[object, ...]:
    i = individual
    operators, parents = json.dumps(i.operators), json.dumps(i.parents)
    return i.id, i.generation, i.place, i.key, i.text, operators, parents, i.fitness, i.rung


def _individual(row: tuple[Any, ...]) -> Individual:
    identity, generation, place, key, text, operators, parents, fitness, rung, _ = row
    return Individual(
        identity, generation, place, key, text, tuple(json.loads(operators)), tuple(json.loads(parents)), fitness, rung
    )
