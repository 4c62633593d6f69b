"""Rules and the rivals that they have to beat to a contest under the fair protocol."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from .contest import Contest
from .entrants import Entrant, entrants
from .tune import Budget

BASELINES = (
    "zoo:sgd",
    "zoo:nesterov",
    "zoo:adam",
    "zoo:adamw",
    "zoo:nadam",
    "zoo:rmsprop",
    "zoo:lion",
    "zoo:signum",
    "zoo:evolved",
)
"""What every rule is held against: the optimizers of the field, and the rule of arXiv:2512.11853."""
SCHEDULES = ("constant", "cosine")


def comparison(
    rules: Sequence[str | Entrant],
    rivals: Sequence[str],
    schedules: Sequence[str],
    horizons: Sequence[int],
    budget: Budget,
    seeds: int,
) -> Contest:
    """Each rule against every rival and every other rule, under the same schedules. Raises OptError, ConfigError."""
    challengers = [entrant.name for entrant in entrants(rules)]
    everyone = entrants([*rules, *rivals])
    others = [entrant.name for entrant in everyone if entrant.name not in challengers]
    pairs = [*combinations(challengers, 2), *((rule, other) for rule in challengers for other in others)]
    entries = tuple((entrant, schedule) for entrant in everyone for schedule in schedules)
    return Contest(entries, tuple(pairs), budget, seeds, tuple(horizons))
