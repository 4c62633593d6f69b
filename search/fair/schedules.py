"""A schedule's name to what a rule becomes under it: its own schedule taken out, another laid on from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from math import cos, pi
from typing import Any

from torch import nn, optim

from ...dsl.algebra.dead import without_unread
from ...dsl.checks.check import check
from ...dsl.text.parser import parse
from ...dsl.writing import text_of
from ..config import ConfigError
from ..training.build import MakeOptimizer
from .entrants import Entrant, from_text
from .factors import schedule_factors, without

WARMUP_SHARE = 0.1
"""The share of a run that is warm-up; of the paper's 500 steps, 50."""

Factor = Callable[[int, int], float]
"""(step from 0, steps of the run) to what the learning rate is multiplied by."""


def warmup_cosine(step: int, steps: int) -> float:
    """The schedule of arXiv:2512.11853: a linear rise, times half a cosine over the whole run."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + cos(pi * step / steps))


@dataclass(frozen=True)
class Schedule:
    """`own` keeps what the rule itself does to its step size; `factor` is what is done to `lr` from outside."""

    name: str
    doc: str
    own: bool = False
    factor: Factor | None = None


SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("own", "as the rule is written", own=True),
        Schedule("constant", "no schedule: the rule's own is taken out"),
        Schedule("cosine", "warm-up and cosine from outside, in place of the rule's own", factor=warmup_cosine),
    )
}


def has_own_schedule(entrant: Entrant) -> bool:
    return not entrant.in_torch and bool(schedule_factors(check(parse(entrant.text))))


def under(entrant: Entrant, schedule: str) -> Entrant:
    """The entrant as it runs under a schedule. Raises ConfigError where the schedule cannot be had."""
    row = SCHEDULES[schedule]
    if row.factor is not None and "lr" not in entrant.defaults():
        raise ConfigError(f"{entrant.name} has no `lr`, so it cannot be put under the {schedule} schedule")
    if row.own or not has_own_schedule(entrant):
        return entrant
    rule = check(parse(entrant.text))
    if rule.applies is not None and rule.applies.otherwise is not None:
        raise ConfigError(f"{entrant.name} has a schedule and an `otherwise`: its schedule cannot be taken out")
    plain = without_unread(without(rule, schedule_factors(rule)))
    return from_text(text_of(plain), entrant.name)


def scheduled(make: MakeOptimizer, schedule: str) -> MakeOptimizer:
    """The same optimizer, its learning rates multiplied by the schedule's factor before every step."""
    factor = SCHEDULES[schedule].factor
    if factor is None:
        return make

    def made(parameters: Iterable[nn.Parameter], steps: int) -> optim.Optimizer:
        optimizer = make(parameters, steps)
        rates = [group["lr"] for group in optimizer.param_groups]
        clock = count()

        def set_rates(stepping: optim.Optimizer, *_: Any) -> None:
            now = factor(next(clock), steps)
            for group, rate in zip(stepping.param_groups, rates, strict=True):
                group["lr"] = rate * now

        optimizer.register_step_pre_hook(set_rates)
        return optimizer

    return made
