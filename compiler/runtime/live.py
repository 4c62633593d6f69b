"""Computes a scalar table on its device, so that a CUDA graph which replays the step goes on counting.

This file's text is part of each generated module that was compiled `--with graphs`. It knows no rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from .rule import Function
from .work import Job, Work


@dataclass(frozen=True)
class Live:
    """The numbers of a stage from tensors, on their device: `columns` gives those of the scalar table."""

    columns: Function

    def fill(self, job: Job, groups: list[dict[str, Any]], counts: Tensor) -> None:
        """The step's numbers, on the device of the counts: float64, a row for each work, of which these are the steps.

        Tensors among the hyperparameters are read on the device; numbers become part of what a graph captures.
        """
        tables: list[Tensor] = []
        end = 0
        for index, of_group in groupby(job.works, key=lambda work: work.group):
            works = list(of_group)
            start, end = end, end + len(works)
            program = works[0].program
            given = [live_number(h.type, groups[index][h.name], counts.device) for h in program.hyperparameters]
            columns = program.step.live.columns(*given, counts[start:end].double(), *live_sizes(job, index, works))
            columns = [column.double().expand(len(works)) for column in columns]
            tables.append(torch.stack(columns, 1) if columns else counts.new_empty(len(works), 0))
        job.table = torch.cat(tables)
        if job.dated:  # for noise, precision
            for work, t in zip(job.works, counts.unbind(), strict=True):
                work.t = t


def live_number(type: type, value: Any, device: torch.device) -> Tensor:
    """A hyperparameter there. What the host has, tensor or not, is a number: a graph must not copy from its memory."""
    dtype = torch.bool if type is bool else torch.float64
    if isinstance(value, Tensor) and value.device.type != "cpu":
        return value.detach().reshape(()).to(device, dtype)
    return torch.full((), value.item() if isinstance(value, Tensor) else value, dtype=dtype, device=device)


def live_sizes(job: Job, group: int, works: Sequence[Work]) -> list[Tensor]:
    """ndim, rows, cols and numel of each work; they are sent once, since a graph may not send what the host has."""
    if group not in job.sizes:
        columns = zip(*(work.sizes for work in works), strict=True)
        job.sizes[group] = [torch.tensor(column, dtype=torch.float64, device=job.device) for column in columns]
    return job.sizes[group]
