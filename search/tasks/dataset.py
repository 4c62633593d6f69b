"""A data set and the network that learns it, as a problem that can be trained on: resident as tensors, split by seed.

What images, tables and texts have in common; what each does with a batch is in a file of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor, nn
from torch.nn import functional

from .data import Array, DataError, Examples, Form
from .sources import training_examples
from .splits import Indices, Judged, Splits, split

Model = Callable[[int, int], nn.Module]
Batch = tuple[Tensor, Tensor]

VALIDATION_BATCH = 500


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set and the network that learns it. `source` is the data's name where it is not the task's own."""

    name: str
    model: Model
    source: str = ""

    @property
    @abstractmethod
    def form(self) -> Form:
        """What the data's arrays must be."""

    @property
    def data(self) -> str:
        return self.source or self.name

    def digest(self) -> str:
        """A digest of the training examples; scores of other data are others. Raises DataError."""
        data = training_examples(self.data, self.form)
        found = blake2b(repr((data.inputs.shape, data.inputs.dtype, data.targets.dtype)).encode(), digest_size=16)
        found.update(data.inputs.tobytes() + data.targets.tobytes())
        return found.hexdigest()

    @abstractmethod
    def ready(self, data: Examples, train: Indices, judged: Indices, device: torch.device) -> Supervised:
        """Trained on some of the examples, judged by others."""

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Judged = "search"
    ) -> Supervised:
        """Ready to train on; accuracy is measured on one part of the training data. Raises DataError.

        The test split is not had in this way: only `search/fair/final.py` reads it.
        """
        if part == "test":
            raise ValueError(f"`{self.name}` does not give its test split away")
        data, splits = self._split(seed, train_images, validation_images)
        judged = splits.search if part == "search" else splits.selection
        return self.ready(data, splits.train, judged, device)

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        """Which training examples serve for what. Raises DataError."""
        _, splits = self._split(seed, train_images, validation_images)
        return {"train": splits.train, "search": splits.search, "selection": splits.selection}

    def _split(self, seed: int, train_images: int, validation_images: int) -> tuple[Examples, Splits]:
        data = training_examples(self.data, self.form)
        splits = split(len(data), seed, train_images, validation_images)
        if min(len(splits.train), len(splits.search), len(splits.selection)) == 0:
            raise DataError(f"`{self.data}` has {len(data)} training examples, too few to split 80 : 10 : 10")
        return data, splits


class Supervised(ABC):
    """Examples on one device. They stay as small as they are stored until a batch is taken."""

    def __init__(self, data: Examples, train: Indices, judged: Indices, device: torch.device) -> None:
        self.device = device
        self.train = self.resident(data.inputs[train], data.targets[train])
        self.validation = self.resident(data.inputs[judged], data.targets[judged])

    def resident(self, inputs: Array, targets: Array) -> Batch:
        return torch.from_numpy(inputs).to(self.device), torch.from_numpy(targets).to(self.device)

    @abstractmethod
    def model(self) -> nn.Module:
        """A fresh network; its weights come from torch's global generator."""

    def shown(self, inputs: Tensor) -> Tensor:
        """Stored inputs as the network takes them."""
        return inputs

    def varied(self, inputs: Tensor, draw: torch.Generator) -> Tensor:
        """Stored inputs, randomly changed, for training alone."""
        return inputs

    def batches(self, size: int, draw: torch.Generator) -> Iterator[Batch]:
        """Endless batches: every example once an epoch, a last short batch dropped."""
        inputs, targets = self.train
        size = min(size, len(targets))
        while True:
            order = torch.randperm(len(targets), generator=draw, device=self.device)
            for start in range(0, len(targets) - size + 1, size):
                chosen = order[start : start + size]
                yield self.shown(self.varied(inputs[chosen], draw)), targets[chosen]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch, in nats."""
        return functional.cross_entropy(model(batch[0]), batch[1])

    def merit(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The summed worth of answers, each at most 1: here, how many have the largest output at the right class."""
        return (outputs.argmax(1) == targets).sum()

    @torch.inference_mode()
    def accuracy(self, model: nn.Module) -> float:
        """The mean merit over the examples it is judged by, at least 0; NaN where an output is not finite."""
        inputs, targets = self.validation
        total = torch.zeros((), device=self.device)
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        for start in range(0, len(targets), VALIDATION_BATCH):
            chosen = slice(start, start + VALIDATION_BATCH)
            outputs = model(self.shown(inputs[chosen]))
            total += self.merit(outputs, targets[chosen])
            finite &= outputs.isfinite().all()
        return max(0.0, float(total) / len(targets)) if finite else float("nan")
