"""An evolution strategy: scores of positions in, better positions out. It knows neither rules nor hyperparameters.

CMA-ES after Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv:1604.00772), with the tutorial's defaults and
without negative weights. Fifty lines of our own instead of a library: it needs no ranges, restarts or stopping rules
here, its draws must come from the generator it is given, and numpy is all that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Evolution:
    """Maximises. `ask` for `size` positions at a time, `tell` how good they are; `mean` is the best guess so far."""

    def __init__(self, start: Sequence[float], sigma: float, rng: np.random.Generator) -> None:
        self.mean, self.sigma, self.rng = np.array(start, np.float64), sigma, rng
        n = len(self.mean)
        self.size = 4 + int(3 * log(n))
        raw = log((self.size + 1) / 2) - np.log(np.arange(1, self.size // 2 + 1))
        self.weights: Floats = raw / raw.sum()
        self.mass = 1 / float((self.weights**2).sum())
        self.c_sigma = (self.mass + 2) / (n + self.mass + 5)
        self.damping = 1 + 2 * max(0.0, sqrt((self.mass - 1) / (n + 1)) - 1) + self.c_sigma
        self.c_path = (4 + self.mass / n) / (n + 4 + 2 * self.mass / n)
        self.c_one = 2 / ((n + 1.3) ** 2 + self.mass)
        self.c_many = min(1 - self.c_one, 2 * (self.mass - 2 + 1 / self.mass) / ((n + 2) ** 2 + self.mass))
        self.expected = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self.covariance, self.path, self.path_sigma = np.eye(n), np.zeros(n), np.zeros(n)
        self.generation = 0

    def ask(self) -> Floats:
        """Positions to score, (size, n)."""
        values, self.axes = np.linalg.eigh(self.covariance)
        self.scales = np.sqrt(np.maximum(values, 1e-20))
        return self._drawn(self.size)

    def again(self) -> Floats:
        """One more position of the round last asked for, (n,)."""
        out: Floats = self._drawn(1)[0]
        return out

    def _drawn(self, count: int) -> Floats:
        z = self.rng.standard_normal((count, len(self.mean)))
        out: Floats = self.mean + self.sigma * (z * self.scales) @ self.axes.T
        return out

    def tell(self, positions: Floats, scores: Sequence[float]) -> None:
        """Learn from all positions of the last `ask`, the higher the score the better."""
        self.generation += 1
        best = np.argsort(scores, kind="stable")[::-1][: len(self.weights)]
        steps = (positions[best] - self.mean) / self.sigma
        step = self.weights @ steps
        self.mean = self.mean + self.sigma * step
        white = self.axes @ ((step @ self.axes) / self.scales)
        self.path_sigma = self._slid(self.path_sigma, self.c_sigma, white)
        length = float(np.linalg.norm(self.path_sigma)) / sqrt(1 - (1 - self.c_sigma) ** (2 * self.generation))
        calm = length < (1.4 + 2 / (len(self.mean) + 1)) * self.expected
        self.path = self._slid(self.path, self.c_path, step * calm)
        stalled = self.c_one * (not calm) * self.c_path * (2 - self.c_path)
        self.covariance = (
            (1 - self.c_one - self.c_many + stalled) * self.covariance
            + self.c_one * np.outer(self.path, self.path)
            + self.c_many * (steps.T * self.weights) @ steps
        )
        self.sigma *= float(np.exp(self.c_sigma / self.damping * (np.linalg.norm(self.path_sigma) / self.expected - 1)))

    def _slid(self, path: Floats, rate: float, step: Floats) -> Floats:
        out: Floats = (1 - rate) * path + sqrt(rate * (2 - rate) * self.mass) * step
        return out
