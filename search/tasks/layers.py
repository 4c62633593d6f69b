"""Layers that train the same networks in less time on a CPU: no new mathematics here, only fewer passes over memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks, winograd
from .blocks import norm_relu, pool_relu_dropout, served

LEVELS = 65536


def in_c() -> tuple[bool, bool]:
    """Which of the layers' parts this machine has in C: bits depend on it."""
    return blocks.available(), winograd.available()


class Dropout(nn.Module):
    """`nn.Dropout` by 16 random bits an element, from a generator of the layer's own; p is rounded to 1/65536.

    torch draws a float for each element, which is a tenth of a training step of the paper's CIFAR network. With
    a generator of its own a network draws the same masks alone and beside others.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.dropped = round(p * LEVELS)
        self.draw: torch.Generator | None = None

    @property
    def least(self) -> int:
        """The least random int16 that keeps an element."""
        return self.dropped - LEVELS // 2

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask(x) if self.training else x

    def mask(self, x: Tensor) -> Tensor:
        """0 where an element is dropped and 1/(1 - p) elsewhere, laid out in memory as `x` is."""
        mask = torch.empty_like(x)
        mask.as_strided((x.numel(),), (1,)).copy_(self.bits(x.numel(), x.device) >= self.least)
        return mask.mul_(LEVELS / (LEVELS - self.dropped))

    def bits(self, count: int, device: torch.device) -> Tensor:
        """So many random numbers of int16, the next of the generator's."""
        words = torch.empty((count + 3) // 4, dtype=torch.int64, device=device)
        return words.random_(-(2**63), None, generator=self.draw).view(torch.int16)[:count]

    def extra_repr(self) -> str:
        return f"p={self.dropped / LEVELS:g}"


class PoolReluDropout(Dropout):
    """Max pooling by 2, ReLU, dropout: in this order the first two give what they give in the other, on a quarter of
    the elements.
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        drops = self.training and self.dropped > 0
        if served(x) and not (x.shape[2] | x.shape[3]) & 1:
            scale = float(torch.tensor(LEVELS / (LEVELS - self.dropped), dtype=x.dtype)) if drops else 1.0
            return pool_relu_dropout(x, self.bits(x.numel() // 4, x.device) if drops else None, self.least, scale)
        pooled = functional.max_pool2d(x, 2).relu_()
        return super().forward(pooled) if drops else pooled


class Conv3x3(nn.Conv2d):
    """Convolution by 3x3 filters with a border of one zero."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None and winograd.served(x, self.weight):
            return winograd.convolution(x, self.weight, self.bias)
        return super().forward(x)


class NormRelu(nn.BatchNorm2d):
    """Batch normalisation, then ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and served(x)):
            return super().forward(x).relu_()
        y, mean, variance = norm_relu(x, self.weight, self.bias, self.eps)
        self._remember(mean, variance, x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """The running statistics, as torch's layer keeps them."""
        assert self.momentum is not None and self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)


class FlattenInPlace(nn.Module):
    """(B, C, H, W) to (B, H * W * C): of channels-last images no byte moves. The next layer's inputs are permuted."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def draw_from(model: nn.Module, generator: torch.Generator) -> None:
    """Let every dropout layer of a network draw from one generator."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.draw = generator
