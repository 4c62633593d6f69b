"""A data set's name to its examples: from `$OPTC_DATA`, from scikit-learn, or downloaded by torchvision.

The test split has a reader of its own, so that nothing that scores a rule can reach it by accident.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .characters import characters
from .data import Array, DataError, Examples, Form, data_folder

KEYS = ("x_train", "y_train", "x_test", "y_test")
TEST_FRACTION = 0.2
"""What is set aside as the test split of a data set that has none of its own."""
TEST_SPLIT_SEED = 8

Arrays = tuple[Array, Array]
Source = Callable[[str], Arrays]
"""`train` or `test` to (inputs, targets). Raises DataError."""


def training_examples(name: str, form: Form) -> Examples:
    """The official training split. Raises DataError."""
    return _examples(name, form, "train")


def test_examples(name: str, form: Form) -> Examples:
    """The official test split: for the final figures alone. Raises DataError."""
    return _examples(name, form, "test")


def _examples(name: str, form: Form, split: str) -> Examples:
    archive, text = (data_folder() / f"{name}.{suffix}" for suffix in ("npz", "txt"))
    if archive.exists():
        return form(*_from_npz(archive, split), str(archive), split)
    if text.exists():
        return form(*characters(text, split), str(text), split)
    if name not in SOURCES:
        raise DataError(f"there is no data set `{name}`: put {archive} there, or choose one of {', '.join(SOURCES)}")
    return form(*SOURCES[name](split), name, split)


def _from_npz(path: Path, split: str) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                raise DataError(f"{path} lacks {', '.join(missing)}; it must hold {', '.join(KEYS)}")
            return archive[f"x_{split}"], archive[f"y_{split}"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz archive ({error})") from error


def inputs_of(path: Path) -> Array:
    """The training inputs of an archive. Raises DataError."""
    return _from_npz(path, "train")[0]


def _sklearn(dataset: str) -> Source:
    """A data set that scikit-learn carries along, a fifth of it set aside as the test split."""

    def load(split: str) -> Arrays:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{dataset}")()
        inputs = (bunch.images * (255 / 16)).round().astype(np.uint8) if dataset == "digits" else bunch.data
        order = np.random.default_rng(TEST_SPLIT_SEED).permutation(len(inputs))
        cut = int(len(inputs) * TEST_FRACTION)
        chosen = order[:cut] if split == "test" else order[cut:]
        return inputs[chosen], bunch.target[chosen]

    return load


def _torchvision(dataset: str) -> Source:
    def load(split: str) -> Arrays:
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
        return np.asarray(loaded.data), np.asarray(loaded.targets)

    return load


def _shakespeare(split: str) -> Arrays:
    path = data_folder() / "tinyshakespeare.txt"
    raise DataError(
        f"{path} is not there. It is data/tinyshakespeare/input.txt of github.com/karpathy/char-rnn (1.1 MB): "
        f"save it under that name, or set OPTC_DATA to the folder that has it. Any other text is a task too: "
        f"put NAME.txt there, and NAME among the tasks."
    )


SOURCES: dict[str, Source] = {
    "digits": _sklearn("digits"),
    "mnist": _torchvision("MNIST"),
    "fashion_mnist": _torchvision("FashionMNIST"),
    "cifar10": _torchvision("CIFAR10"),
    "breast_cancer": _sklearn("breast_cancer"),
    "wine": _sklearn("wine"),
    "diabetes": _sklearn("diabetes"),
    "tinyshakespeare": _shakespeare,
}
