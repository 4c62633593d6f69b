"""Training curves to the score that selection goes by: the fitness of arXiv:2512.11853, on held-out training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .train import Curve

LAST_LOSSES = 50
LOSS_WEIGHT = 0.05
DIVERGED = -1.0


def fitness(curve: Curve) -> float:
    """accuracy + 0.05 max(0, 1 - mean of the last 50 losses); -1 for a run that diverged."""
    if curve.diverged:
        return DIVERGED
    last = float(np.mean(curve.losses[-LAST_LOSSES:], dtype=np.float64))
    return curve.accuracy + LOSS_WEIGHT * max(0.0, 1.0 - last)


def overall(scores: Mapping[str, Iterable[float]]) -> float:
    """The mean over tasks of the mean over seeds; `scores` is every run's fitness by task."""
    return float(np.mean([np.mean(list(runs)) for runs in scores.values()]))
