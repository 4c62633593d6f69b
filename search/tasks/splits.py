"""A number of examples to which of them are learnt from, which score a rule, and which choose among the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..seeds import generator

Indices = npt.NDArray[np.int64]
Part = Literal["search", "selection"]
"""The training data that scores a rule, or that which chooses among the best."""
Judged = Part | Literal["test"]
"""What measures accuracy."""

TRAIN_FRACTION, SEARCH_FRACTION = 0.8, 0.1


@dataclass(frozen=True)
class Splits:
    """Which examples are learnt from, which score a rule, and which choose among the best; all disjoint."""

    train: Indices
    search: Indices
    selection: Indices


def split(count: int, seed: int, train_images: int = 0, validation_images: int = 0) -> Splits:
    """`count` examples cut 80 : 10 : 10 in an order that the seed gives; a limit of 0 keeps a part whole."""
    order = generator(seed, "split", count).permutation(count)
    first, second = int(count * TRAIN_FRACTION), int(count * (TRAIN_FRACTION + SEARCH_FRACTION))
    train, search, selection = order[:first], order[first:second], order[second:]
    return Splits(train[: train_images or None], search[: validation_images or None], selection)
