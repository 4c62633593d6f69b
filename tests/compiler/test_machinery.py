"""Gradients through a step, scaled and compiled steps, and steps that fail: as with torch's optimizers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.dsl.load import rule_from_text

from .optimizers import SGD, AdamW, parameter, steps


def test_a_differentiable_step_passes_gradients_on() -> None:
    """Through two steps: to the parameter, the gradients and the state."""

    def twice(x: Tensor, g: Tensor, h: Tensor, m: Tensor) -> Tensor:
        p = x.clone()
        optimizer = AdamW([p], lr=0.1, wd=0.5, differentiable=True)
        optimizer.state[p].update({"step": torch.tensor(1.0), "m": m.clone(), "v": torch.ones_like(x)})
        for gradient in (g, h):
            p.grad = gradient
            optimizer.step()
        return p

    draw = torch.Generator().manual_seed(0)
    given = [torch.randn(3, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(twice, given)


def test_a_scaled_step_with_an_infinite_gradient_is_skipped_whole() -> None:
    p = parameter(3)
    optimizer = AdamW([p])
    optimizer.step()
    before, state = p.detach().clone(), {k: v.clone() for k, v in optimizer.state[p].items()}
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale((p * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(p, before)
    assert all(torch.equal(state[k], v) for k, v in optimizer.state[p].items())
    p.grad = None
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    assert optimizer.state[p]["step"] == 2


@pytest.mark.parametrize("shape", [(), (5,), (200, 300)])
def test_a_compiled_step_is_the_eager_one(shape: tuple[int, ...]) -> None:
    """A contraction of a product and a sum may save one rounding, 6e-8, a step."""
    p, q = parameter(*shape), parameter(*shape)
    steps(AdamW([p], lr=0.1, compile=True))
    steps(AdamW([q], lr=0.1))
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_a_compiled_step_compiles_once() -> None:
    """Not again for another step, rate, size or group: sizes and numbers are inputs of its graph."""
    rule: Any = load(rule_from_text("param lr = 0.1\nparam k = 1\nstate m = 0\nm <- m/(1 + t) + k*g\nupdate = m"))
    optimizer = rule([parameter(40, 50)], compile=True)
    steps(optimizer, 2)
    optimizer.add_param_group({"params": [parameter(2000, seed=1)], "k": 3.0})
    steps(optimizer, 1)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    optimizer.param_groups[0].update(lr=0.5, k=2.0)
    optimizer.add_param_group({"params": [parameter(30, 30)], "k": 5.0})
    steps(optimizer, 2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before


def test_a_structural_setting_may_change_between_steps() -> None:
    """The state that it brings along appears, and leaves the others alone."""
    text = "param lr = 0.1\nparam mu = 0 in [0, 1)\nstate b = 0 when mu > 0\n"
    rule: Any = load(rule_from_text(text + "when mu > 0 { b <- mu*b + g\nlet u = b } else { let u = g }\nupdate = u"))
    p = nn.Parameter(torch.zeros(1))
    p.grad = torch.ones(1)
    optimizer = rule([p])
    optimizer.step()
    assert {*optimizer.state[p]} == {"step"}
    optimizer.param_groups[0]["mu"] = 0.5
    steps(optimizer, 2)
    torch.testing.assert_close(p.detach(), torch.tensor([-0.1 * (1 + 1 + 1.5)]))


def test_a_step_that_fails_counts_nothing() -> None:
    p, q = parameter(2), nn.Parameter(torch.zeros(4, 2))
    q.grad = torch.ones(4, 2).to_sparse()
    optimizer = AdamW([p, q])
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()
    assert optimizer.state[p]["step"] == 0


def test_states_put_in_place_by_hand_are_used() -> None:
    p, q = parameter(2), parameter(2)
    a, b = SGD([p], lr=0.1, momentum=0.9), SGD([q], lr=0.1, momentum=0.9)
    steps(a, 2)
    steps(b, 2)
    a.state[p]["b"] = torch.full((2,), 7.0)
    b.state[q]["b"].fill_(7.0)
    steps(a)
    steps(b)
    assert torch.equal(p, q)
