"""Functions with a known minimum as tasks: quick to descend, and each is hard in the one way that it is named for.

A loss is the function's value over its value at the start, so that every landscape begins at 1 and ends at 0. What
stands for accuracy is how many powers of ten the value fell, out of six. The optimizer sees one 10 by 10 matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..seeds import seed_of
from .splits import Indices, Judged

SIDE = 10
SIZE = SIDE * SIDE
POWERS = 6.0

Function = Callable[[Tensor, Tensor], Tensor]
"""(point (100,), rotation (100, 100)) to a value of at least 0, which is 0 at the minimum."""
Noise = Callable[[torch.Generator], Tensor]


def _curvatures(condition: float) -> Tensor:
    return torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), SIZE)


def quadratic(condition: float, x: Tensor, rotation: Tensor) -> Tensor:
    """An axis-aligned bowl whose curvatures run evenly from 1 down to 1/condition."""
    return (_curvatures(condition).to(x) * x.square()).sum() / 2


def rotated(condition: float, x: Tensor, rotation: Tensor) -> Tensor:
    """The same bowl, turned, so that no coordinate is alone."""
    return quadratic(condition, rotation @ x, rotation)


def rosenbrock(x: Tensor, rotation: Tensor) -> Tensor:
    """Rosenbrock's bent valley in 100 dimensions, with its minimum moved to 0."""
    y = x + 1
    return (100 * (y[1:] - y[:-1].square()).square() + (1 - y[:-1]).square()).sum()


def saddle(x: Tensor, rotation: Tensor) -> Tensor:
    """Half the coordinates curve up; the others leave a ridge at 0 for the valleys at 1 and -1."""
    up, ridge = x[: SIZE // 2], x[SIZE // 2 :]
    return up.square().sum() / 2 + (ridge.square() - 1).square().sum() / 4


def heavy_tails(draw: torch.Generator) -> Tensor:
    """Student's t with 1.5 degrees of freedom: a mean, and no variance."""
    normal = torch.randn(4, SIZE, generator=draw, device=draw.device)
    chi2 = (normal[1:].square() * torch.tensor([1.0, 0.5, 0.0], device=draw.device)[:, None]).sum(0)
    return 0.01 * normal[0] / (chi2 / 1.5).sqrt().clamp_min(1e-6)


def a_twentieth(draw: torch.Generator) -> Tensor:
    """Which coordinates a sparse gradient has."""
    return (torch.rand(SIZE, generator=draw, device=draw.device) < 0.05).float()


@dataclass(frozen=True)
class Landscape:
    """A function, where a run starts (normal numbers of this width), and what spoils its gradient."""

    name: str
    function: Function
    start: float = 1.0
    noise: Noise | None = None
    mask: Noise | None = None

    def digest(self) -> str:
        """Nothing: a landscape has no data."""
        return ""

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Judged = "search"
    ) -> Descent:
        """Turned in another way for each part."""
        return Descent(self, seed_of(seed, "rotation", self.name, part), device)

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        return {}


CONDITIONS = {"1e2": 1e2, "1e4": 1e4, "1e6": 1e6}

LANDSCAPES: tuple[Landscape, ...] = (
    *(Landscape(f"quadratic_{name}", partial(quadratic, condition)) for name, condition in CONDITIONS.items()),
    *(Landscape(f"rotated_{name}", partial(rotated, condition)) for name, condition in CONDITIONS.items()),
    Landscape("rosenbrock", rosenbrock, start=0.3),
    Landscape("saddle", saddle, start=0.01),
    Landscape("heavy_tails", partial(quadratic, 1e2), noise=heavy_tails),
    Landscape("sparse", partial(quadratic, 1e2), mask=a_twentieth),
)


class Point(nn.Module):
    """Somewhere on a landscape, and how high it lay at the start."""

    def __init__(self, start: Tensor, height: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.place = nn.Parameter(start.view(SIDE, SIDE))
        self.start_height = height(start)


class Descent:
    """A landscape with its rotation drawn."""

    def __init__(self, landscape: Landscape, seed: int, device: torch.device) -> None:
        self.landscape = landscape
        self.device = device
        draw = torch.Generator().manual_seed(seed)
        orthogonal, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=draw))
        self.rotation = orthogonal.to(device)

    def height(self, x: Tensor) -> Tensor:
        return self.landscape.function(x, self.rotation)

    def model(self) -> nn.Module:
        return Point(self.landscape.start * torch.randn(SIZE, device=self.device), self.height)

    def batches(self, size: int, draw: torch.Generator) -> Iterator[tuple[Tensor | None, Tensor | None]]:
        """(noise to add to the gradient, mask to multiply it by) for each step; there is nothing to batch."""
        noise, mask = self.landscape.noise, self.landscape.mask
        while True:
            yield None if noise is None else noise(draw), None if mask is None else mask(draw)

    def loss(self, model: nn.Module, batch: tuple[Tensor | None, Tensor | None]) -> Tensor:
        """The height, as a share of that at the start; noise and mask change its gradient and not its value."""
        assert isinstance(model, Point)
        noise, mask = batch
        x = model.place.view(-1)
        if mask is not None:
            x = mask * x + (1 - mask) * x.detach()
        loss = self.height(x) / model.start_height
        return loss if noise is None else loss + (noise * (x - x.detach())).sum()

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        """How many of six powers of ten the height fell, from 0 to 1."""
        assert isinstance(model, Point)
        share = self.height(model.place.view(-1)) / model.start_height
        if not share.isfinite():
            return float("nan")
        return float((-torch.log10(share.clamp_min(1e-30)) / POWERS).clamp(0, 1))
