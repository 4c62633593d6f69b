"""What a task is to the search; a user's own is any object with these methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...dsl.rule import Rule, Value
from .splits import Indices, Judged


class Problem(Protocol):
    """A task that is ready to train on. A batch is whatever its own `loss` understands."""

    device: torch.device

    def model(self) -> nn.Module:
        """Fresh parameters, drawn from torch's global generator."""
        ...

    def batches(self, size: int, draw: torch.Generator) -> Iterator[Any]:
        """Endless batches."""
        ...

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """What training lowers; about 1 or more at the start, and 50 where it is hopeless."""
        ...

    def accuracy(self, model: nn.Module) -> float:
        """How good the trained parameters are, from 0 to 1; NaN where they are not finite."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """What a problem may have beside: it can say what a rule would come to without training, and much faster."""

    def foresee(
        self, rule: Rule, setting: Mapping[str, Value], steps: int, seed: int
    ) -> tuple[npt.NDArray[np.float32], float] | None:
        """The loss of every step, (steps,), and the accuracy that training a rule with these hyperparameters would
        give; None where only training can tell.
        """
        ...


@runtime_checkable
class Task(Protocol):
    """What is trained on: a row of TASKS, or an object of the user's own."""

    @property
    def name(self) -> str: ...

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Judged
    ) -> Problem:
        """Ready to train on; a limit of 0 means all images. `part` says what accuracy is measured on: each has
        examples, or draws, that no other has. Raises DataError.
        """
        ...

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        """What a run records of how it split the data; empty where there is none. Raises DataError."""
        ...
