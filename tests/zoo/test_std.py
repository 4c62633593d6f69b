"""The libraries that rules may use: schedules and clipping against torch's, the paper's primitives against numpy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from optc.dsl.load import rule_from_text
from optc.dsl.meaning.interpret import initial_states, settings, step, step_all

STEPS = 40


def factors(expression: str) -> list[float]:
    """What a schedule gives on the first steps: theta starts at 0 and moves by g = -1 times the step size."""
    rule = rule_from_text(f"use std.schedules\nstep_size = {expression}\nupdate = g")
    setting = settings(rule)
    return [float(step(rule, setting, np.zeros(()), -np.ones(()), {}, t)[0]) for t in range(1, STEPS + 1)]


def scheduled(make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    """The learning rates that a torch scheduler sets for the same steps, from 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    out = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer.step() in between: nothing is trained here
        scheduler = make(optimizer)
        for _ in range(STEPS):
            out.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    return out


def restarted(optimizer: torch.optim.Optimizer) -> Any:
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 7)


@pytest.mark.parametrize(
    ("expression", "make"),
    [
        ("warmup(10)", lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=9)),
        ("linear(30)", lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=30)),
        ("polynomial(30, 2)", lambda o: lr_scheduler.PolynomialLR(o, total_iters=30, power=2)),
        ("exponential(0.9)", lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        ("staircase(7, 0.5)", lambda o: lr_scheduler.StepLR(o, 7, gamma=0.5)),
        ("cosine(60)", lambda o: lr_scheduler.CosineAnnealingLR(o, 60)),
        ("cosine_to(0.2, 60)", lambda o: lr_scheduler.CosineAnnealingLR(o, 60, eta_min=0.2)),
        ("restarts(7)", restarted),
    ],
)
def test_schedules_are_torch_s(expression: str, make: Callable[[torch.optim.Optimizer], Any]) -> None:
    np.testing.assert_allclose(factors(expression), scheduled(make), rtol=1e-13, atol=1e-15)


def test_schedules_stay_where_they_ended() -> None:
    """torch's cosine climbs again after its end, so this part is held against numbers."""
    np.testing.assert_allclose(factors("cosine(30)")[30:], 0, atol=1e-16)
    np.testing.assert_allclose(factors("linear(30)")[30:], 0)
    np.testing.assert_allclose(factors("cosine_to(0.2, 30)")[30:], 0.2)


def test_inverse_sqrt_is_the_paper_s() -> None:
    """Vaswani et al. 2017, equation 3, divided by its value on step `warmup`."""
    paper = [min(t**-0.5, t * 8**-1.5) for t in range(1, STEPS + 1)]
    np.testing.assert_allclose(factors("inverse_sqrt(8)"), np.asarray(paper) / paper[7], rtol=1e-13)


def test_warmup_stable_decay() -> None:
    expected = [1 / 3, 2 / 3] + [1.0] * 24 + [0.8, 0.6, 0.4, 0.2] + [0.0] * 10
    np.testing.assert_allclose(factors("warmup_stable_decay(3, 5, 30)"), expected, atol=1e-15)


def clipped(expression: str, theta: list[np.ndarray], gs: list[np.ndarray]) -> list[np.ndarray]:
    rule = rule_from_text(f"use std.clipping\nparam lr = 1\nupdate = {expression}")
    news, _ = step_all(rule, settings(rule), theta, gs, [{}] * len(gs), [1] * len(gs))
    return [x - y for x, y in zip(theta, news, strict=True)]


@pytest.fixture
def tensors() -> tuple[list[np.ndarray], list[np.ndarray]]:
    draw = np.random.default_rng(3)
    shapes = ((3, 5), (7,), (2, 3, 4))
    return [draw.standard_normal(s) for s in shapes], [3 * draw.standard_normal(s) for s in shapes]


Tensors = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.mark.parametrize("limit", [0.5, 1000.0])
def test_norms_are_clipped_as_torch_does(tensors: Tensors, limit: float) -> None:
    params = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in tensors[1]]
    for p, g in zip(params, tensors[1], strict=True):
        p.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(params, limit)
    for x, p in zip(clipped(f"clip_norm(g, {limit})", *tensors), params, strict=True):
        np.testing.assert_allclose(x, p.grad, rtol=0, atol=1e-14)


def test_values_are_clipped_as_torch_does(tensors: Tensors) -> None:
    for x, g in zip(clipped("clip_value(g, 0.7)", *tensors), tensors[1], strict=True):
        np.testing.assert_allclose(x, np.clip(g, -0.7, 0.7), rtol=0, atol=1e-15)


def test_tensors_and_updates_are_clipped(tensors: Tensors) -> None:
    both = clipped("clip_tensor_norm(g, 2)", *tensors), clipped("clip_rms(g, 0.5)", *tensors)
    for x, y, g in zip(*both, tensors[1], strict=True):
        size = math.sqrt((g * g).sum())
        np.testing.assert_allclose(x, g * 2 / (size + 1e-6), rtol=0, atol=1e-14)
        np.testing.assert_allclose(y, g * 0.5 / (size / math.sqrt(g.size)), rtol=0, atol=1e-14)


def test_gradients_are_clipped_to_their_weights(tensors: Tensors) -> None:
    """Brock et al. 2021, equation 3, over the last axis."""
    for x, w, g in zip(clipped("clip_adaptive(g, 0.5, 1e-3)", *tensors), *tensors, strict=True):
        rows = g.reshape(-1, g.shape[-1]), w.reshape(-1, g.shape[-1])
        for row, old, weights in zip(x.reshape(rows[0].shape), *rows, strict=True):
            ratio = 0.5 * max(np.sqrt(weights @ weights), 1e-3) / np.sqrt(old @ old)
            np.testing.assert_allclose(row, old * min(1, ratio), rtol=0, atol=1e-14)


PRIMITIVES: dict[str, Callable[..., Any]] = {
    "grad(g)": lambda g, m, v: g,
    "momentum(m)": lambda g, m, v: m,
    "rms_norm(g, v, eps)": lambda g, m, v: g / (v**0.5 + 1e-3),
    "adam_term(m, v, eps)": lambda g, m, v: m / (v**0.5 + 1e-3),
    "sign_grad(g)": lambda g, m, v: np.where(g > 0, 1.0, np.where(g < 0, -1.0, 0.0)),
    "unit_grad(g, eps)": lambda g, m, v: g / (np.abs(g) + 1e-3),
    "nesterov(g, m)": lambda g, m, v: 0.1 * m + 0.9 * g,
}


@pytest.mark.parametrize("call", PRIMITIVES)
def test_primitives(call: str) -> None:
    text = "use std.primitives\nparam lr = 1\nparam eps = 1e-3\nstate m = 0\nstate v = 0\n"
    rule = rule_from_text(f"{text}m <- 0.9*m + 0.1*g\nv <- 0.99*v + 0.01*g^2\nupdate = {call}")
    draw, theta, m, v = np.random.default_rng(5), np.zeros(9), np.zeros(9), np.zeros(9)
    setting = settings(rule)
    states = initial_states(rule, setting, theta)
    for t in range(1, 51):
        g = np.where(draw.random(9) < 0.1, 0.0, draw.standard_normal(9))
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        before = theta
        theta, states = step(rule, setting, theta, g, states, t)
        np.testing.assert_allclose(before - theta, PRIMITIVES[call](g, m, v), rtol=0, atol=1e-13)
