"""Images to classify as a problem that can be trained on: resident as tensors, split by seed, never the test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..seeds import generator
from .data import DataError, Labelled, training_images

Model = Callable[[int, int], nn.Module]
Augment = Callable[[Tensor, torch.Generator], Tensor]
Indices = npt.NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
Part = Literal["search", "selection"]
"""The training images that score a rule, or those that choose among the best."""

VALIDATION_BATCH = 500
TRAIN_FRACTION, SEARCH_FRACTION = 0.8, 0.1


@dataclass(frozen=True)
class Splits:
    """Which training images are learnt from, which score a rule, and which choose among the best; all disjoint."""

    train: Indices
    search: Indices
    selection: Indices


def split(count: int, seed: int, train_images: int = 0, validation_images: int = 0) -> Splits:
    """`count` images cut 80 : 10 : 10 in an order that the seed gives; a limit of 0 keeps a part whole."""
    order = generator(seed, "split", count).permutation(count)
    first, second = int(count * TRAIN_FRACTION), int(count * (TRAIN_FRACTION + SEARCH_FRACTION))
    train, search, selection = order[:first], order[first:second], order[second:]
    return Splits(train[: train_images or None], search[: validation_images or None], selection)


@dataclass(frozen=True)
class Images:
    """A data set, the network that learns it, and what is done to its batches."""

    name: str
    model: Model
    augment: Augment | None = None

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Part = "search"
    ) -> Classification:
        """Ready to train on; accuracy is measured on one part of the training images. Raises DataError."""
        data, splits = self._split(seed, train_images, validation_images)
        judged = {"search": splits.search, "selection": splits.selection}[part]
        return Classification(self, data, splits.train, judged, device)

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        """Which training images serve for what. Raises DataError."""
        _, splits = self._split(seed, train_images, validation_images)
        return {"train": splits.train, "search": splits.search, "selection": splits.selection}

    def _split(self, seed: int, train_images: int, validation_images: int) -> tuple[Labelled, Splits]:
        data = training_images(self.name)
        splits = split(len(data), seed, train_images, validation_images)
        if min(len(splits.train), len(splits.search), len(splits.selection)) == 0:
            raise DataError(f"`{self.name}` has {len(data)} training images, too few to split 80 : 10 : 10")
        return data, splits


class Classification:
    """Images to classify, on one device.

    Images stay bytes, (N, C, H, W) in channels-last order, until a batch is taken: a quarter of the memory, and the
    normalisation of a batch costs far less than its forward pass.
    """

    def __init__(self, task: Images, data: Labelled, train: Indices, judged: Indices, device: torch.device) -> None:
        self.task = task
        self.device = device
        self.classes = int(data.labels.max()) + 1
        self.train = self._resident(data, train)
        self.validation = self._resident(data, judged)
        scaled = data.images[train].astype(np.float32) / 255
        self.mean = self._per_channel(255 * scaled.mean((0, 1, 2), dtype=np.float64))
        self.scale = self._per_channel(1 / np.maximum(255 * scaled.std((0, 1, 2), dtype=np.float64), 1))

    def _resident(self, data: Labelled, which: Indices) -> Batch:
        images = torch.from_numpy(data.images[which]).permute(0, 3, 1, 2)
        return images.to(self.device), torch.from_numpy(data.labels[which]).to(self.device)

    def _per_channel(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)

    @cached_property
    def channels(self) -> int:
        return int(self.train[0].shape[1])

    def model(self) -> nn.Module:
        """A fresh network; its weights come from torch's global generator."""
        model = self.task.model(self.channels, self.classes).to(self.device)
        return model.to(memory_format=torch.channels_last)

    def batches(self, size: int, draw: torch.Generator) -> Iterator[Batch]:
        """Endless batches of normalised images and classes: every image once an epoch, a last short batch dropped."""
        images, labels = self.train
        size = min(size, len(labels))
        while True:
            order = torch.randperm(len(labels), generator=draw, device=self.device)
            for start in range(0, len(labels) - size + 1, size):
                chosen = order[start : start + size]
                x = self._normalised(images[chosen])
                yield (x if self.task.augment is None else self.task.augment(x, draw)), labels[chosen]

    def _normalised(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) * self.scale

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch, in nats."""
        return functional.cross_entropy(model(batch[0]), batch[1])

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        """The share of the images it is judged by that the model gets right; NaN where its output is not finite."""
        images, labels = self.validation
        right = torch.zeros((), device=self.device)
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        for start in range(0, len(labels), VALIDATION_BATCH):
            chosen = slice(start, start + VALIDATION_BATCH)
            scores = model(self._normalised(images[chosen]))
            right += (scores.argmax(1) == labels[chosen]).sum()
            finite &= scores.isfinite().all()
        return float(right) / len(labels) if finite else float("nan")
