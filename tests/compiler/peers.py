"""Rules and the optimizers of torch's that they are, and parameters and gradients that depend on a seed alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.dsl.load import zoo

OPTIMIZERS: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "adam": (load(zoo("adam")), torch.optim.Adam, {}, {}),
    "adamw": (load(zoo("adamw")), torch.optim.AdamW, {}, {}),
    "nadam": (load(zoo("nadam")), torch.optim.NAdam, {}, {"lr": 1e-3}),
    "radam": (load(zoo("radam")), torch.optim.RAdam, {}, {"lr": 1e-3}),
    "adamax": (load(zoo("adamax")), torch.optim.Adamax, {}, {"lr": 1e-3}),
    "adagrad": (load(zoo("adagrad")), torch.optim.Adagrad, {}, {"lr": 1e-2}),
    "adadelta": (load(zoo("adadelta")), torch.optim.Adadelta, {}, {"lr": 1.0}),
    "rmsprop": (load(zoo("rmsprop")), torch.optim.RMSprop, {"momentum": 0.5}, {"lr": 1e-2, "momentum": 0.5}),
    "rprop": (load(zoo("rprop")), torch.optim.Rprop, {}, {"lr": 1e-2}),
    "sgd": (load(zoo("sgd")), torch.optim.SGD, {"mu": 0.9}, {"momentum": 0.9}),
}
"""The rule's class, torch's, and what each is given besides the common settings."""

NAMES = list(OPTIMIZERS)


def made(name: str, params: Any, **given: Any) -> Any:
    cls, _, own, common = OPTIMIZERS[name]
    return cls(params, **{**({"lr": common["lr"]} if "lr" in common else {"lr": 1e-3}), **own, **given})


def reference(name: str, params: Any, **given: Any) -> Any:
    _, cls, _, common = OPTIMIZERS[name]
    return cls(params, **{"lr": 1e-3, **common, **given})


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def parameters(dtype: torch.dtype = torch.float64, shapes: Iterable[tuple[int, ...]] = ((3, 4), (5,), ())) -> list[Any]:
    return [nn.Parameter(drawn(*shape, seed=i, dtype=dtype)) for i, shape in enumerate(shapes)]


def run(optimizer: Any, steps: int = 4, first: int = 0) -> None:
    """Steps on gradients that depend on the place and the step alone."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step in range(first, first + steps):
        for i, p in enumerate(params):
            p.grad = drawn(*p.shape, seed=100 * step + i, dtype=p.dtype)
        optimizer.step()


ROUNDED = {"nadam": 1e-6}
"""How far references are off that keep a number in float32: NAdam's product of momenta."""


def equal(xs: Iterable[Tensor], ys: Iterable[Tensor], exact: bool = True, name: str = "") -> None:
    for x, y in zip(xs, ys, strict=True):
        if exact:
            assert torch.equal(x, y)
        else:
            torch.testing.assert_close(
                x, y, rtol=ROUNDED.get(name, 1e-10), atol=ROUNDED.get(name, 1e-10) / 100, equal_nan=True
            )
