"""What each rule of the zoo must equal, in float64: torch's own optimizer, or the paper's formula in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Groups = list[dict[str, Any]]


class Formula(torch.optim.Optimizer):
    """A paper's formula as an optimizer: `formula(theta, g, states, t, group) -> theta`, on numpy arrays."""

    formula: Callable[..., Any]

    def __init__(self, params: Any, **defaults: Any) -> None:
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["t"] = state.get("t", 0) + 1
                new = type(self).formula(p.numpy(), p.grad.numpy(), state, state["t"], group)
                p.copy_(torch.as_tensor(new))


def average(state: dict[str, Any], name: str, beta: float, x: Any) -> Any:
    state[name] = beta * state.get(name, np.zeros_like(x)) + (1 - beta) * x
    return state[name]


class Lion(Formula):
    """Chen et al. 2023, Program 1."""

    @staticmethod
    def formula(theta: Any, g: Any, s: dict[str, Any], t: int, h: dict[str, Any]) -> Any:
        m = s.get("m", np.zeros_like(g))
        direction = np.sign(h["beta1"] * m + (1 - h["beta1"]) * g) + h["wd"] * theta
        average(s, "m", h["beta2"], g)
        return theta - h["lr"] * direction


class Signum(Formula):
    """Bernstein et al. 2018, Algorithm 2, with decoupled decay."""

    @staticmethod
    def formula(theta: Any, g: Any, s: dict[str, Any], t: int, h: dict[str, Any]) -> Any:
        return theta - h["lr"] * (np.sign(average(s, "m", h["beta"], g)) + h["wd"] * theta)


class Evolved(Formula):
    """arXiv:2512.11853: decay first, then sign and Adam terms under warmup and cosine; s counts from 0."""

    @staticmethod
    def formula(theta: Any, g: Any, s: dict[str, Any], t: int, h: dict[str, Any]) -> Any:
        step = t - 1
        lr = h["lr"] * ((step + 1) / h["warmup"] if step < h["warmup"] else 1)
        lr *= 0.5 * (1 + np.cos(np.pi * step / h["total"]))
        m, v = average(s, "m", h["beta1"], g), average(s, "v", h["beta2"], g * g)
        terms = h["a_sign"] * np.sign(g) + h["a_adam"] * m / (np.sqrt(v) + h["eps"])
        return theta * (1 - lr * h["wd"]) - lr * terms


@dataclass(frozen=True)
class Row:
    """One rule of the zoo: its settings, the reference's class, and the reference's names for the same settings."""

    rule: str
    reference: type[torch.optim.Optimizer]
    settings: dict[str, Any]
    as_given: dict[str, Any] | None = None
    other_lr: float = 3e-3

    def expected(self, params: Any) -> torch.optim.Optimizer:
        return self.reference(params, **(self.settings if self.as_given is None else self.as_given))  # type: ignore[call-arg]


ADAM = {"lr": 1e-2, "beta1": 0.8, "beta2": 0.95, "eps": 1e-7, "wd": 0.1}
AS_ADAM = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-7, "weight_decay": 0.1}
EVOLVED = {"lr": 1e-2, "beta1": 0.8553, "beta2": 0.9358, "eps": 5.4425e-9, "wd": 9.745e-4}
EVOLVED |= {"a_sign": 0.7345, "a_adam": 3.6352, "warmup": 30, "total": 100}

ZOO = (
    Row(
        "sgd",
        torch.optim.SGD,
        {"lr": 1e-2, "mu": 0.9, "dampening": 0.1, "wd": 0.01},
        {"lr": 1e-2, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01},
    ),
    Row(
        "nesterov",
        torch.optim.SGD,
        {"lr": 1e-2, "mu": 0.9, "wd": 0.01},
        {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    ),
    Row("adam", torch.optim.Adam, ADAM, AS_ADAM),
    Row("adamw", torch.optim.AdamW, ADAM, AS_ADAM),
    Row(
        "rmsprop",
        torch.optim.RMSprop,
        {"lr": 1e-2, "alpha": 0.9, "eps": 1e-7, "wd": 0.01},
        {"lr": 1e-2, "alpha": 0.9, "eps": 1e-7, "weight_decay": 0.01},
    ),
    Row(
        "adagrad",
        torch.optim.Adagrad,
        {"lr": 1e-1, "lr_decay": 0.01, "initial": 0.1, "eps": 1e-9, "wd": 0.01},
        {"lr": 1e-1, "lr_decay": 0.01, "initial_accumulator_value": 0.1, "eps": 1e-9, "weight_decay": 0.01},
    ),
    Row("lion", Lion, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.99, "wd": 0.1}),
    Row("signum", Signum, {"lr": 1e-3, "beta": 0.9, "wd": 0.1}),
    Row("evolved", Evolved, EVOLVED),
)

SHAPES: tuple[tuple[int, ...], ...] = ((3, 11), (0,), (1030,))


@dataclass
class Trajectory:
    """Parameters in two groups with gradients that depend on the step alone, so that errors do not feed back."""

    dtype: torch.dtype
    shapes: Sequence[tuple[int, ...]] = SHAPES
    params: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        starts = [torch.randn(s, generator=draw, dtype=torch.float64) for s in self.shapes]
        self.params = [x.to(torch.bfloat16).to(self.dtype).requires_grad_() for x in starts]

    def groups(self, other_lr: float) -> Groups:
        half = len(self.params) // 2
        return [{"params": self.params[:half]}, {"params": self.params[half:], "lr": other_lr}]

    def set_gradients(self, step: int) -> None:
        draw = torch.Generator().manual_seed(step + 1)
        for p in self.params:
            g = torch.randn(p.shape, generator=draw, dtype=torch.float64)
            p.grad = g.to(torch.bfloat16).to(self.dtype)
