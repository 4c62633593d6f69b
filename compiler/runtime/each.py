"""Hyperparameters that have a value for each individual of a population: as they come, and as groups keep them.

This file's text is part of the modules that `load_population` generates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Each(Tensor):
    """Numbers in float64, one for each individual, that torch's schedulers set as they set a rate that is a tensor."""

    def fill_(self, value: Any) -> Tensor:
        """Takes one number for all, or one for each."""
        with torch.no_grad():
            return self.copy_(torch.as_tensor(value))


def each(value: Any) -> Any:
    """A value as groups keep it: many numbers as a tensor of their own; switches stay a list, one value what it is.

    A tensor of float64 stays in its memory, so that who has made it can go on writing to it.
    """
    if not is_per_individual(value) or isinstance(value, Each) or any(isinstance(x, bool) for x in value):
        return value
    numbers = (
        value.detach() if isinstance(value, Tensor) else torch.tensor([float(x) for x in value], dtype=torch.float64)
    )
    return numbers.double().as_subclass(Each)


def is_per_individual(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, Tensor) and value.ndim == 1)


def plain(value: Any) -> Any:
    """A value as a `state_dict` has it, which any loader reads."""
    return value.as_subclass(Tensor) if isinstance(value, Each) else value


def values_of(value: Any, count: int, as_numbers: bool) -> list[Any]:
    """The value of each individual: numbers, or tensors that stay where they are."""
    if not is_per_individual(value):
        return [value] * count
    if isinstance(value, Tensor):
        return value.tolist() if as_numbers else list(plain(value).unbind())
    return list(value)
