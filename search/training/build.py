"""The one place where the search meets the compiler: a rule's text to a function that makes its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ...compiler.load import load_briefly, load_population
from ...compiler.runtime.population import PopulationOptimizer
from ...dsl.load import rule_from_text
from ...dsl.rule import Rule
from ..length import setting_of

MakeOptimizer = Callable[[Iterable[nn.Parameter], int], torch.optim.Optimizer]
"""(parameters, steps of the whole run) to an optimizer."""


def optimizer_of(text: str) -> MakeOptimizer:
    """The optimizer of a rule's text with its defaults; `total`, where it is required, is the length of the run.

    Raises OptError for a text that is no rule, ValueError for one with another required hyperparameter.
    """
    rule = rule_from_text(text)
    setting_of(rule, 1)
    optimizer_class = _compiled(_skeleton(rule))

    def make(parameters: Iterable[nn.Parameter], steps: int) -> torch.optim.Optimizer:
        return optimizer_class(parameters, **setting_of(rule, steps))  # type: ignore[arg-type]

    return make


def _skeleton(rule: Rule) -> Rule:
    """The rule without its numbers, so that rules of one structure share one compiled class."""
    return replace(rule, name="Bred", doc="", params=tuple(replace(p, default=None, doc="") for p in rule.params))


@lru_cache(maxsize=64)
def _compiled(skeleton: Rule) -> type[torch.optim.Optimizer]:
    made = load_briefly(skeleton)
    _skeletons[made] = skeleton
    return made


_skeletons: WeakKeyDictionary[type[torch.optim.Optimizer], Rule] = WeakKeyDictionary()


def skeleton_of(optimizer: torch.optim.Optimizer) -> Rule | None:
    """The rule without its numbers that an optimizer of a rule's text steps by; None for any other optimizer."""
    return _skeletons.get(type(optimizer))


@lru_cache(maxsize=256)
def population_of(skeleton: Rule, count: int) -> type[PopulationOptimizer]:
    """The class that steps so many networks by rules of one skeleton, given its numbers for each. Raises OptError."""
    return load_population([skeleton] * count)
