"""Steps that CUDA graphs replay: the device counts them, and computes their numbers.

This file's text is part of each generated module that was compiled `--with graphs`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .optimizer import RuleOptimizer, capturing
from .work import Job


class CapturableOptimizer(RuleOptimizer):
    """An optimizer that counts on its parameters' devices if one of its groups says `capturable`."""

    def _live(self) -> bool:
        return any(group["capturable"] for group in self.param_groups)

    def _refuse_capture(self) -> None:
        if not self._live():
            super()._refuse_capture()

    def _structure(self, group: dict[str, Any]) -> list[Any]:
        for name in self._deciding:
            value = group[name]
            if not isinstance(value, bool | float) and isinstance(value, Tensor) and value.is_cuda and capturing():
                raise RuntimeError(f"{name} decides which code runs: in a graph it must be a number, not a tensor")
        return super()._structure(group)

    def _gather(self) -> list[Job]:
        if capturing():
            raise RuntimeError(
                f"{type(self).__name__}: take a step before the capture, with the same parameters, groups and states,"
                " and with gradients of the same strides"
            )
        jobs = super()._gather()
        if len({job.device for job in jobs}) > 1 and any(job.program.lockstep for job in jobs):
            raise RuntimeError(f"{type(self).__name__} needs values over all tensors: not over devices, if capturable")
        return jobs
