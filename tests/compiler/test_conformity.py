"""PyTorch's checks of a step of every optimizer, made of the rule that is the same algorithm.

What the checks are is told by PyTorch's test/test_optim.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing._internal import common_optimizers as common

from .conforming import (
    FUSED,
    INFOS,
    advance,
    equal,
    every,
    given,
    layer,
    ours,
    stepped,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@every
@pytest.mark.parametrize("contiguous", [True, False])
def test_steps_go_in_the_right_direction(info: Any, contiguous: bool) -> None:
    for schedules in (None, *(info.scheduler_inputs if contiguous else ())):
        for cls, kwargs in given(info, "differentiable", "fused"):
            weight, bias, x = layer(contiguous)
            optimizer = cls([weight, bias], **kwargs)
            schedulers = [make(optimizer) for make in schedules or []]
            losses = []
            for _ in range(21):
                losses.append(stepped(optimizer, weight, bias, x))
                advance(schedulers, losses[-1])
            assert (losses[-1] > losses[0]) == kwargs.get("maximize", False)


@every
def test_groups_have_rates_and_decays_of_their_own(info: Any) -> None:
    for cls, kwargs in given(info, "differentiable"):
        weight, bias, x = layer()
        still = nn.Parameter(torch.randn(2, 2))
        before = still.detach().clone()
        groups = [
            {"params": [weight], **kwargs, "lr": kwargs.get("lr", 1e-3)},
            {"params": [bias], **kwargs, "lr": kwargs.get("lr", 1e-3), "weight_decay": 0.0},
            {"params": [still]},
        ]
        if cls.__name__ == "Rprop":
            groups[2]["step_sizes"] = (0, 50)
        optimizer = cls(groups, lr=1e-28)
        losses = []
        for _ in range(20):
            still.grad = torch.rand_like(still)
            losses.append(stepped(optimizer, weight, bias, x))
        assert (losses[-1] > losses[0]) == kwargs.get("maximize", False)
        equal(still.detach(), before)


@every
def test_a_rate_may_be_a_tensor(info: Any) -> None:
    for cls, kwargs in given(info, "differentiable"):
        weight, bias, x = layer()
        twins = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
        plain = cls([weight, bias], **{**kwargs, "lr": 1e-3})
        tensor = cls(twins, **{**kwargs, "lr": torch.tensor(1e-3)})
        for _ in range(5):
            stepped(plain, weight, bias, x)
            stepped(tensor, *twins, x)
            equal((weight, bias), twins)


@pytest.mark.parametrize("info", [i for i in INFOS if i.supports_complex], ids=lambda info: info.optim_cls.__name__)
def test_complex_parameters_among_others(info: Any) -> None:
    for cls, kwargs in given(info, "differentiable"):
        params = [torch.randn(10, 5, dtype=torch.complex64), torch.randn(10, dtype=torch.complex64), torch.randn(10, 5)]
        reals = [torch.view_as_real(p).clone() if p.is_complex() else p.clone() for p in params]
        one, two = (cls([p.requires_grad_() for p in ps], **kwargs) for ps in (params, reals))
        for _ in range(3):
            for p, r in zip(params, reals, strict=True):
                r.grad = torch.randn_like(r)
                p.grad = torch.view_as_complex(r.grad) if p.is_complex() else r.grad.clone()
            one.step()
            two.step()
            equal([torch.view_as_real(p) if p.is_complex() else p for p in params], reals)


def steps_with_a_frozen_layer(cls: Any, kwargs: dict[str, Any]) -> Iterator[tuple[list[Tensor], dict[Any, Any]]]:
    """Parameters and their states after each step; in some steps a layer is frozen or there are no gradients."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid()).double()
    number = torch.zeros((), dtype=torch.float64, requires_grad=True)
    number.grad = torch.rand_like(number)
    optimizer = cls([*model.parameters(), number], **kwargs)
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], dtype=torch.float64)
    for i in range(7):
        optimizer.zero_grad()
        model[2].requires_grad_(not 3 <= i < 5)
        if i != 2:
            model(x).sum().backward()
        optimizer.step()
        yield [p.detach().clone() for p in model.parameters()], optimizer.state_dict()["state"]


