"""Rules, one problem, one seed to training curves; a run that diverges is a value, not an exception."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...compiler.runtime.compiled import flushes_subnormals
from ..seeds import seed_of
from ..tasks.layers import draw_from
from ..tasks.protocol import Problem
from .build import MakeOptimizer
from .graphs import Graph, can_be_recorded, let_be_recorded
from .stacks import Stack, stacks_of

Precision = Literal["float32", "bfloat16"]

WORST_LOSS = 50.0
ROUNDING = 1e-4
"""By how much an accuracy, perhaps a mean in bfloat16, may miss the numbers from 0 to 1."""
STEPS_BETWEEN_CHECKS = 20
STEPS_BEFORE_RECORDING = 3
"""In these, libraries choose their algorithms and optimizers make their states."""


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
    """Train a fresh network for `steps` steps. Raises what the optimizer raises; the rest is as in train_together."""
    (curve,) = train_together(
        [make_optimizer], problem, steps=steps, batch_size=batch_size, seed=seed, precision=precision
    )
    if isinstance(curve, Exception):
        raise curve
    return curve


def train_together(
    makers: Sequence[MakeOptimizer],
    problem: Problem,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    precision: Precision = "float32",
    stacked: bool | None = None,
) -> list[Curve | Exception]:
    """Train a fresh network with each optimizer, side by side; their curves, or what an optimizer raised.

    Weights, batches, augmentation and dropout follow from the seed alone: rules are compared in pairs, and each gets
    what it would get alone. The host reads the losses once in 20 steps only. On a CUDA device the steps of all are
    played from one graph. Where `stacked`, by default on a CUDA device, rules of one skeleton share one optimizer of
    stacked parameters. torch's global generators are left as they were found.
    """
    device = problem.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        team = _Team(problem, torch.autocast(device.type, torch.bfloat16, precision == "bfloat16", cache_enabled=False))
        found = [team.join(make, steps, seed) for make in makers]
        if stacked or (stacked is None and device.type == "cuda"):
            team.stack()
        draw = torch.Generator(device).manual_seed(seed_of(seed, "batches"))
        with flushing():
            team.train(problem.batches(batch_size, draw), steps)
            return [team.curve(member) if isinstance(member, _Member) else member for member in found]


@contextmanager
def flushing() -> Iterator[None]:
    """Subnormal numbers, which slow CPUs down, are 0 in here; in proofs about rules, as that eps > 0, they are not."""
    before = flushes_subnormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@dataclass
class _Member:
    """A rule in training. `random` is where torch's global generator stands for it; `stopped` is why it
    goes no further.

    Its losses so far are `losses[:done]`, of the (steps,) it will make.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    dropout: torch.Generator
    losses: Tensor
    random: Tensor
    stacked: bool = False
    done: int = 0
    stopped: str | Exception = ""


