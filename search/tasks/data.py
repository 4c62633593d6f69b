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

    def followed_by(self, more: Examples) -> Examples:
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
    return Examples(inputs, _classes(targets, len(inputs), where, split))


def as_table(inputs: Array, targets: Array, where: str, split: str) -> Examples:
    """Rows of numbers, and their classes or the number to predict of each. Raises DataError."""
    if inputs.ndim != 2 or inputs.dtype.kind not in "iufb" or not np.isfinite(inputs).all():
        raise DataError(
            f"{where}: x_{split} must be finite numbers of shape (N, columns), "
            f"not {inputs.dtype} of shape {inputs.shape}{_holes(inputs)}"
        )
    if targets.dtype.kind != "f":
        return Examples(inputs.astype(np.float32), _classes(targets, len(inputs), where, split))
    if targets.shape != inputs.shape[:1] or len(inputs) == 0 or not np.isfinite(targets).all():
        raise DataError(f"{where}: y_{split} must hold one finite number for each of the {len(inputs)} rows")
    return Examples(inputs.astype(np.float32), targets.astype(np.float32))


def _holes(inputs: Array) -> str:
    return " with NaN or infinity in it" if inputs.dtype.kind == "f" and not np.isfinite(inputs).all() else ""


def _classes(targets: Array, count: int, where: str, split: str) -> Array:
    if targets.shape != (count,) or targets.dtype.kind not in "iu":
        raise DataError(
            f"{where}: y_{split} must hold one whole number for each of the {count} examples, "
            f"not {targets.dtype} of shape {targets.shape}"
        )
    if count == 0 or targets.min() < 0:
        raise DataError(f"{where}: x_{split} must not be empty and y_{split} must count classes from 0")
    return targets.astype(np.int64)
