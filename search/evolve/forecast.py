"""Scores so far to what rules promise that were not trained, by what they do on made-up gradients.

Rules that move parameters alike score alike, more often than not (phenotypic characterisation: Hildebrandt and Branke,
Evolutionary Computation 23, 2015). A Gaussian process over what rules do says what to expect of another, and how
surely; a rule promises what is expected of it and what may be hoped for (an upper confidence bound: Srinivas et al.,
ICML 2010). A promise only chooses among the drafts of one trial (pre-selection: Ulmer, Streichert and Zell, CEC 2003).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...dsl.text.syntax import File
from .population import Member, Merit

Array = NDArray[np.float64]
Traits = Callable[[File], Array | None]
"""What a rule does, as numbers; None for what cannot be run. Euclidean distances say how differently two rules do."""

NEWEST = 300
"""So many scored rules are learnt from, the last ones."""
REACH = 3.0
"""The distance over which what is known of a rule says little about another."""
NOISE = 1e-4
"""The variance of a score that rules which do the same may differ by, as a share of that of all scores."""
HOPE = 2.0
"""So many standard deviations of what is not known are hoped for; with none, the same is drafted again and again."""
DIGITS = 6
"""Promises are told apart to so many: rules that do the same promise the same, however they are written."""


class Forecast:
    """Learns from merits, and forecasts their order: scores of every scale, and failures, are told apart by rank."""

    def __init__(self, traits: Traits) -> None:
        self.traits = traits
        self.news: list[Member] = []
        self.known: list[tuple[Array, Merit]] = []
        self._model: _Process | None = None

    def learn(self, members: Iterable[Member]) -> None:
        """Take note of what some came to; it is looked into once a forecast is asked for."""
        self.news = [*self.news, *members][-NEWEST:]

    def best(self, trees: Sequence[File]) -> int:
        """The place of the most promising tree, and of equals the first; what cannot be run promises least."""
        if len(trees) == 1:
            return 0
        points = [self.traits(tree) for tree in trees]
        promises = np.array([-np.inf if point is None else 0.0 for point in points])
        runs, process = np.isfinite(promises), self._process()
        if process and runs.any():
            promises[runs] = process.promises(np.stack([point for point in points if point is not None]))
        return int(np.argmax(promises.round(DIGITS)))

    def _process(self) -> _Process | None:
        """What is known by now, if anything is."""
        if self.news:
            found = [(self.traits(member.candidate.tree), member.merit) for member in self.news]
            self.known = [*self.known, *((point, merit) for point, merit in found if point is not None)][-NEWEST:]
            self.news = []
            order = {merit: place for place, merit in enumerate(sorted({merit for _, merit in self.known}))}
            values = np.array([order[merit] / len(order) for _, merit in self.known])
            self._model = _Process(np.stack([point for point, _ in self.known]), values) if self.known else None
        return self._model


class _Process:
    """A Gaussian process with exponential covariance, from (n, d) points and their (n,) values."""

    def __init__(self, points: Array, values: Array) -> None:
        self.points, self.mean = points, float(values.mean())
        self.inverse = np.linalg.inv(_near(points, points) + NOISE * np.eye(len(points)))
        self.weights = self.inverse @ (values - self.mean)
        self.width = float(np.sqrt(np.mean((values - self.mean) * self.weights).clip(0)))

    def promises(self, points: Array) -> Array:
        """An upper bound of the value at each of (k, d) points, (k,)."""
        near = _near(points, self.points)
        known: Array = (near @ self.inverse * near).sum(1)
        doubt = np.sqrt(np.clip(1 - known, 0, None))
        out: Array = self.mean + near @ self.weights + HOPE * self.width * doubt
        return out


def _near(some: Array, others: Array) -> Array:
    """The covariance of values at points, (k, d) and (n, d), to (k, n)."""
    squares: Array = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    out: Array = np.exp(-np.sqrt(np.clip(squares, 0, None)) / REACH)
    return out
