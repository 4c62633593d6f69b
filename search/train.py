"""One rule, one problem, one seed to a training curve; a run that diverges is a value, not an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .seeds import seed_of
from .tasks.layers import draw_from
from .tasks.protocol import Problem

MakeOptimizer = Callable[[Iterable[nn.Parameter], int], torch.optim.Optimizer]
"""(parameters, steps of the whole run) to an optimizer."""

Precision = Literal["float32", "bfloat16"]

WORST_LOSS = 50.0
STEPS_BETWEEN_CHECKS = 20


@dataclass(frozen=True)
class Curve:
    """What a training run was: the loss of every step it made, (steps,), and its accuracy at the end.

    `diverged` says in words why there is no accuracy; it is empty for a run that came through.
    """

    losses: npt.NDArray[np.float32]
    accuracy: float
    diverged: str = ""


def train(
    make_optimizer: MakeOptimizer,
    problem: Problem,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    precision: Precision = "float32",
) -> Curve:
    """Train a fresh network for `steps` steps.

    Equal seeds give equal weights, batches and augmentation to every rule, so that rules are compared in pairs. The
    host reads the losses once in 20 steps only. torch's global generator is left as it was found.
    """
    with torch.random.fork_rng(devices=[problem.device] if problem.device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = problem.model()
        optimizer = make_optimizer(model.parameters(), steps)
        draw_from(model, torch.Generator(problem.device).manual_seed(seed_of(seed, "dropout")))
        draw = torch.Generator(problem.device).manual_seed(seed_of(seed, "batches"))
        lowered = torch.autocast(problem.device.type, torch.bfloat16, precision == "bfloat16", cache_enabled=False)
        return _train(model, optimizer, problem, steps, problem.batches(batch_size, draw), lowered)


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    problem: Problem,
    steps: int,
    batches: Iterator[Any],
    lowered: torch.autocast,
) -> Curve:
    losses = torch.empty(steps, device=problem.device)
    model.train()
    for step, batch in zip(range(steps), batches, strict=False):
        with lowered:
            loss = problem.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses[step] = loss.detach()
        if (step + 1) % STEPS_BETWEEN_CHECKS == 0 or step + 1 == steps:
            trouble = _divergence(losses[: step + 1])
            if trouble:
                return Curve(losses[: step + 1].cpu().numpy(), float("nan"), trouble)
    model.eval()
    with lowered:
        accuracy = problem.accuracy(model)
    trouble = "" if np.isfinite(accuracy) else "the trained network's output is not finite"
    return Curve(losses.cpu().numpy(), accuracy, trouble)


def _divergence(losses: Tensor) -> str:
    bad = ~(losses <= WORST_LOSS)
    if not bool(bad.any()):
        return ""
    first = losses[int(bad.int().argmax())]
    return f"the loss rose over {WORST_LOSS:g}" if bool(first.isfinite()) else "the loss was not finite"
