"""A task of one's own: two spirals to be told apart. In a configuration: tasks = ["examples/spiral.py:Spiral"].

Whatever has `name`, `problem` and `splits` is a task; what `problem` returns is trained on. docs/search.md says more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

JUDGED = 1000


class Spiral:
    """The task. Points are made up, so each part simply draws points of its own and there are no splits to record."""

    name = "spiral"

    def problem(self, seed: int, train_images: int, validation_images: int, device: torch.device, part: str) -> Spirals:
        """`part` is "search", "selection" or "test": three sets of points to judge by that never meet."""
        draw = torch.Generator().manual_seed(3 * seed + ("search", "selection", "test").index(part))
        return Spirals(*points(validation_images or JUDGED, draw), device)

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, np.ndarray]:
        return {}


class Spirals:
    """What is trained on: a network, endless batches, a loss, and a score from 0 to 1."""

    def __init__(self, judged: Tensor, classes: Tensor, device: torch.device) -> None:
        self.device = device
        self.judged, self.classes = judged.to(device), classes.to(device)

    def model(self) -> nn.Module:
        layers = (nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
        return nn.Sequential(*layers).to(self.device)

    def batches(self, size: int, draw: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """`draw` lives on the problem's device; all that is random comes from it, so that rules meet equal batches."""
        while True:
            yield points(size, draw)

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        scores = model(self.judged)
        right = (scores.argmax(1) == self.classes).float().mean()
        return float(right) if scores.isfinite().all() else float("nan")


def points(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """(count, 2) points near two spirals that turn once, and which of them each is near."""
    along = torch.rand(count, generator=draw, device=draw.device).sqrt()
    which = torch.randint(2, (count,), generator=draw, device=draw.device)
    angle = torch.pi * (2 * along + which)
    noise = 0.02 * torch.randn(count, 2, generator=draw, device=draw.device)
    return along[:, None] * torch.stack([angle.cos(), angle.sin()], 1) + noise, which
