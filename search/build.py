"""The one place where the search meets the compiler: a rule's text to a function that makes its optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import nn

from ..compiler import load
from ..dsl.load import rule_from_text
from .train import MakeOptimizer

LENGTH = "total"
"""The parameter without a default that a rule's schedule may ask for: the run's length in steps."""


@lru_cache(maxsize=256)
def compiled(text: str) -> MakeOptimizer:
    """The optimizer of a rule's text with its defaults; `total`, where it is required, is the length of the run.

    Raises OptError for a text that is no rule, ValueError for one with another required hyperparameter.
    """
    rule = rule_from_text(text)
    required = {param.name for param in rule.params if param.default is None}
    if not required <= {LENGTH}:
        raise ValueError(f"no default for {', '.join(sorted(required - {LENGTH}))}")
    optimizer_class = load(rule)

    def make(parameters: Iterable[nn.Parameter], steps: int) -> torch.optim.Optimizer:
        return optimizer_class(parameters, **dict.fromkeys(required, steps))

    return make
