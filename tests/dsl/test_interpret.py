"""The oracle against implementations that share no code with it: torch.optim in float64, and papers' formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from optc.dsl.load import rule_from_text, zoo
from optc.dsl.meaning.interpret import initial_states, settings, state_shape, step, step_all
from optc.dsl.rule import Rule

SHAPES = [(5, 7), (9,), (), (2, 3, 4), (0, 3)]
STEPS = 100
Numbers = np.ndarray[Any, np.dtype[np.float64]]


def trajectory(rule: Rule, shape: tuple[int, ...], given: dict[str, Any]) -> tuple[list[Numbers], list[Numbers]]:
    """(theta before the first and after each step, gradients), both random but for what the rule does."""
    rng = np.random.default_rng(7)
    theta = rng.normal(size=shape)
    setting = settings(rule, **given)
    states = initial_states(rule, setting, theta)
    thetas, gradients = [theta], []
    for t in range(1, STEPS + 1):
        gradients.append(rng.normal(size=shape))
        theta, states = step(rule, setting, theta, gradients[-1], states, t)
        thetas.append(theta)
    return thetas, gradients


O = torch.optim  # noqa: E741
AGAINST_TORCH: dict[str, tuple[dict[str, Any], Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": (
        {"wd": 0.1, "mu": 0.9, "dampening": 0.3},
        lambda p: O.SGD(p, lr=1e-3, momentum=0.9, dampening=0.3, weight_decay=0.1),
    ),
    "nesterov": ({"wd": 0.1}, lambda p: O.SGD(p, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.1)),
    "adam": ({"wd": 0.1, "beta1": 0.8}, lambda p: O.Adam(p, betas=(0.8, 0.999), weight_decay=0.1)),
    "adamw": ({"wd": 0.1, "lr": 0.1}, lambda p: O.AdamW(p, lr=0.1, weight_decay=0.1)),
    "rmsprop": ({"wd": 0.1}, lambda p: O.RMSprop(p, weight_decay=0.1)),
    "adagrad": (
        {"lr_decay": 0.1, "initial": 0.2, "wd": 0.1},
        lambda p: O.Adagrad(p, lr_decay=0.1, initial_accumulator_value=0.2, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_torch(name: str, shape: tuple[int, ...]) -> None:
    given, make = AGAINST_TORCH[name]
    thetas, gradients = trajectory(zoo(name), shape, given)
    parameter = torch.tensor(thetas[0], requires_grad=True)
    optimizer = make([parameter])
    for theta, gradient in zip(thetas[1:], gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        # 100 steps of float64 arithmetic in another order: a few units in the last place of the largest theta.
        np.testing.assert_allclose(theta, parameter.detach().numpy(), rtol=0, atol=2e-14)


def lion(theta: Numbers, gradients: list[Numbers], lr: float, b1: float, b2: float, wd: float) -> list[Numbers]:
    """Chen et al., 2023, Program 1."""
    out, m = [], np.zeros_like(theta)
    for g in gradients:
        direction = np.sign(m * b1 + g * (1 - b1))
        m = m * b2 + g * (1 - b2)
        theta = theta - lr * (direction + theta * wd)
        out.append(theta)
    return out


def signum(theta: Numbers, gradients: list[Numbers], lr: float, beta: float, wd: float) -> list[Numbers]:
    """Bernstein et al., 2018, Algorithm 2."""
    out, m = [], np.zeros_like(theta)
    for g in gradients:
        m = beta * m + (1 - beta) * g
        theta = (1 - lr * wd) * theta - lr * np.sign(m)
        out.append(theta)
    return out


def evolved(theta: Numbers, gradients: list[Numbers], total: int, warmup: int) -> list[Numbers]:
    """arXiv:2512.11853: decay first, then the averages, then the scheduled step; s counts from 0."""
    out, m, v = [], np.zeros_like(theta), np.zeros_like(theta)
    for s, g in enumerate(gradients):
        lr = 1.2025e-3 * ((s + 1) / warmup if s < warmup else 1.0) * 0.5 * (1 + np.cos(np.pi * s / total))
        theta = theta * (1 - lr * 9.745e-4)
        m = 0.8553 * m + (1 - 0.8553) * g
        v = 0.9358 * v + (1 - 0.9358) * g * g
        theta = theta - lr * (0.7345 * np.sign(g) + 3.6352 * m / (np.sqrt(v) + 5.4425e-9))
        out.append(theta)
    return out


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_papers(shape: tuple[int, ...]) -> None:
    cases = {
        "lion": ({"wd": 0.1}, lambda x, gs: lion(x, gs, 1e-4, 0.9, 0.99, 0.1)),
        "signum": ({"wd": 0.1}, lambda x, gs: signum(x, gs, 1e-4, 0.9, 0.1)),
        "evolved": ({"total": 80, "warmup": 10}, lambda x, gs: evolved(x, gs, 80, 10)),
    }
    for name, (given, reference) in cases.items():
        thetas, gradients = trajectory(zoo(name), shape, given)
        for theta, expected in zip(thetas[1:], reference(thetas[0], gradients), strict=True):
            np.testing.assert_allclose(theta, expected, rtol=0, atol=2e-14)


def test_per_model_sees_every_tensor() -> None:
    rule = rule_from_text("param lr = 1\nupdate = g/norm(g per model)")
    gs = [np.array([3.0]), np.array([[4.0, 0.0]])]
    thetas, _ = step_all(rule, settings(rule), [np.zeros(1), np.zeros((1, 2))], gs, [{}, {}], [1, 1])
    np.testing.assert_array_equal(thetas[0], [-0.6])
    np.testing.assert_array_equal(thetas[1], [[-0.8, 0.0]])


def test_textual_order_is_time_order() -> None:
    text = "param lr = 1\nstate m = 1\nlet old = m\nm <- m + g\nupdate = 100*old + 10*m + prev(m)"
    rule = rule_from_text(text)
    theta, states = step(rule, settings(rule), np.zeros(1), np.array([2.0]), {"m": np.ones(1)}, 1)
    assert theta == -(100 * 1 + 10 * 3 + 1)
    assert states["m"] == 3


def test_theta_is_the_value_at_the_start_of_the_step() -> None:
    rule = rule_from_text("state s = 0\ntheta <- theta - g\ns <- theta")
    theta, states = step(rule, settings(rule), np.array([5.0]), np.array([2.0]), {"s": np.zeros(1)}, 1)
    assert theta == 3
    assert states["s"] == 5


@pytest.mark.parametrize(
    ("scope", "shape", "expected"),
    [
        ("row", (2, 3, 4), (2, 3, 1)), ("col", (2, 3, 4), (2, 1, 4)), ("matrix", (2, 3, 4), (2, 1, 1)),
        ("row", (4,), (1,)), ("col", (4,), (4,)), ("matrix", (4,), (1,)), ("row", (), ()), ("col", (), ()),
        ("tensor", (2, 3), ()), ("model", (2, 3), ()), ("element", (2, 3), (2, 3)),
    ],
)  # fmt: skip
def test_state_shapes(scope: Any, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert state_shape(scope, shape) == expected


def test_settings_are_checked() -> None:
    rule = zoo("evolved")
    with pytest.raises(TypeError, match="total"):
        settings(rule)
    with pytest.raises(TypeError, match="warmpu"):
        settings(rule, warmpu=3)
    with pytest.raises(ValueError, match=r"Invalid beta1 value: 1\.0"):
        settings(rule, total=10, beta1=1.0)
    with pytest.raises(ValueError, match="Invalid lr value: nan"):
        settings(rule, total=10, lr=float("nan"))


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -2.5, 5e-324, 1e308])


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("sign(g)", np.sign),
        ("max(g, 0)", lambda x: np.where(np.isnan(x), x, np.where(x > 0, x, 0.0))),
        ("clip(g, -1, 1)", lambda x: np.where(np.isnan(x), x, np.minimum(np.maximum(x, -1), 1))),
        ("where(g > 0, 1, 2)", lambda x: np.array([1.0 if v > 0 else 2.0 for v in x])),
        ("where(g == g, 1, 0/g)", lambda x: np.array([1.0 if v == v else np.nan for v in x])),
        ("cbrt(g)", np.cbrt),
        ("g mod 3", lambda x: np.array([math.fmod(v, 3) + 3 * (v < 0) if np.isfinite(v) else np.nan for v in x])),
        ("g^0.5", np.sqrt),
    ],
)
def test_special_values(text: str, reference: Callable[[Numbers], Numbers]) -> None:
    rule = rule_from_text(text)
    setting = settings(rule, lr=1.0)
    theta, _ = step(rule, setting, np.zeros(len(SPECIAL)), SPECIAL, {}, 1)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(-theta, reference(SPECIAL))


def test_a_count_without_a_bound_of_its_own_gets_one() -> None:
    rule = rule_from_text("param lr = 1\nparam n : int = 3\nvar x = g\nrepeat n { x <- 2*x }\nupdate = x")
    theta, _ = step(rule, settings(rule), np.zeros(1), np.ones(1), {}, 1)
    assert theta == -8
    with pytest.raises(ValueError, match="Invalid n value: 101"):
        settings(rule, n=101)
