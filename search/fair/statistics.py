"""Paired scores to what they show: bootstrap intervals, exact signed-rank tests, Holm's correction. No claims here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..seeds import generator

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 10_000
DECIMALS = 12
"""Differences that agree so far are ties: scores are shares of some thousands, and their subtraction rounds."""


@dataclass(frozen=True)
class Comparison:
    """How a rule's scores differ from a rival's under one condition, seed by seed.

    `mean` is that of the differences (rule - rival), `low` to `high` its bootstrap interval of LEVEL, `wins` how many
    seeds the rule won, `p` the two-sided signed-rank probability, and `adjusted` the same after Holm's correction.
    """

    rule: str
    rival: str
    condition: str
    seeds: int
    wins: int
    mean: float
    low: float
    high: float
    p: float
    adjusted: float = 1.0


def compared(
    rule: str,
    rival: str,
    condition: str,
    scores: Sequence[float] | Floats,
    others: Sequence[float] | Floats,
    resamples: int = RESAMPLES,
) -> Comparison:
    """The comparison of two rules' scores, paired by place; not corrected yet."""
    differences: Floats = np.round(np.asarray(scores, np.float64) - np.asarray(others, np.float64), DECIMALS)
    low, high = bootstrap_interval(differences, resamples)
    wins = int((differences > 0).sum())
    p = signed_rank_p(differences)
    return Comparison(rule, rival, condition, len(differences), wins, float(differences.mean()), low, high, p)


def corrected(family: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons, corrected for there being so many of them."""
    adjusted = holm([comparison.p for comparison in family])
    return [replace(comparison, adjusted=p) for comparison, p in zip(family, adjusted, strict=True)]


def bootstrap_interval(values: Sequence[float] | Floats, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The percentile bootstrap's interval of the mean (Efron, 1979); equal values give equal intervals."""
    sample = np.asarray(values, np.float64)
    places = generator("bootstrap", len(sample)).integers(len(sample), size=(resamples, len(sample)))
    low, high = np.quantile(sample[places].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def signed_rank_p(differences: Sequence[float] | Floats) -> float:
    """Wilcoxon's two-sided signed-rank test, exact with ties too; zeros are left out, as Wilcoxon did (1945).

    It asks how likely so lopsided a rank sum is where every difference may as well have had the other sign.
    """
    d = np.asarray(differences, np.float64)
    if not np.isfinite(d).all():
        raise ValueError("differences must be finite")
    d = d[d != 0]
    ranks = _doubled_midranks(np.abs(d))
    above, total = int(ranks[d > 0].sum()), int(ranks.sum())
    chances = _rank_sum_chances(tuple(sorted(ranks.tolist())))
    return min(1.0, 2 * float(chances[: min(above, total - above) + 1].sum()))


def smallest_p(seeds: int) -> float:
    """The least that `signed_rank_p` can be: where a rule wins with every seed."""
    return min(1.0, 2.0 ** (1 - seeds))


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities corrected for the size of their family (Holm, 1979): the chance of any false alarm is kept."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    grown = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    out = np.empty_like(values)
    out[order] = np.minimum(grown, 1.0)
    return [float(x) for x in out]


def _doubled_midranks(sizes: Floats) -> npt.NDArray[np.int64]:
    """Twice each size's rank, so that the mean ranks of ties are whole numbers."""
    _, place, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    doubled: npt.NDArray[np.int64] = (2 * np.cumsum(counts) - counts + 1)[place]
    return doubled


@lru_cache(maxsize=256)
def _rank_sum_chances(ranks: tuple[int, ...]) -> Floats:
    """The chance of each sum from 0 to that of all ranks, where every rank counts with p = 1/2."""
    chances = np.ones(1)
    for rank in ranks:
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    return chances