class _Team:
    """Rules in training on one problem, from one seed."""

    def __init__(self, problem: Problem, lowered: torch.autocast) -> None:
        self.problem, self.lowered = problem, lowered
        self.members: list[_Member] = []
        self.stacks: list[tuple[Stack, list[_Member]]] = []
        self.at = torch.zeros(1, dtype=torch.int64, device=problem.device)

    def join(self, make_optimizer: MakeOptimizer, steps: int, seed: int) -> _Member | Exception:
        torch.manual_seed(seed)
        model, device = self.problem.model(), self.problem.device
        dropout = torch.Generator(device).manual_seed(seed_of(seed, "dropout"))
        draw_from(model.train(), dropout)
        try:
            optimizer = make_optimizer(model.parameters(), steps)
        except Exception as error:  # one rule's fault is not the others'
            return error
        losses = torch.empty(steps, device=device, dtype=torch.float32)
        self.members.append(_Member(model, optimizer, dropout, losses, torch.get_rng_state()))
        return self.members[-1]

    def stack(self) -> None:
        """Have rules of one skeleton stepped by one optimizer."""
        for stack, places in stacks_of([member.optimizer for member in self.members]):
            self.stacks.append((stack, [self.members[place] for place in places]))
            for place in places:
                self.members[place].stacked = True

    def going(self) -> list[_Member]:
        return [member for member in self.members if not member.stopped]

    def train(self, batches: Iterator[Any], steps: int) -> None:
        recorded = can_be_recorded(self.problem, [member.optimizer for member in self.members])
        for optimizer in self._optimizers() if recorded else ():
            let_be_recorded(optimizer)
        graph: Graph | None = None
        for step, batch in _numbered(batches, steps):
            if recorded and step == STEPS_BEFORE_RECORDING + 1:
                graph = self._record(batch)
            if graph is None:
                self._step_each(batch)
            else:
                graph.play(batch)
            if step % STEPS_BETWEEN_CHECKS == 0 or step == steps:
                self._check(step)
                if not self.going():
                    return

    def _record(self, batch: Any) -> Graph | None:
        """The step of all as one graph; None where one of them needs the host, and all go on step by step."""
        going = self.going()
        steps = [partial(self._step, member) for member in going]
        try:
            return Graph(batch, steps, self._finish, [member.dropout for member in going])
        except RuntimeError:
            for member in going:  # what was recorded never ran, so neither did gradients come to be
                member.model.zero_grad()
            return None

    def _step_each(self, batch: Any) -> None:
        for member in self.going():
            if len(self.members) > 1:
                torch.set_rng_state(member.random)
            try:
                self._step(member, batch)
            except Exception as error:  # as in `join`
                member.stopped = error
            if len(self.members) > 1:
                member.random = torch.get_rng_state()
        for stack, members in self.stacks:
            try:
                stack.step()
            except Exception as error:  # all of them have one rule but for its numbers
                for member in members:
                    member.stopped = member.stopped or error
        self.at += 1

    def _finish(self) -> None:
        """What a recorded step does for all at once, after each has gone forth and back."""
        for stack, _ in self.stacks:
            stack.step()
        self.at += 1

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        alone = [member.optimizer for member in self.members if not member.stacked]
        return alone + [stack.optimizer for stack, _ in self.stacks]

    def _step(self, member: _Member, batch: Any) -> None:
        with self.lowered:
            loss = self.problem.loss(member.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if not member.stacked:
            member.optimizer.step()
            member.optimizer.zero_grad()
        member.losses.index_copy_(0, self.at, loss.detach().float().view(1))

    def _check(self, step: int) -> None:
        for member in self.going():
            member.done = step
            member.stopped = divergence(member.losses[:step])

    def curve(self, member: _Member) -> Curve | Exception:
        """What a member came to; its accuracy is measured now."""
        if isinstance(member.stopped, Exception):
            return member.stopped
        losses = member.losses[: member.done].cpu().numpy()
        if member.stopped:
            return Curve(losses, float("nan"), member.stopped)
        member.model.eval()
        try:
            with self.lowered:
                accuracy = float(self.problem.accuracy(member.model))
            if not -ROUNDING <= accuracy <= 1 + ROUNDING and np.isfinite(accuracy):
                raise ValueError(f"the task's accuracy is {accuracy:g}, and should be from 0 to 1")
        except Exception as error:  # as in `join`
            return error
        return Curve(losses, accuracy, "" if np.isfinite(accuracy) else "the trained network's output is not finite")


def _numbered(batches: Iterator[Any], steps: int) -> Iterator[tuple[int, Any]]:
    """The batches of all steps, from 1. Raises ValueError where there are fewer: shorter curves compare with none."""
    given = iter(batches)
    for step in range(1, steps + 1):
        try:
            yield step, next(given)
        except StopIteration:
            raise ValueError(f"the task's batches ended after {step - 1} of {steps} steps") from None


def divergence(losses: Tensor) -> str:
    """Why a run with these losses has diverged; empty if it has not."""
    bad = ~(losses <= WORST_LOSS)
    if not bool(bad.any()):
        return ""
    first = losses[int(bad.int().argmax())]
    return f"the loss rose over {WORST_LOSS:g}" if bool(first.isfinite()) else "the loss was not finite"
