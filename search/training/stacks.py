"""Rules of one skeleton that train side by side, to one optimizer that steps all their networks at once.

The networks' parameters become slices of stacked ones. Each network still goes forth and back by itself, and the
optimizer steps each slice as it would step that network alone: the numbers are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...dsl.diagnostics import OptError
from ...dsl.rule import Rule
from .build import population_of, skeleton_of

LEAST = 2
"""Networks that a stack is worth having for."""


class Stack:
    """The optimizer of so many networks of one shape, in place of their own. Raises OptError where there is none."""

    def __init__(self, skeleton: Rule, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        made = population_of(skeleton, len(optimizers))
        own = [[p for group in optimizer.param_groups for p in group["params"]] for optimizer in optimizers]
        self.slices: list[tuple[nn.Parameter, ...]] = list(zip(*own, strict=True))
        self.parameters = [_stacked(parts) for parts in self.slices]
        self.gradients = [torch.zeros_like(whole) for whole in self.parameters]
        numbers: dict[str, Any] = {}
        for param in skeleton.params:
            numbers[param.name] = [optimizer.defaults[param.name] for optimizer in optimizers]
        self.optimizer: torch.optim.Optimizer = made(self.parameters, **numbers)

    @torch.no_grad()
    def step(self) -> None:
        """One step of every network by its gradients, which are then gone; one without repeats its last."""
        slots: list[Tensor] = []
        found: list[Tensor] = []
        for whole, gradient, parts in zip(self.parameters, self.gradients, self.slices, strict=True):
            given = [(slot, p.grad) for slot, p in zip(gradient.unbind(), parts, strict=True) if p.grad is not None]
            whole.grad = gradient if given else None
            slots += [slot for slot, _ in given]
            found += [own for _, own in given]
            for p in parts:
                p.grad = None
        torch._foreach_copy_(slots, found)
        self.optimizer.step()


def stacks_of(optimizers: Sequence[torch.optim.Optimizer]) -> list[tuple[Stack, list[int]]]:
    """A stack for each skeleton that several have, and whose they are; what has no population stays alone."""
    places: dict[Rule, list[int]] = {}
    for place, optimizer in enumerate(optimizers):
        if (skeleton := skeleton_of(optimizer)) is not None:
            places.setdefault(skeleton, []).append(place)
    stacks = []
    for skeleton, whose in places.items():
        if len(whose) < LEAST:
            continue
        try:
            stacks.append((Stack(skeleton, [optimizers[place] for place in whose]), whose))
        except OptError:  # a rule may need what populations have not
            continue
    return stacks


def _stacked(parts: Sequence[nn.Parameter]) -> nn.Parameter:
    """A parameter whose slices the parts now are, laid out in memory as they were."""
    first = parts[0].detach()
    sizes, strides = (len(parts), *first.shape), (first.numel(), *first.stride())
    whole = torch.empty_strided(sizes, strides, dtype=first.dtype, device=first.device)
    for part, slot in zip(parts, whole.unbind(), strict=True):
        slot.copy_(part.detach())
        part.data = slot
    return nn.Parameter(whole)