@every
@pytest.mark.parametrize("flag", ["foreach", "fused", "capturable"])
def test_ways_of_running_are_the_same(info: Any, flag: str) -> None:
    for cls, kwargs in given(info, "differentiable", "foreach", "fused"):
        one, two = (steps_with_a_frozen_layer(cls, {**kwargs, flag: value}) for value in (False, True))
        for (params, state), (others, other_state) in zip(one, two, strict=True):
            equal(params, others)
            equal(state, other_state)


@every
def test_a_step_without_gradients_moves_nothing(info: Any) -> None:
    for cls, kwargs in given(info):
        params = [torch.randn(2, 3) for _ in range(2)]
        before = [p.clone() for p in params]
        optimizer = cls(params, **kwargs)
        assert optimizer.step(lambda: torch.tensor([1.0])) == 1.0
        equal(params, before)
        assert repr(optimizer).startswith(cls.__name__)


@every
def test_a_step_with_gradients_of_0_moves_nothing_that_does_not_decay(info: Any) -> None:
    for cls, kwargs in given(info):
        p = torch.randn(5, 1, requires_grad=True)
        moved = p.clone() if kwargs.get("differentiable") else p
        before = p.detach().clone()
        moved.grad = torch.zeros_like(moved)
        cls([{"params": [moved], **kwargs, "weight_decay": 0, "lambd": 0}], **kwargs).step()
        equal(moved.detach(), before)


@every
def test_counts_are_of_the_default_dtype_if_that_is_float64(info: Any) -> None:
    cls, before = ours(info.optim_cls.__name__), torch.get_default_dtype()
    for default, wanted in ((torch.float64, torch.float64), (torch.float16, torch.float32)):
        torch.set_default_dtype(default)
        try:
            p = nn.Parameter(torch.randn(3, 2, dtype=torch.float64))
            p.grad = torch.randn_like(p)
            optimizer = cls([p])
            for _ in range(2):
                optimizer.step()
        finally:
            torch.set_default_dtype(before)
        assert optimizer.state[p]["step"].dtype == wanted


@pytest.mark.parametrize("info", FUSED, ids=lambda info: info.optim_cls.__name__)
def test_parameters_without_memory_are_refused_and_may_get_some(info: Any) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1))
    optimizer = ours(info.optim_cls.__name__)(model.parameters(), fused=True)
    for p in model.parameters():
        p.grad = torch.rand_like(p)
    with pytest.raises(RuntimeError, match="`fused=True` requires all the params to be floating point Tensors"):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    model.to_empty(device="cpu")
    for p in model.parameters():
        p.grad = torch.rand_like(p)
    optimizer.step()


@pytest.mark.parametrize("info", [i for i in INFOS if i.optim_error_inputs_func], ids=lambda i: i.optim_cls.__name__)
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
def test_torchs_errors(info: Any) -> None:
    cls = ours(info.optim_cls.__name__)
    for error in info.optim_error_inputs_func("cpu", torch.float32):
        params, kwargs = error.optimizer_error_input.params, error.optimizer_error_input.kwargs
        if "only supports 2D" in error.error_regex:  # our Muon gives the others to AdamW
            continue
        refused = pytest.warns if issubclass(error.error_type, Warning) else pytest.raises
        optimizer = cls(params, **kwargs) if error.error_on is common.OptimizerErrorEnum.STEP_ERROR else None
        with refused(error.error_type, match=error.error_regex):
            cls(params, **kwargs) if optimizer is None else optimizer.step()


@pytest.mark.parametrize("info", [i for i in INFOS if i.supports_sparse], ids=lambda info: info.optim_cls.__name__)
def test_a_sparse_gradient_is_the_tensor_it_stands_for(info: Any) -> None:
    for cls, kwargs in given(info, "differentiable", "fused"):
        p, q = (nn.Parameter(torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64)) for _ in range(2))
        sparse, dense = cls([p], **kwargs), cls([q], **kwargs)
        for step in range(9):
            q.grad = torch.zeros_like(q)
            q.grad[step % 3] = torch.sin(p.detach()[step % 3])
            halves = torch.tensor([[step % 3] * 2]), q.grad[step % 3].expand(2) / 2
            p.grad = torch.sparse_coo_tensor(*halves, size=(3,), check_invariants=True) if step != 4 else q.grad.clone()
            sparse.step()
            dense.step()
            equal(p, q)
