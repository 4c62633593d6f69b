"""A generated optimizer where people use torch's: construction, groups, and what a step does and leaves alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.dsl.load import rule_from_text

from .optimizers import BACKENDS, SGD, AdamW, Evolved, parameter, steps

# ---------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, r"Invalid learning rate: -1.0; lr must be in \[0, inf\)"),
        ({"beta1": 1.5}, r"Invalid beta1 value: 1.5; beta1 must be in \[0, 1\)"),
        ({"eps": float("nan")}, r"Invalid epsilon value: nan"),
        ({"wd": float("inf")}, r"Invalid wd value: inf"),
        ({"lr": torch.tensor([1e-3, 1e-3])}, "Tensor lr must be 1-element"),
        ({"backend": "numpy"}, "Invalid backend value: 'numpy'"),
    ],
)
def test_a_setting_outside_its_interval_is_a_value_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdamW([parameter(2)], **settings)


def test_a_setting_that_is_no_number_or_no_setting_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="Invalid learning rate: 'fast'"):
        AdamW([parameter(2)], lr="fast")
    with pytest.raises(TypeError, match="nesterov"):
        AdamW([parameter(2)], nesterov=True)


def test_a_required_setting_may_come_from_the_group() -> None:
    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter total"):
        Evolved([parameter(2)])
    Evolved([{"params": [parameter(2)], "total": 10}])
    with pytest.raises(ValueError, match=r"Invalid total value: 10.5; it must be a whole number"):
        Evolved([parameter(2)], total=10.5)


def test_an_invalid_group_is_not_added() -> None:
    optimizer = AdamW([parameter(2)])
    with pytest.raises(ValueError, match="Invalid beta2"):
        optimizer.add_param_group({"params": [parameter(3)], "beta2": 2.0})
    assert len(optimizer.param_groups) == 1


def test_foreach_and_fused_exclude_each_other() -> None:
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        AdamW([parameter(2)], foreach=True, fused=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        AdamW([parameter(2)], fused=True, differentiable=True)


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_keep_their_own_settings(backend: str) -> None:
    p, q = parameter(3), parameter(3)
    SGD([{"params": [p]}, {"params": [q], "lr": 2e-3, "mu": 0.0}], lr=1e-3, backend=backend).step()
    start = parameter(3)
    torch.testing.assert_close(start - p, 1e-3 * start.grad)
    torch.testing.assert_close(start - q, 2e-3 * start.grad)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_group_added_later_counts_its_own_steps(backend: str) -> None:
    p, q, alone = parameter(3), parameter(3, seed=1), parameter(3, seed=1)
    optimizer, other = AdamW([p], backend=backend), AdamW([alone], backend=backend)
    steps(optimizer, 2)
    optimizer.add_param_group({"params": [q]})
    steps(optimizer, 2)
    steps(other, 2)
    assert torch.equal(q, alone)
    assert optimizer.state[p]["step"] == 4
    assert optimizer.state[q]["step"] == 2
    assert optimizer.state[q]["step"].dtype == torch.float32


def test_a_parameter_without_a_gradient_stays_and_is_not_counted() -> None:
    p, q = parameter(3), parameter(3, seed=1)
    q.grad = None
    before = q.detach().clone()
    optimizer = AdamW([p, q])
    steps(optimizer)
    assert torch.equal(q, before)
    assert q not in optimizer.state
    q.grad = torch.ones(3)
    alone = nn.Parameter(before.clone())
    alone.grad = torch.ones(3)
    optimizer.step()
    AdamW([alone]).step()
    assert torch.equal(q, alone)


def test_a_closure_runs_with_gradients_and_its_loss_comes_back() -> None:
    p = nn.Parameter(torch.tensor([2.0]))
    optimizer = SGD([p], lr=0.1, mu=0.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 4.0
    torch.testing.assert_close(p.detach(), torch.tensor([1.6]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_maximize_ascends(backend: str) -> None:
    p, q = parameter(5), parameter(5)
    q.grad = -q.grad
    steps(AdamW([p], maximize=True, backend=backend))
    steps(AdamW([q], backend=backend))
    assert torch.equal(p, q)


def test_the_gradient_is_left_alone() -> None:
    rule = load(rule_from_text("param lr = 1e-3\ng <- 2*g\nupdate = g"))
    p = parameter(4)
    before = p.grad.clone()
    rule([p], maximize=True).step()
    assert torch.equal(p.grad, before)


def test_a_sparse_gradient_is_refused_in_words() -> None:
    p = nn.Parameter(torch.zeros(4, 2))
    p.grad = torch.ones(4, 2).to_sparse()
    with pytest.raises(RuntimeError, match="AdamW does not support sparse gradients"):
        AdamW([p]).step()


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_whole_numbers_are_no_parameters(dtype: torch.dtype) -> None:
    p = torch.ones(2, dtype=dtype)
    p.grad = torch.ones(2, dtype=dtype)
    with pytest.raises(RuntimeError, match=f"AdamW does not support parameters of {dtype}"):
        AdamW([p]).step()
    assert p.all()


def test_a_rate_is_any_number_of_pythons() -> None:
    p, q = parameter(4), parameter(4)
    AdamW([p], lr=Fraction(1, 8)).step()
    AdamW([q], lr=0.125).step()
    assert torch.equal(p, q)


def test_schedulers_are_read_live() -> None:
    p, q = parameter(3), parameter(3)
    ours, theirs = (cls([x], lr=0.1, momentum=0.9) for cls, x in ((SGD, p), (torch.optim.SGD, q)))
    schedules = [torch.optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.1) for o in (ours, theirs)]
    for _ in range(6):
        for optimizer, schedule in zip((ours, theirs), schedules, strict=True):
            optimizer.step()
            schedule.step()
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_a_tensor_lr_is_a_number() -> None:
    p, q = parameter(3), parameter(3)
    lr = torch.tensor(1e-2)
    optimizer = AdamW([p], lr=lr)
    optimizer.step()
    lr.mul_(0.5)
    optimizer.step()
    other = AdamW([q], lr=1e-2)
    other.step()
    other.param_groups[0]["lr"] = float(lr)
    other.step()
    assert torch.equal(p, q)


def test_hooks_run_around_the_step() -> None:
    optimizer, seen = AdamW([parameter(2)]), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step()
    assert seen == ["before", "after"]
