"""What examples are, and what arrays must be to become some; where the data folder is. Nothing is read here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dsl.cache import cache_folder

Array = npt.NDArray[Any]

MOST_CHANNELS = 4
"""Of an image whose first axis is its channels; a whole image of so few rows is not expected."""


class DataError(Exception):
    """A data set that cannot be had or is not what it should be, in the user's terms."""


@dataclass(frozen=True)
class Examples:
    """What a network is shown, (N, ...), and what it is to answer, (N,) or (N, ...).

    Images are bytes (N, height, width, channels), a table is float32 (N, columns), a text int64 (N, characters).
    Classes and characters are int64 from 0, numbers to be predicted float32.
    """

    inputs: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def followed_by(self, more: Examples, where: str) -> Examples:
        """The training examples, then those of the test split. Raises DataError where they do not go together."""
        shown, asked = self.inputs.shape[1:], more.inputs.shape[1:]
        if shown != asked:
            raise DataError(f"{where}: an example has shape {shown} in x_train and {asked} in x_test")
        classes = self.targets.dtype == np.int64 and self.targets.ndim == 1
        if classes and more.targets.max() > self.targets.max():
            raise DataError(f"{where}: y_test goes up to {more.targets.max()}, y_train to {self.targets.max()} only")
        return Examples(np.concatenate([self.inputs, more.inputs]), np.concatenate([self.targets, more.targets]))


Form = Callable[[Array, Array, str, str], Examples]
"""(inputs, targets, where they are from, `train` or `test`) to examples. Raises DataError."""


def data_folder() -> Path:
    """`$OPTC_DATA`, else `data` in the user's cache folder."""
    named = os.environ.get("OPTC_DATA")
    return Path(named).expanduser() if named else cache_folder() / "data"


def as_images(inputs: Array, targets: Array, where: str, split: str) -> Examples:
    """Images and their classes. Raises DataError."""
    if inputs.ndim == 3:
        inputs = inputs[..., None]
    if inputs.dtype != np.uint8 or inputs.ndim != 4:
        raise DataError(
            f"{where}: x_{split} must be bytes (uint8) of shape (N, height, width) or (N, height, width, channels), "
            f"not {inputs.dtype} of shape {inputs.shape}"
        )
    if 0 in inputs.shape[1:] or inputs.shape[1] <= MOST_CHANNELS < inputs.shape[3]:
        raise DataError(f"{where}: x_{split} has images of shape {inputs.shape[1:]}; channels come last")
    return Examples(inputs, _classes(targets, len(inputs), where, split))


def as_table(inputs: Array, targets: Array, where: str, split: str) -> Examples:
    """Rows of numbers, and their classes or the number to predict of each. Raises DataError."""
    rows = _float32(inputs) if inputs.ndim == 2 and inputs.shape[1] else None
    if rows is None:
        holes = " with NaN, infinity or what is infinite in float32" if inputs.dtype.kind == "f" else ""
        raise DataError(
            f"{where}: x_{split} must be finite numbers of shape (N, columns), "
            f"not {inputs.dtype} of shape {inputs.shape}{holes if inputs.ndim == 2 else ''}"
        )
    if targets.dtype.kind != "f":
        return Examples(rows, _classes(targets, len(rows), where, split))
    numbers = _float32(targets)
    if targets.shape != inputs.shape[:1] or len(inputs) == 0 or numbers is None:
        raise DataError(f"{where}: y_{split} must hold one finite number for each of the {len(inputs)} rows")
    return Examples(rows, _various(numbers, where, split))


def _float32(values: Array) -> Array | None:
    """Numbers in float32; None where they are none, or not finite."""
    if values.dtype.kind not in "iufb":
        return None
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.isfinite(narrow).all() else None


def _classes(targets: Array, count: int, where: str, split: str) -> Array:
    if targets.shape != (count,) or targets.dtype.kind not in "iu":
        raise DataError(
            f"{where}: y_{split} must hold one whole number for each of the {count} examples, "
            f"not {targets.dtype} of shape {targets.shape}"
        )
    if count == 0 or targets.min() < 0:
        raise DataError(f"{where}: x_{split} must not be empty and y_{split} must count classes from 0")
    if split == "train" and targets.max() >= count:
        raise DataError(
            f"{where}: y_{split} names class {targets.max()}, and there are {count} examples; "
            "numbers to be predicted are floats"
        )
    return _various(targets.astype(np.int64), where, split)


def _various(targets: Array, where: str, split: str) -> Array:
    if split == "train" and (targets == targets[0]).all():
        raise DataError(f"{where}: every y_{split} is {targets[0]:g}, so there is nothing to learn")
    return targets
