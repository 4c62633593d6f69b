"""A data set's name to its training images as arrays, from `$OPTC_DATA`, a bundle or a download.

The test split has a reader of its own, so that nothing that scores a rule can reach it by accident.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dsl.cache import cache_folder

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

KEYS = ("x_train", "y_train", "x_test", "y_test")
DIGITS_SPLIT_SEED = 8
DIGITS_TEST_FRACTION = 0.2


class DataError(Exception):
    """A data set that cannot be had or is not what it should be, in the user's terms."""


@dataclass(frozen=True)
class Labelled:
    """Images (N, height, width, channels) of bytes and their classes (N,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


def data_folder() -> Path:
    """`$OPTC_DATA`, else `data` in the user's cache folder."""
    named = os.environ.get("OPTC_DATA")
    return Path(named).expanduser() if named else cache_folder() / "data"


def training_images(name: str) -> Labelled:
    """The official training split. Raises DataError."""
    return _images(name, "train")


def test_images(name: str) -> Labelled:
    """The official test split: for the final figures alone. Raises DataError."""
    return _images(name, "test")


def _images(name: str, split: str) -> Labelled:
    path = data_folder() / f"{name}.npz"
    if path.exists():
        return _from_npz(path, split)
    if name not in SOURCES:
        raise DataError(f"there is no data set `{name}`: put {path} there, or choose one of {', '.join(SOURCES)}")
    return SOURCES[name](split)


def _from_npz(path: Path, split: str) -> Labelled:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                raise DataError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(KEYS)}")
            images, labels = archive[f"x_{split}"], archive[f"y_{split}"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz archive ({error})") from error
    return _validated(images, labels, str(path), split)


def _validated(images: npt.NDArray[Any], labels: npt.NDArray[Any], where: str, split: str) -> Labelled:
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4:
        raise DataError(
            f"{where}: x_{split} must be bytes (uint8) of shape (N, height, width) or (N, height, width, channels), "
            f"not {images.dtype} of shape {images.shape}"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where}: y_{split} must hold one whole number for each of the {len(images)} images, "
            f"not {labels.dtype} of shape {labels.shape}"
        )
    if len(images) == 0 or labels.min() < 0:
        raise DataError(f"{where}: x_{split} must not be empty and y_{split} must count classes from 0")
    return Labelled(images, labels.astype(np.int64))


def _digits(split: str) -> Labelled:
    """scikit-learn's 1,797 handwritten digits of 8x8, a fifth set aside as the test split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images * (255 / 16)).round().astype(np.uint8)[..., None]
    order = np.random.default_rng(DIGITS_SPLIT_SEED).permutation(len(images))
    cut = int(len(images) * DIGITS_TEST_FRACTION)
    chosen = order[:cut] if split == "test" else order[cut:]
    return Labelled(images[chosen], bunch.target[chosen].astype(np.int64))


def _torchvision(dataset: str) -> Callable[[str], Labelled]:
    def load(split: str) -> Labelled:
        import torchvision

        folder = data_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            loaded = getattr(torchvision.datasets, dataset)(str(folder), train=split == "train", download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{dataset} is not in {folder} and could not be downloaded there ({error}). "
                f"Connect to the network and try again, or set OPTC_DATA to a folder with NAME.npz files that hold "
                f"{', '.join(KEYS)}."
            ) from error
        return _validated(np.asarray(loaded.data), np.asarray(loaded.targets), dataset, split)

    return load


SOURCES: dict[str, Callable[[str], Labelled]] = {
    "digits": _digits,
    "mnist": _torchvision("MNIST"),
    "fashion_mnist": _torchvision("FashionMNIST"),
    "cifar10": _torchvision("CIFAR10"),
}
