"""Values per row, column and matrix in Triton's kernels, against the interpreter: any number of axes, uneven sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from optc.compiler.load import load
from optc.dsl.load import rule_from_text
from optc.dsl.meaning import interpret
from optc.dsl.rule import Rule

SHAPES: tuple[tuple[int, ...], ...] = ((18, 136), (3, 5, 70), (2, 3, 5, 3), (130, 2), (1030,), ())
"""Matrices of several tiles each way, stacks of small ones, thin ones, and what is less than a matrix."""

RULES = {
    "every scope": """
        state R : per row = 0
        state C : per col = 1
        state M : per matrix = 2
        state T : per tensor = 0
        R <- 0.9*R + mean(g^2 per row)
        C <- C + sum(abs(g) per col)
        M <- max_of(g per matrix) + M/2
        T <- T + rms(theta)
        update = g/(1 + R*C)*M + T
    """,
    "reductions of reductions": """
        let r = norm(g per row)
        let c = dot(g, theta per col)
        let spread = mean(r per matrix) + max_of(c per tensor) + sum(c per matrix) + rms(r)
        update = 0.01*g*(spread + sum(mean(r per matrix) per tensor)) + mean(c per row)
    """,
    "over the model": """
        state R : per row = 0.5
        let r = mean(g^2 per row)
        R <- R + r
        update = g/(1 + mean(r per model) + max_of(R per model) + sum(rms(g) per model)) + mean(R per model)
    """,
    "numbers": """
        let a = sum(norm(g))
        let b = mean(a*2 per row) + max_of(a - 1 per model) + norm(a) + mean(a per model)
        update = b*g
    """,
    "a wide state of a narrow value": """
        state m = 0
        m <- rms(g per row)
        update = g*sum(m) + norm(m per col)
    """,
    "behind a condition": """
        state R : per row = 0 when ndim >= 2
        state m = 0           when ndim < 2
        when ndim >= 2 {
          R <- R + max_of(abs(g) per row)
          let s = R
        } else {
          m <- m + g
          let s = abs(m)
        }
        update = g/(1 + s)
    """,
    "random numbers": "update = g + noise()*mean(g per row)",
    "nothing but the largest of the lowest": "update = max_of(-g per col) + max_of(theta per row)*g",
}


def run(text: str, dtype: torch.dtype, backend: str, steps: int = 2) -> tuple[list[Any], list[Any]]:
    """Parameters after some steps: those of the kernels, and those of the interpreter."""
    rule = rule_from_text("param lr = 0.01\n" + "\n".join(line.strip() for line in text.strip().splitlines()))
    draw = np.random.default_rng(3)
    thetas = [draw.standard_normal(s) for s in SHAPES]
    params = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in thetas]
    made: Any = load(rule)(params, backend=backend)
    settings = interpret.settings(rule)
    states = [interpret.initial_states(rule, settings, x) for x in thetas]
    for t in range(1, steps + 1):
        gs = [draw.standard_normal(s) for s in SHAPES]
        for p, g in zip(params, gs, strict=True):
            p.grad = torch.tensor(g, dtype=dtype)
        made.step()
        thetas, states = interpret.step_all(rule, settings, thetas, gs, states, [t] * len(gs), noise=noise_of(rule))
    return [p.detach().double().numpy() for p in params], thetas


def noise_of(rule: Rule) -> interpret.NoiseSource:
    """The module's own random numbers: which they are is not what is judged here."""
    import sys

    module: Any = sys.modules[load(rule).__module__]

    def drawn(index: int, place: int, t: int, shape: tuple[int, ...]) -> Any:
        return module.noise(torch.zeros(shape, dtype=torch.float64), torch.tensor([0, place, t]), index).numpy()

    return drawn


@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("name", RULES)
def test_float64_is_the_interpreter(name: str, backend: str) -> None:
    for ours, expected in zip(*run(RULES[name], torch.float64, backend), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-11)


def test_values_over_all_tensors_are_those_of_every_dtype() -> None:
    """float32, bfloat16 and float64 parameters, and more than one structure: several launches, one value."""
    text = "param lr = 0.01\nlet n = norm(g per model)\nwhen ndim > 1 {\nupdate = g/n\n} else {\nupdate = sign(g)/n\n}"
    draw = torch.Generator().manual_seed(2)
    thetas = [torch.randn(s, generator=draw) for s in ((5, 4), (7,), (3,), (1100,))]
    dtypes = (torch.float32, torch.bfloat16, torch.float64, torch.float32)
    params = [x.to(dtype).requires_grad_() for x, dtype in zip(thetas, dtypes, strict=True)]
    for p in params:
        p.grad = torch.randn(p.shape, generator=draw).to(p.dtype)
    n = float(torch.sqrt(sum((p.grad.double().square().sum() for p in params), torch.zeros(()))))
    moved = [p.detach().double() - 0.01 * (p.grad if p.ndim > 1 else p.grad.sign()).double() / n for p in params]
    load(rule_from_text(text))(params, backend="triton").step()
    # a hundredth of what depends on squares of float32 numbers is added to the float64 parameter
    for p, expected, unit in zip(params, moved, (2**-24, 2**-8, 2**-24 / 100, 2**-24), strict=True):
        torch.testing.assert_close(p.detach().double(), expected, rtol=4 * unit, atol=4 * unit)
