"""Images to classify: bytes in channels-last order, normalised and augmented a batch at a time on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .data import Array, Examples, Form, as_images
from .dataset import Batch, Dataset, Supervised
from .splits import Indices

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Images(Dataset):
    """A data set of images, the network that learns it from (channels, classes), and what is done to its batches."""

    augment: Augment | None = None

    @property
    def form(self) -> Form:
        return as_images

    def ready(self, data: Examples, train: Indices, judged: Indices, device: torch.device) -> Classification:
        return Classification(self, data, train, judged, device)


class Classification(Supervised):
    """Images to classify, on one device.

    Images stay bytes, (N, C, H, W) in channels-last order, until a batch is taken: a quarter of the memory, and the
    normalisation of a batch costs far less than its forward pass.
    """

    def __init__(self, task: Images, data: Examples, train: Indices, judged: Indices, device: torch.device) -> None:
        super().__init__(data, train, judged, device)
        self.task = task
        self.classes = int(data.targets.max()) + 1
        means, spreads = moments(data.inputs[train])
        self.mean, self.scale = self._per_channel(means), self._per_channel(1 / np.maximum(spreads, 1))

    def resident(self, inputs: Array, targets: Array) -> Batch:
        images, classes = super().resident(inputs, targets)
        return images.permute(0, 3, 1, 2), classes

    def _per_channel(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)

    @cached_property
    def channels(self) -> int:
        return int(self.train[0].shape[1])

    def model(self) -> nn.Module:
        model = self.task.model(self.channels, self.classes).to(self.device)
        return model.to(memory_format=torch.channels_last)

    def shown(self, inputs: Tensor) -> Tensor:
        return (inputs.float() - self.mean) * self.scale

    def varied(self, inputs: Tensor, draw: torch.Generator) -> Tensor:
        return inputs if self.task.augment is None else self.task.augment(inputs, draw)


def moments(images: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel's bytes, (C,) each: exact sums, by counting equal bytes."""
    levels = np.arange(256)
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])])
    means = counts @ levels / counts.sum(1)
    return means, np.sqrt(counts @ levels**2 / counts.sum(1) - means**2)
