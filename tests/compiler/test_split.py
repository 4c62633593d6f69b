"""Rules with matrix operations between fused kernels, against the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from optc.compiler.emit.triton import refusal
from optc.compiler.load import load
from optc.compiler.plan.lower import lower
from optc.dsl.load import rule_from_text
from optc.dsl.meaning import interpret

SHAPES: tuple[tuple[int, ...], ...] = ((4, 4), (5, 3), (4, 4), (2, 3, 4), (1, 6), (7,), ())
"""Two share a shape, and so a product of stacked matrices."""

RULES = {
    "between": """
        state b = 0
        b <- 0.9*b + g
        let X = b/(1 + norm(b))
        let Y = X @ X.T @ X - 2*X
        update = Y*(1 + norm(Y)) + theta
        decay = 0.1
    """,
    "old and new": """
        state m = 0
        let before = (m @ g.T) @ g
        m <- 0.5*m + g
        let after = (m @ g.T) @ m
        update = before + after + prev(m) + m
    """,
    "states of matrices": """
        state L : per row_pair = 0
        state n : per tensor = 1
        state v = 0
        L <- 0.9*L + g @ g.T
        n <- n/2 + norm(L)
        v <- v + square(L @ g)/n
        update = g/(1 + sqrt(v)) + (L @ theta)/n
    """,
    "behind conditions": """
        param rounds : int = 2 in [0, 5]
        state s = 0 when rows > 3
        when rows > cols {
          var Y = g.T
          repeat rounds { Y <- Y - 0.1*(Y @ Y.T) @ Y }
          let X = Y.T
        } else {
          let X = g @ (g.T @ g)
        }
        when rows > 3 {
          s <- s + X
          update = s
        } else {
          update = X
        }
    """,
    "a parameter that is a product": """
        let d = dot(g, g)
        theta <- theta @ (theta.T @ theta)/(1 + d) + 0*prev(m)
        state m = 0
        m <- m + g
    """,
    "a product behind a condition": """
        when rows > 3 {
          theta <- theta @ (g.T @ g)
        } else {
          theta <- theta - lr*g
        }
    """,
    "made in one arm for its product": """
        var u = g
        when cols > rows {
          let w = 2*g/(1 + norm(g per matrix))
          when rows < 4 { u <- w @ g.T @ w } else { u <- w }
        }
        update = u/(1 + norm(u))
    """,
    "rows and matrices": """
        state R : per row = 0
        R <- R + mean(g^2 per row)
        let P = (g/sqrt(R + 1)) @ g.T
        update = P @ g + max_of(P) + mean(g per col)*norm(g per model)
    """,
}


def rule_of(text: str) -> Any:
    return rule_from_text("param lr = 0.01\n" + "\n".join(line.strip() for line in text.strip().splitlines()))


@pytest.mark.parametrize("name", RULES)
def test_float64_is_the_interpreter(name: str) -> None:
    rule = rule_of(RULES[name])
    draw = np.random.default_rng(4)
    settings = interpret.settings(rule)
    thetas = [draw.standard_normal(s) for s in SHAPES]
    states = [interpret.initial_states(rule, settings, x) for x in thetas]
    params = [torch.tensor(x, requires_grad=True) for x in thetas]
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.02}]
    made: Any = load(rule)(groups, backend="triton")
    for t in range(1, 4):
        gs = [draw.standard_normal(s) for s in SHAPES]
        for p, g in zip(params, gs, strict=True):
            p.grad = torch.tensor(g)
        made.step()
        thetas, states = both(rule, settings, thetas, gs, states, t)
    for p, x in zip(params, thetas, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-11, atol=1e-11)
    for p, kept in zip(params, states, strict=True):
        for key, value in kept.items():
            np.testing.assert_allclose(made.state[p][key].numpy(), value, rtol=1e-11, atol=1e-11)


def both(rule: Any, settings: Any, thetas: Any, gs: Any, states: Any, t: int) -> tuple[list[Any], list[Any]]:
    """A step of both groups, the second at twice the rate."""
    rates = [settings["lr"]] * 2 + [0.02] * (len(thetas) - 2)
    out = []
    for rate in dict.fromkeys(rates):
        step = interpret.step_all(rule, {**settings, "lr": rate}, thetas, gs, states, [t] * len(gs))
        out.append(list(zip(*step, strict=True)))
    chosen = [out[rate == 0.02][i] for i, rate in enumerate(rates)]
    return [x for x, _ in chosen], [s for _, s in chosen]


def test_matrices_of_one_shape_are_one_product() -> None:
    rule = rule_of("update = (g @ g.T) @ g")
    params = [torch.randn(6, 4, requires_grad=True) for _ in range(5)]
    for p in params:
        p.grad = torch.randn(6, 4)
    made: Any = load(rule)(params, backend="triton")
    with torch.profiler.profile() as profile:
        made.step()
    calls = {event.key: event.count for event in profile.key_averages()}
    assert calls["aten::bmm"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "let P = g @ g.T\nupdate = (P/(1 + norm(P per model))) @ g",
            "values over all tensors among matrix operations",
        ),
        ("update = sign(g @ g.T + noise() @ g.T) @ g", "random numbers among matrix operations"),
    ],
)
def test_what_does_not_come_apart_is_refused_in_words(text: str, words: str) -> None:
    assert words in (refusal(lower(rule_of(text))) or "")
