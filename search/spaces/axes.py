"""A hyperparameter's prior to an axis on which 0 to 1 is what the prior covers; knows no rule and trains nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp, inf, log
from typing import Literal

import numpy as np

from ...dsl.rule import Interval, Param, Prior, Value
from .trees import rounded

BORDER = 0.1
"""The outer tenth of a prior is its border."""
WIDER = {"loguniform": log(10.0), "uniform": 0.5}
"""By how much a border moves: a decade, or half of the prior's width."""
MARGIN = 1e-6
"""How far from an open end of its interval a value stays, of the end's own size."""

Side = Literal["low", "high"]


@dataclass(frozen=True)
class Axis:
    """One hyperparameter that is tuned: a position of 0 is the prior's one end, 1 the other, between them its scale.

    Positions beyond are values beyond the prior, as far as the hyperparameter's interval lets them. A normal prior's
    ends are two standard deviations from its mean.
    """

    name: str
    prior: Prior
    interval: Interval | None = None
    whole: bool = False

    def value(self, position: float) -> Value:
        """The valid hyperparameter next to a position, of six significant digits on the prior's own scale."""
        low, high = self._ends
        inner = low + position * (high - low)
        base, sign = self._frame
        x = base + sign * rounded(exp(min(max(inner, -700.0), 700.0)) if self.prior.family == "loguniform" else inner)
        return round(self._valid(x)) if self.whole else self._valid(x)

    def position(self, value: float) -> float:
        """Where a value is; minus infinity for a 0 on a logarithmic scale."""
        low, high = self._ends
        base, sign = self._frame
        inner = sign * (value - base)
        if self.prior.family == "loguniform":
            inner = log(inner) if inner > 0 else -inf
        return (inner - low) / (high - low)

    def draw(self, rng: np.random.Generator) -> float:
        """A position drawn from the prior."""
        return float(rng.normal(0.5, 0.25) if self.prior.family == "normal" else rng.random())

    def side(self, best: float, others: Iterable[float] = ()) -> Side | None:
        """The end of the prior that the best value lies beyond, or on the border of with no other value further out."""
        position, tried = self.position(best), [self.position(value) for value in others]
        if position < 0 or (position < BORDER and position <= min(tried, default=position)):
            return "low"
        if position > 1 or (position > 1 - BORDER and position >= max(tried, default=position)):
            return "high"
        return None

    def widened(self, side: Side) -> Axis:
        """The axis with one border moved, as far as the interval has room; itself where there is none."""
        if self.prior.family not in WIDER:
            return self
        low, high = self.prior.args
        if self.prior.family == "loguniform":
            factor = exp(WIDER["loguniform"])
            ends = (low / factor, high) if side == "low" else (low, high * factor)
        else:
            room = WIDER["uniform"] * (high - low)
            ends = (low - room, high) if side == "low" else (low, high + room)
        return replace(self, prior=replace(self.prior, args=self._within(*map(rounded, ends))))

    @property
    def _ends(self) -> tuple[float, float]:
        low, high = self.prior.args
        if self.prior.family == "normal":
            return low - 2 * high, low + 2 * high
        return (log(low), log(high)) if self.prior.family == "loguniform" else (low, high)

    @property
    def _frame(self) -> tuple[float, float]:
        """`c - family(...)` counts downwards from c."""
        return (0.0, 1.0) if self.prior.complement is None else (self.prior.complement, -1.0)

    def _valid(self, x: float) -> float:
        i = self.interval
        if i is None or x in i:
            return x
        if x <= i.low:
            return i.low + (MARGIN * (abs(i.low) or 1.0) if i.low_open else 0.0)
        return i.high - (MARGIN * (abs(i.high) or 1.0) if i.high_open else 0.0)

    def _within(self, low: float, high: float) -> tuple[float, float]:
        """A prior's ends brought into the interval, which a complement turns round."""
        if self.interval is None:
            return low, high
        base, sign = self._frame
        first, last = sorted((sign * (self.interval.low - base), sign * (self.interval.high - base)))
        least = first if self.prior.family == "uniform" else max(first, 0.0)
        return (low if low > least else max(least, self.prior.args[0])), min(high, last)


def axes_of(params: tuple[Param, ...]) -> tuple[Axis, ...]:
    """The axes of all hyperparameters that can be tuned: numbers with a default and a prior."""
    return tuple(
        Axis(p.name, p.prior, p.interval, p.type == "int")
        for p in params
        if p.prior is not None and p.default is not None and p.type != "bool"
    )


def prior_text(prior: Prior) -> str:
    """A prior as the language writes it."""
    text = f"{prior.family}({', '.join(f'{x:g}' for x in prior.args)})"
    return text if prior.complement is None else f"{prior.complement:g} - {text}"
