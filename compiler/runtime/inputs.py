"""Inputs besides the gradient, which every step has to be given.

This file's text is part of each generated module whose rule has such inputs.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .optimizer import RuleOptimizer
from .round import Round


class InputsOptimizer(RuleOptimizer):
    """An optimizer whose rule reads more of each parameter than its gradient."""

    def _begin(self, now: Round, inputs: dict[str, Any]) -> None:
        for work in now.works:
            given = (self._input(name, inputs, work.place, work.parameter) for name in work.program.inputs)
            work.extra = list(map(work.own, given))
        super()._begin(now, inputs)

    def _input(self, name: str, inputs: dict[str, Any], place: int, p: Tensor) -> Tensor:
        if name not in inputs:
            raise ValueError(f"{type(self).__name__}.step needs inputs={{{name!r}: [one tensor per parameter]}}")
        given, count = inputs[name], sum(len(group["params"]) for group in self.param_groups)
        if len(given) != count:
            raise ValueError(f"input {name!r} has {len(given)} tensors for {count} parameters")
        x = given[place]
        if not isinstance(x, Tensor) or x.shape != p.shape:
            what = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else repr(x)
            raise ValueError(f"input {name!r} of parameter {place} is {what}; it must have the shape {tuple(p.shape)}")
        return x
