"""Rules that torch has too give torch's numbers, and take parameters and groups as torch does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing._internal.common_optimizers import get_error_inputs_for_all_optims

from .peers import NAMES, OPTIMIZERS, drawn, equal, made, parameters, reference, run


@pytest.mark.parametrize("name", NAMES)
def test_groups_with_rates_and_decays_of_their_own(name: str) -> None:
    ours, theirs = parameters(), parameters()
    groups = [[{"params": ps[:1], "lr": 3e-3}, {"params": ps[1:], "weight_decay": 0.1}] for ps in (ours, theirs)]
    run(made(name, groups[0]))
    run(reference(name, groups[1]))
    equal(ours, theirs, exact=False, name=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (1,)])
def test_hyperparameters_may_be_tensors(name: str, shape: tuple[int, ...]) -> None:
    ours, theirs = parameters(), parameters()
    run(made(name, ours, lr=torch.full(shape, 2e-3, dtype=torch.float64)))
    run(made(name, theirs, lr=2e-3))
    equal(ours, theirs)


def test_betas_may_be_tensors() -> None:
    ours, theirs = parameters(), parameters()
    run(made("adamw", ours, betas=(torch.tensor(0.5), torch.tensor(0.75))))
    run(made("adamw", theirs, betas=(0.5, 0.75)))
    equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_maximize_is_to_minimize_the_opposite(name: str) -> None:
    ours, theirs = parameters(), parameters()
    run(made(name, ours, maximize=True))
    run(reference(name, theirs, maximize=True))
    equal(ours, theirs, exact=False, name=name)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_without_elements_and_numbers(name: str) -> None:
    ours = parameters(shapes=((0,), (3, 0, 2), (), (1,), (2, 2)))
    theirs = parameters(shapes=((0,), (3, 0, 2), (), (1,), (2, 2)))
    run(made(name, ours))
    run(reference(name, theirs))
    equal(ours, theirs, exact=False, name=name)


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_may_be_mixed(name: str) -> None:
    dtypes = (torch.float32, torch.bfloat16, torch.float64, torch.float16)
    together = [parameters(d)[0] for d in dtypes]
    apart = [parameters(d)[0] for d in dtypes]
    one, others = made(name, together), [made(name, [p]) for p in apart]
    for step in range(3):
        for p, q in zip(together, apart, strict=True):
            p.grad, q.grad = (drawn(3, 4, seed=step).to(p.dtype) for _ in range(2))
        for optimizer in (one, *others):
            optimizer.step()
    equal(together, apart)


def test_a_conjugated_or_negated_gradient_is_its_value() -> None:
    x = drawn(4, dtype=torch.complex64)
    for g in (x.conj(), x.conj().imag, torch._neg_view(x.real)):
        p, q = (nn.Parameter(torch.ones(4, dtype=g.dtype)) for _ in range(2))
        p.grad, q.grad = g, g.resolve_conj().resolve_neg().clone()
        made("adamw", [p]).step()
        made("adamw", [q]).step()
        equal([p], [q])


# ---------------------------------------------------------------- parameters and groups


@pytest.mark.parametrize("case", range(len(get_error_inputs_for_all_optims("cpu", torch.float32))))
def test_torchs_errors_for_all_optimizers(case: int) -> None:
    given = get_error_inputs_for_all_optims("cpu", torch.float32)[case]
    made_with = given.optimizer_error_input
    refused = pytest.warns if issubclass(given.error_type, Warning) else pytest.raises
    with refused(given.error_type, match=given.error_regex):
        OPTIMIZERS["adamw"][0](made_with.params, **made_with.kwargs)


def test_named_parameters_keep_their_names() -> None:
    model = nn.Linear(2, 3)
    optimizer = made("adamw", model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="names"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    optimizer.add_param_group({"params": [("more", nn.Parameter(torch.ones(2)))], "lr": 0.5})
    assert optimizer.param_groups[1]["param_names"] == ["more"]


def test_what_cannot_be_a_parameter_is_refused() -> None:
    leaf = torch.ones(2, requires_grad=True)
    cases: list[tuple[Any, type[Exception], str]] = [
        ([], ValueError, "empty parameter list"),
        ([leaf * 2], ValueError, "can't optimize a non-leaf Tensor"),
        ([1.0], TypeError, "can only optimize Tensors"),
        ([{"params": {leaf}}], TypeError, "ordered"),
    ]
    for params, error, message in cases:
        with pytest.raises(error, match=message):
            made("adamw", params)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        made("adamw", [leaf, leaf])
    frozen = torch.ones(2)
    optimizer = made("adamw", (x for x in (leaf, frozen)))
    leaf.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(frozen, torch.ones(2))


def test_a_group_can_be_added_after_loading() -> None:
    ps, qs = parameters(), parameters()
    optimizer, other = made("adamw", ps[:2]), made("adamw", qs[:2])
    run(optimizer)
    other.load_state_dict(optimizer.state_dict())
    for o, last in ((optimizer, ps[2]), (other, qs[2])):
        o.add_param_group({"params": [last], "lr": 0.5})
        for p, q in zip(ps, qs, strict=True):
            q.data.copy_(p.data)
    run(optimizer, first=4)
    run(other, first=4)
    equal(ps, qs)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sgd"])  # torch's begins both with an empty buffer
@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
def test_a_parameter_that_a_group_has_twice_is_stepped_twice(name: str) -> None:
    ours, theirs = parameters(), parameters()
    run(made(name, [*ours, *ours]))
    run(reference(name, [*theirs, *theirs], foreach=False))
    equal(ours, theirs, exact=False, name=name)


AT_THE_BORDER = [("sgd", "momentum", 1.0), ("rmsprop", "momentum", 1.0), ("rmsprop", "alpha", 1.0)]
AT_THE_BORDER += [("adadelta", "rho", 1.0), *((name, "eps", 0.0) for name in NAMES if name not in ("rprop", "sgd"))]


@pytest.mark.parametrize(("name", "hyperparameter", "value"), AT_THE_BORDER)
def test_what_torch_takes_at_the_border_of_what_makes_sense(name: str, hyperparameter: str, value: float) -> None:
    """A gradient of 0 makes NaN where torch's does."""
    ours, theirs = parameters(shapes=((3, 4), (5,))), parameters(shapes=((3, 4), (5,)))
    for params, make in ((ours, made), (theirs, reference)):
        optimizer = make(name, params, **{hyperparameter: value})
        for _ in range(3):
            params[0].grad, params[1].grad = drawn(3, 4), torch.zeros_like(params[1])
            optimizer.step()
    equal(ours, theirs, exact=False, name=name)


def test_switches_may_be_0_and_1() -> None:
    ours, theirs = parameters(), parameters()
    run(made("adamw", ours, amsgrad=1))
    run(made("adamw", theirs, amsgrad=True))
    equal(ours, theirs)
    with pytest.raises(TypeError, match="it must be True or False"):
        made("adamw", ours, amsgrad=0.5)
