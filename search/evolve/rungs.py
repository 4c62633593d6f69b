"""Scores on short, whole schedules to who is worth a longer one; it trains nothing.

A rung's hurdle is a quantile of the scores that were measured on that rung most lately, after AutoML-Zero's (Real,
Liang, So and Le, arXiv:2003.03384). It stands still while a generation is trained, so that it does not matter who is
trained first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from ..config import Config
from ..training.fitness import DIVERGED


class Ladder:
    """The lengths of a rule's schedules, in steps, the full one last, and the hurdles between them."""

    def __init__(self, config: Config) -> None:
        training = config.training
        self.lengths = (*(max(1, round(share * training.steps)) for share in training.rungs), training.steps)
        self.quantile = training.hurdle
        self.lately: list[deque[float]] = [deque(maxlen=config.search.population) for _ in training.rungs]
        self.hurdles: list[float] = [-np.inf for _ in training.rungs]

    @property
    def top(self) -> int:
        """How many rungs lie below the full schedule."""
        return len(self.lengths) - 1

    def passes(self, rung: int, score: float) -> bool:
        """Whether a rule goes on from a rung; at first every one that did not fail does."""
        return rung < self.top and score > DIVERGED and score >= self.hurdles[rung]

    def learn(self, scores: Sequence[Sequence[float]]) -> None:
        """Set the hurdles for the next generation. `scores` are this one's by rung, in the order of birth."""
        for rung, lately in enumerate(self.lately):
            lately.extend(scores[rung])
            if lately:
                self.hurdles[rung] = float(np.quantile(lately, self.quantile))
