"""Parameters that evaluation should see in place of those that training moves.

This file's text is part of each generated module whose rule says what evaluation sees.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .optimizer import RuleOptimizer
from .rule import Program, Settings, at_least_matrix, real
from .work import Work


class EvaluatingOptimizer(RuleOptimizer):
    """An optimizer to be told when the model is evaluated, and when training goes on."""

    @torch.no_grad()
    def eval(self) -> None:
        """Puts the parameters that evaluation should see in place of those that training moves."""
        for p, program, group in self._parameters():
            memory = self.state.get(p, {})
            if program.evaluate is None or not memory or "trained" in memory:
                continue
            theta, states = self._numbers(p, program, group)
            settings, t = program.settings(group), float(memory["step"])
            (seen,) = program.run_stage(program.evaluate, theta, states, settings, t)
            memory["trained"] = p.detach().clone()
            at_least_matrix(real(p)).copy_(seen)

    @torch.no_grad()
    def train(self) -> None:
        """Undoes `eval`."""
        for p, *_ in self._parameters():
            if "trained" in self.state.get(p, {}):
                p.copy_(self.state[p].pop("trained"))

    def _numbers(self, p: Tensor, program: Program, group: dict[str, Any]) -> tuple[Tensor, list[Tensor | None]]:
        """A parameter and its states as arithmetic sees them."""
        return real(p), [self.state[p].get(s.name) for s in program.states]

    def _work_on(self, p: Tensor, group: int, program: Program, settings: Settings) -> Work:
        if "trained" in self.state[p]:
            raise RuntimeError(f"{type(self).__name__}: call train() before step(), after eval()")
        return super()._work_on(p, group, program, settings)
