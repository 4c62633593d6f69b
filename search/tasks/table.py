"""Tables: rows of numbers to their class, or to a number, by a network that sees them standardised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .data import Examples, Form, as_table
from .dataset import Batch, Dataset, Supervised
from .splits import Indices

LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Table(Dataset):
    """A table, and the network that learns it from (columns, classes), or (columns, 1) where it predicts a number."""

    @property
    def form(self) -> Form:
        return as_table

    def ready(self, data: Examples, train: Indices, judged: Indices, device: torch.device) -> Rows:
        return (Rows if data.targets.dtype.kind == "i" else Regression)(self, data, train, judged, device)


class Rows(Supervised):
    """Rows to classify. Columns are standardised by the training part."""

    def __init__(self, task: Table, data: Examples, train: Indices, judged: Indices, device: torch.device) -> None:
        super().__init__(data, train, judged, device)
        self.task = task
        self.outputs = self.width(data)
        self.mean, self.spread = _moments(self.train[0])

    def width(self, data: Examples) -> int:
        return int(data.targets.max()) + 1

    def model(self) -> nn.Module:
        return self.task.model(self.train[0].shape[1], self.outputs).to(self.device)

    def shown(self, inputs: Tensor) -> Tensor:
        return (inputs - self.mean) / self.spread


class Regression(Rows):
    """Rows to predict a number of. Targets are standardised too, so that the loss begins near 1.

    An answer's merit is 1 minus its squared error over the variance of what it is judged by; their mean is R squared.
    """

    def __init__(self, task: Table, data: Examples, train: Indices, judged: Indices, device: torch.device) -> None:
        super().__init__(task, data, train, judged, device)
        mean, spread = _moments(self.train[1])
        self.train, self.validation = (
            (inputs, (targets - mean) / spread) for inputs, targets in (self.train, self.validation)
        )
        self.variance = self.validation[1].var(correction=0).clamp_min(LEAST_SPREAD)

    def width(self, data: Examples) -> int:
        return 1

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean squared error, in variances of the training part's targets."""
        return functional.mse_loss(model(batch[0])[:, 0], batch[1])

    def merit(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (1 - (outputs[:, 0] - targets).square() / self.variance).sum()


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Each column's mean and standard deviation; a constant column is left at its size."""
    mean, spread = values.double().mean(0), values.double().std(0, correction=0)
    return mean.float(), torch.where(spread > LEAST_SPREAD, spread, 1.0).float()
