"""What a task is to the search, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from . import models
from .augment import crop_and_flip
from .data import DataError, data_folder
from .images import Images, Indices, Part
from .landscapes import LANDSCAPES


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


class Task(Protocol):
    """A row of TASKS."""

    @property
    def name(self) -> str: ...

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Part
    ) -> Problem:
        """Ready to train on; a limit of 0 means all images. `part` says what accuracy is measured on.

        Raises DataError.
        """
        ...

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        """What a run records of how it split the data; empty where there is none. Raises DataError."""
        ...


_ROWS: tuple[Task, ...] = (
    Images("digits", models.digits_cnn),
    Images("mnist", models.paper_cnn28),
    Images("fashion_mnist", models.paper_cnn28),
    Images("cifar10", models.paper_cnn32, crop_and_flip),
    *LANDSCAPES,
)


class Tasks(dict[str, Task]):
    """A name without a row is a data set of the user's own, `NAME.npz` in the data folder. Raises DataError."""

    def __missing__(self, name: str) -> Task:
        if not (data_folder() / f"{name}.npz").is_file():
            raise DataError(f"no task `{name}`: there is {', '.join(self)}, or put {name}.npz into {data_folder()}")
        return Images(name, models.any_size_cnn)


TASKS = Tasks({task.name: task for task in _ROWS})


def problem(
    name: str,
    seed: int,
    train_images: int = 0,
    validation_images: int = 0,
    device: str | torch.device = "cpu",
    part: Part = "search",
) -> Problem:
    """The named task of TASKS, ready to train on. Raises DataError."""
    return TASKS[name].problem(seed, train_images, validation_images, torch.device(device), part)
