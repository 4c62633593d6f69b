"""The table of tasks: a name to what can be trained on."""

from __future__ import annotations

import numpy as np
import torch

from . import models, own
from .augment import crop_and_flip
from .cartpole import CartPole
from .data import DataError, data_folder
from .images import Images
from .imitation import imitation, is_imitation
from .landscapes import LANDSCAPES
from .protocol import Problem, Task
from .sources import inputs_of
from .splits import Indices, Judged
from .table import Table
from .text import Text

_ROWS: tuple[Task, ...] = (
    Images("digits", models.digits_cnn),
    Images("mnist", models.paper_cnn28),
    Images("fashion_mnist", models.paper_cnn28),
    Images("cifar10", models.paper_cnn32, augment=crop_and_flip),
    Images("cifar10_resnet18", models.resnet18, "cifar10", crop_and_flip),
    Images("cifar10_vit", models.small_vit, "cifar10", crop_and_flip),
    Text("tinyshakespeare", models.CharacterTransformer),
    Table("breast_cancer", models.mlp),
    Table("wine", models.mlp),
    Table("diabetes", models.mlp),
    CartPole(),
    *LANDSCAPES,
)


class Tasks(dict[str, Task]):
    """A name without a row is `imitate:RULE`, or the user's own: `FILE.py:NAME`, or NAME.npz or NAME.txt with the data.

    Raises DataError.
    """

    def __missing__(self, name: str) -> Task:
        if own.is_own(name):
            return own.own_task(name)
        if is_imitation(name):
            return imitation(name)
        folder = data_folder()
        if (folder / f"{name}.npz").is_file():
            table = inputs_of(folder / f"{name}.npz").ndim == 2
            return Table(name, models.mlp) if table else Images(name, models.any_size_cnn)
        if (folder / f"{name}.txt").is_file():
            return Text(name, models.CharacterTransformer)
        raise DataError(f"no task `{name}`: there is {', '.join(self)}, or put {name}.npz or {name}.txt into {folder}")


TASKS = Tasks({task.name: task for task in _ROWS})


def splits_of(name: str, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
    """Which examples of a task serve for what, by part; empty where it draws them as it goes. Raises DataError."""
    with own.asked_for("splits", name):
        found = TASKS[name].splits(seed, train_images, validation_images)
        return {part: np.asarray(indices, np.int64) for part, indices in found.items()}


def digest_of(name: str) -> str:
    """What a task is made of: its data, and its file where it is the user's own. Raises DataError."""
    return own.digest(name) if own.is_own(name) else str(getattr(TASKS[name], "digest", str)())


def problem(
    name: str,
    seed: int,
    train_images: int = 0,
    validation_images: int = 0,
    device: str | torch.device = "cpu",
    part: Judged = "search",
) -> Problem:
    """The named task of TASKS, ready to train on. Raises DataError."""
    return TASKS[name].problem(seed, train_images, validation_images, torch.device(device), part)
