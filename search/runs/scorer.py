"""Candidates to their merits: what is on record is looked up, the rest is trained, rung by rung, and written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...dsl.text.format import format_file
from ..config import Config
from ..evolve.population import Candidate, Merit
from ..evolve.rungs import Ladder
from ..spaces.keys import key_of
from ..spaces.trees import tidied
from ..training.blame import STOPS
from ..training.bundles import Results
from ..training.evaluate import Job
from ..training.fitness import DIVERGED, overall
from ..training.pool import Pool
from .listener import Listener
from .scores import Scores
from .store import Individual, Rejected, Store, StoreError

Run = tuple[str, str, int, int]
"""Of a training run: the rule's key, task, number of the seed, steps."""


class Scorer:
    """A generation's candidates to merits. Rules of one key are trained once."""

    def __init__(self, store: Store, config: Config, pool: Pool, scores: Scores, listener: Listener) -> None:
        self.store, self.pool, self.scores, self.listener = store, pool, scores, listener
        self.tasks, self.seeds = config.training.tasks, range(config.training.seeds)
        self.ladder = Ladder(config)
        self.known: dict[Run, float] = store.fitness_of_runs()
        self.judged: set[str] = set()

    def __call__(self, candidates: Sequence[Candidate]) -> list[Merit]:
        waiting = self._born(candidates)
        merits = self._climbed(waiting, self.seeds)
        keys = [key_of(candidate.tree) for candidate in candidates]
        self.ladder.learn([self._measured(keys, merits, rung) for rung in range(self.ladder.top)])
        return [merits[key] for key in keys]

    def rehearse(self, candidates: Sequence[Candidate]) -> list[Merit]:
        """Merits on as many seeds that judge no one: what is tuned by them is no fitness, and moves no hurdle."""
        merits = self._climbed(self._born(candidates), range(len(self.seeds), 2 * len(self.seeds)))
        return [merits[key_of(candidate.tree)] for candidate in candidates]

    def _born(self, candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
        """The candidates by key, written down."""
        keys = [key_of(candidate.tree) for candidate in candidates]
        self._write_births(candidates, keys)
        waiting: dict[str, list[Candidate]] = {}
        for candidate, key in zip(candidates, keys, strict=True):
            waiting.setdefault(key, []).append(candidate)
        return waiting

    def _climbed(self, waiting: dict[str, list[Candidate]], seeds: range) -> dict[str, Merit]:
        """Every key's merit: all are trained on the first rung, then those that pass on the next, and so on."""
        merits: dict[str, Merit] = {}
        for rung, steps in enumerate(self.ladder.lengths):
            climbing = {key: same for key, same in waiting.items() if key not in merits}
            for fresh in self._trained(climbing, seeds, steps):
                scores = {key: self._score(key, seeds, steps) for key in fresh}
                ended = {
                    key: Merit(rung, score) for key, score in scores.items() if not self.ladder.passes(rung, score)
                }
                merits |= ended
                self._announce(ended, waiting, fresh, seeds == self.seeds)
        return merits

    def _trained(self, climbing: dict[str, list[Candidate]], seeds: range, steps: int) -> Iterator[dict[str, bool]]:
        """Keys as soon as all their runs of that many steps are known, and whether any of them was run now."""
        missing = {key: list(self._missing(key, seeds, steps)) for key in climbing}
        yield {key: False for key, runs in missing.items() if not runs}
        jobs = [
            Job(key, format_file(tidied(climbing[key][0].tree)), task, replicate, steps)
            for key, runs in missing.items()
            for task, replicate in runs
        ]
        trained: set[str] = set()
        for results, cached in self._outcomes(jobs):
            self.store.record(results, cached)
            for job, outcome in results:
                self.known[job.key, job.task, job.replicate, steps] = outcome.fitness
            came = {job.key: None for job, _ in results}
            trained |= set() if cached else set(came)
            yield {key: key in trained for key in came if not any(self._missing(key, seeds, steps))}

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[Results, bool]]:
        """Outcomes as they come, and whether another run had found them out before."""
        found = {job: outcome for job in jobs if (outcome := self.scores.find(job)) is not None}
        yield list(found.items()), True
        for results in self.pool.run([job for job in jobs if job not in found]):
            for job, outcome in results:
                if outcome.fault in STOPS:
                    why = STOPS[outcome.fault].format(reason=outcome.reason, text=job.text)
                    raise StoreError(
                        f"{why}. What is recorded is safe; once that is mended, go on with: "
                        f"optsearch resume {self.store.folder}"
                    )
                self.scores.keep(job, outcome)
            yield results, False

    def _missing(self, key: str, seeds: range, steps: int) -> Iterator[tuple[str, int]]:
        return ((t, r) for t in self.tasks for r in seeds if (key, t, r, steps) not in self.known)

    def _score(self, key: str, seeds: range, steps: int) -> float:
        return overall({task: [self.known[key, task, r, steps] for r in seeds] for task in self.tasks})

    def _measured(self, keys: Sequence[str], merits: dict[str, Merit], rung: int) -> list[float]:
        """The scores on one rung of those who got there, in the order of birth."""
        return [self._score(key, self.seeds, self.ladder.lengths[rung]) for key in keys if merits[key].rung >= rung]

    def _announce(
        self, merits: dict[str, Merit], waiting: dict[str, list[Candidate]], fresh: dict[str, bool], judged: bool
    ) -> None:
        """Whose run is over. A rule that was stopped at a rung, or rehearsed, has no fitness: what it scored there is
        not comparable. One that has a fitness keeps it.
        """
        whole = {key for key, m in merits.items() if judged and (m.rung == self.ladder.top or m.fitness <= DIVERGED)}
        ended = {key: m for key, m in merits.items() if key in whole or key not in self.judged}
        self.store.judge((key, m.rung, m.fitness if key in whole else None) for key, m in ended.items())
        self.judged |= whole
        for key, merit in ended.items():
            for candidate in waiting[key]:
                if key in whole:
                    self.listener.scored(candidate, merit.fitness, fresh[key] and candidate is waiting[key][0])
                else:
                    self.listener.stopped(candidate, merit)

    def _write_births(self, candidates: Sequence[Candidate], keys: Sequence[str]) -> None:
        individuals = [
            Individual(c.id, c.generation, c.place, key, format_file(c.tree), c.operators, c.parents)
            for c, key in zip(candidates, keys, strict=True)
        ]
        rejected = [
            Rejected(c.id, attempt, format_file(refusal.tree), refusal.reason)
            for c in candidates
            for attempt, refusal in enumerate(c.refused)
        ]
        self.store.born(individuals, rejected)
