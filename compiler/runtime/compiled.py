"""What does a step where Triton does not, if the optimizer may compile: C code, torch.compile or eager torch.

This file's text is part of each generated module that was compiled `--with native`. It knows no rule.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import torch

from .blocks import run_in_blocks
from .look_native import LOOKS, Looks
from .optimizer import RuleOptimizer
from .round import Round
from .rule import Function, Table
from .torch import advance
from .work import Batch

PACKED = 1 << 20
"""Elements of a block in compiled mode, which has no temporaries: only small tensors gain, by sharing calls."""

NATIVE_HOW = {True: "when_made", False: "torch", None: "when_ready"}
"""What `compile` says of rules that have native code."""


class CompiledOptimizer(RuleOptimizer):
    """An optimizer that can compile its step: `compile` insists, None means eager until C code is ready."""

    looks: ClassVar[Looks] = LOOKS

    _compile: bool | None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_compile": self._compile}

    def _this_round(self) -> Round:
        now = super()._this_round()
        self.looks.used(len(now.homes))
        if now.seeing is not self.looks.best:
            now.see_by(self.looks.best, self.param_groups, self.state)
        return now

    def _backend_for(self, batch: Batch) -> str:
        if (chosen := super()._backend_for(batch)) != "torch":
            return chosen
        native = batch.program.native is not None and batch.works[0].theta.device.type == "cpu"
        if self._backend == "native" and not native:
            raise RuntimeError(f"{type(self).__name__} has no native code here; backend='auto' runs it by torch")
        if self._backend == "torch" or not native:
            return "compiled" if self._compile else "torch"
        return "native" if self._backend == "native" else NATIVE_HOW[self._compile]


def run_compiled(batches: list[Batch], table: Table) -> None:
    """All the work of one program through torch.compile: one graph for tensors of all sizes.

    What it loads makes the whole process flush subnormal numbers to 0; here the setting is put back.
    """
    flushing = flushes_subnormals()
    try:
        run_in_blocks(batches, table, compiled_advance(), PACKED, cut=False)
    finally:
        torch.set_flush_denormal(flushing)


def flushes_subnormals() -> bool:
    return (torch.full((), 1e-40, dtype=torch.float32) * 1.0).item() == 0.0


@cache
def compiled_advance() -> Function:
    return torch.compile(advance, dynamic=True)
