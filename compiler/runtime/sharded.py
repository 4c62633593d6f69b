"""Parameters that are DTensors, and what torch.distributed.checkpoint asks of an optimizer.

This file's text is part of each generated module that was compiled `--with shards`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .dtensor import full, is_sharded, sharded_as
from .optimizer import RuleOptimizer, capturing
from .rule import Function, real
from .shards import localised, through_shards
from .work import Batch, Work


class ShardedOptimizer(RuleOptimizer):
    """An optimizer whose parameters may be sharded over processes."""

    _rehearsed = False

    def _check_tensors(self, params: list[Tensor]) -> None:
        """Any are welcome."""

    def _work_on(self, *given: Any) -> Work:
        return localised(super()._work_on(*given))

    def _function(self, backend: str, batches: list[Batch]) -> Function:
        run = super()._function(backend, batches)
        sharded = any(is_sharded(batch.works[0].theta) for batch in batches)
        return through_shards(run, self.backends["torch"]) if sharded else run

    def _restored(self, x: Tensor, p: Tensor) -> Tensor:
        restored: Tensor = sharded_as(super()._restored(x, p), real(p))
        return restored

    # -------------------------------------------------------- distributed checkpoints

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._rehearsed = False

    def _skips(self) -> bool:
        if super()._skips():
            return True

        if (self._rehearsed or not self.state) and not capturing():
            self._rehearsed = self._rehearse()
        return self._rehearsed

    def _rehearse(self) -> bool:
        """Makes the states and moves nothing, if a first step has rates of 0 and gradients of 0; says whether it has.

        So torch.distributed.checkpoint learns what states there are. Some rules would move, by a second rate or
        because they forget where theta starts; and the states, made at a rate of 0, are made anew by the next step.
        """
        self.state.clear()
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        rates = [group.get("lr", 1.0) for group in self.param_groups]
        if not grads or any(rate.any() if isinstance(rate, Tensor) else rate for rate in rates):
            return False
        if any(grad.layout != torch.strided or full((grad != 0).sum()) for grad in grads):
            return False
        with torch.no_grad():
            self._gather()
        return True
