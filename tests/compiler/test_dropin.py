"""The checks that PyTorch makes of each of its optimizers, made of rules that one of these is the reference for."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.optim.swa_utils import SWALR, AveragedModel
from torch.testing._internal.common_optimizers import get_error_inputs_for_all_optims

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
    "sgd": (load(zoo("sgd")), torch.optim.SGD, {}, {"momentum": 0.9}),
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
            torch.testing.assert_close(x, y, rtol=ROUNDED.get(name, 1e-10), atol=ROUNDED.get(name, 1e-10) / 100)


# ---------------------------------------------------------------- as torch's own


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
@pytest.mark.parametrize("how", ["foreach", "fused", "capturable"])
def test_ways_of_running_change_no_number(name: str, how: str) -> None:
    ours, theirs = parameters(), parameters()
    run(made(name, ours, **{how: True}))
    run(made(name, theirs, **{how: False}))
    equal(ours, theirs, exact=how != "capturable")


@pytest.mark.parametrize("name", NAMES)
def test_complex_parameters_are_pairs_of_reals(name: str) -> None:
    x = drawn(3, 4, dtype=torch.complex64)
    ours, pairs = nn.Parameter(x.clone()), nn.Parameter(torch.view_as_real(x).clone())
    one, two = made(name, [ours]), made(name, [pairs])
    for step in range(3):
        g = drawn(3, 4, seed=step, dtype=torch.complex64)
        ours.grad, pairs.grad = g.clone(), torch.view_as_real(g).clone()
        one.step()
        two.step()
    equal([torch.view_as_real(ours.detach())], [pairs.detach()])


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
def test_steps_without_gradients_do_nothing(name: str) -> None:
    ps = parameters()
    before = [p.detach().clone() for p in ps]
    optimizer = made(name, ps)
    optimizer.step()
    equal([p.detach() for p in ps], before)
    assert not any(optimizer.state.values())


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


# ---------------------------------------------------------------- hooks and instruments


def test_hooks_of_state_dicts_run_in_order() -> None:
    optimizer, seen = made("adamw", parameters()), []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("before"))
    optimizer.register_state_dict_post_hook(lambda o, d: seen.append("after") or {**d, "note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: seen.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    assert optimizer.state_dict()["note"] == 1
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["before", "after", "before", "after", "load", "loaded"]


def test_global_hooks_see_every_step() -> None:
    seen: list[str] = []
    first = register_optimizer_step_pre_hook(lambda *_: seen.append("before"))
    second = register_optimizer_step_post_hook(lambda *_: seen.append("after"))
    try:
        run(made("adamw", parameters()), steps=1)
    finally:
        first.remove()
        second.remove()
    assert seen == ["before", "after"]


def test_a_profile_names_the_step() -> None:
    optimizer = made("adamw", parameters())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run(optimizer, steps=1)
    assert "Optimizer.step#AdamW.step" in {event.key for event in profile.key_averages()}


def test_a_step_in_each_backward_hook() -> None:
    model, wanted = nn.Linear(3, 2), nn.Linear(3, 2)
    wanted.load_state_dict(model.state_dict())
    each = {p: made("adamw", [p]) for p in model.parameters()}

    def step(p: Tensor) -> None:
        each[p].step()  # type: ignore[index]
        each[p].zero_grad()  # type: ignore[index]

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(step)
    optimizer = made("adamw", wanted.parameters())
    for i in range(3):
        x = drawn(4, 3, seed=i, dtype=torch.float32)
        model(x).square().sum().backward()
        optimizer.zero_grad()
        wanted(x).square().sum().backward()
        optimizer.step()
    equal(model.parameters(), wanted.parameters())


# ---------------------------------------------------------------- checkpoints and copies


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_goes_on_where_it_was_taken(name: str) -> None:
    ps = parameters()
    optimizer = made(name, ps)
    run(optimizer)
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    qs = [nn.Parameter(p.detach().clone()) for p in ps]
    other = made(name, qs, lr=0.7)
    other.load_state_dict(torch.load(stream, weights_only=True))
    run(optimizer, first=4)
    run(other, first=4)
    equal(ps, qs)
    saved, again = optimizer.state_dict(), other.state_dict()
    assert saved["param_groups"] == again["param_groups"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_state_dict_may_go_to_parameters_of_another_dtype(dtype: torch.dtype) -> None:
    optimizer = made("adamw", parameters(torch.float32))
    run(optimizer)
    qs = parameters(dtype)
    other = made("adamw", qs)
    other.load_state_dict(optimizer.state_dict())
    run(other, first=4)
    assert all(q.dtype == dtype and q.isfinite().all() for q in qs)
    assert other.state[qs[0]]["step"] == 8


@pytest.mark.parametrize("name", NAMES)
def test_a_deep_copy_has_all_public_attributes(name: str) -> None:
    optimizer = made(name, parameters())
    run(optimizer)
    twin = copy.deepcopy(optimizer)
    public = {k for k in vars(optimizer) if not k.startswith("_")}
    assert public == {k for k in vars(twin) if not k.startswith("_")}
    assert repr(twin) == repr(optimizer)


ELSEWHERE = """
import pickle, sys
optimizer = pickle.load(sys.stdin.buffer)
optimizer.step()
print(type(optimizer).__name__, optimizer.state_dict()["state"][0]["step"].item())
"""


def test_another_process_reads_a_pickle_without_having_loaded_the_rule() -> None:
    optimizer = made("adamw", parameters())
    run(optimizer)
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], input=pickle.dumps(optimizer), capture_output=True)
    assert done.stdout.decode().split() == ["AdamW", "4.0"], done.stderr.decode()


# ---------------------------------------------------------------- the training loop


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 2),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=3),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 5),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 1e-3, 1e-2, 2),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=10),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.1, 2), lr_scheduler.ExponentialLR(o, 0.9)], [2]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.1, 2), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "SWALR": lambda o: SWALR(o, 1e-2, 3),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_every_scheduler_of_torch(schedule: str) -> None:
    ours, theirs = parameters(), parameters()
    for optimizer in (made("adamw", ours), reference("adamw", theirs)):
        scheduler = SCHEDULERS[schedule](optimizer)
        for step in range(6):
            run(optimizer, steps=1, first=step)
            scheduler.step(*([1.0] if schedule == "ReduceLROnPlateau" else []))
    equal(ours, theirs, exact=False)


def trained(optimizer_of: Callable[[Any], Any], compiled: bool = False) -> list[Tensor]:
    """A network after steps with accumulated and clipped gradients and an average of its weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    average, optimizer = AveragedModel(model), optimizer_of(model.parameters())

    def step(x: Tensor) -> Any:
        loss = model(x).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return loss.detach()

    run_step = torch.compile(step, backend="eager") if compiled else step
    for i in range(4):
        optimizer.zero_grad(set_to_none=i % 2 == 0)
        model(drawn(5, 3, seed=10 + i)).mean().backward()
        run_step(drawn(5, 3, seed=i))
        average.update_parameters(model)
    return [p.detach() for p in (*model.parameters(), *average.module.parameters())]


@pytest.mark.parametrize("name", NAMES)
def test_a_training_loop_is_torchs(name: str) -> None:
    equal(trained(lambda ps: made(name, ps)), trained(lambda ps: reference(name, ps)), exact=False, name=name)


@pytest.mark.slow
def test_a_compiled_training_step_that_contains_a_step_of_ours() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        compiled = trained(lambda ps: made("adamw", ps), compiled=True)
    equal(compiled, trained(lambda ps: made("adamw", ps)), exact=False)


def test_wrappers_may_read_what_every_optimizer_has() -> None:
    optimizer = made("adamw", parameters())
    run(optimizer, steps=1)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert {*optimizer.defaults} <= {*optimizer.param_groups[0]}
    assert {*optimizer.state[optimizer.param_groups[0]["params"][0]]} == {"step", "m", "v"}
    assert optimizer.state_dict()["state"].keys() == {0, 1, 2}
    optimizer.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in optimizer.param_groups[0]["params"])
