"""The rules that are PyTorch's own algorithms, PyTorch's inputs for each, and a small training of them.

`torch.testing._internal.common_optimizers` has the inputs.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.testing._internal import common_optimizers as common
from torch.testing._internal.common_utils import TestCase

from optc.compiler.load import load
from optc.dsl.load import zoo

RULES = {
    "Adadelta": "adadelta",
    "Adafactor": "adafactor",
    "Adagrad": "adagrad",
    "Adam": "adam",
    "Adamax": "adamax",
    "AdamW": "adamw",
    "ASGD": "asgd",
    "Muon": "muon",
    "NAdam": "nadam",
    "RAdam": "radam",
    "RMSprop": "rmsprop",
    "Rprop": "rprop",
    "SGD": "sgd",
}
INFOS = [info for info in common.optim_db if info.optim_cls.__name__ in RULES]
FUSED = [info for info in INFOS if "fused" in info.supported_impls]
every = pytest.mark.parametrize("info", INFOS, ids=lambda info: info.optim_cls.__name__)
equal = TestCase().assertEqual
"""As PyTorch's own checks compare, state_dicts too."""


@functools.cache
def ours(name: str) -> Any:
    return load(zoo(RULES[name]))


def given(info: Any, *skip: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Our class with each of PyTorch's inputs, ways of running included."""
    cls = ours(info.optim_cls.__name__)
    inputs = common._get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float32, info, skip=skip)
    yield from ((cls, each.kwargs) for each in inputs)


def named(params: list[Any], names: bool) -> list[Any]:
    return [(f"name{i}", p) for i, p in enumerate(params)] if names else params


def unnamed(state_dict: dict[str, Any]) -> dict[str, Any]:
    out = copy.deepcopy(state_dict)
    for group in out["param_groups"]:
        group.pop("param_names", None)
    return out


def layer(contiguous: bool = True, dtype: torch.dtype = torch.float32) -> tuple[nn.Parameter, nn.Parameter, Tensor]:
    """A weight, a bias and an input."""
    if contiguous:
        return nn.Parameter(torch.randn(10, 5, dtype=dtype)), nn.Parameter(torch.randn(10, dtype=dtype)), torch.randn(5)
    weight, bias = torch.randn(10, 5, 2, dtype=dtype)[..., 0], torch.randn(10, 2, dtype=dtype)[..., 0]
    return nn.Parameter(weight), nn.Parameter(bias), torch.randn(5)


def stepped(optimizer: Any, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """The loss before a step."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight.mv(x) + bias).pow(2).sum()
        loss.backward()
        return loss.detach()

    return optimizer.step(closure)  # type: ignore[no-any-return]


def advance(schedulers: list[Any], loss: Tensor) -> None:
    for scheduler in schedulers:
        scheduler.step(*([loss] if isinstance(scheduler, ReduceLROnPlateau) else []))
