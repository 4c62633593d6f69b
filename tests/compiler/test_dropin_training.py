"""Loops of training that contain an optimizer of ours: schedulers, averages, clipping, torch.compile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR, AveragedModel

from .peers import NAMES, drawn, equal, made, parameters, reference, run

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


def test_torch_compile_takes_nothing_of_a_step_apart() -> None:
    """Code that contains a step is one graph before it, however often the rate changes."""
    graphs: list[Any] = []
    hooked: list[Any] = []
    (p,) = parameters()[:1]
    optimizer = made("adamw", [p])
    optimizer.register_step_pre_hook(lambda *_: hooked.append(len(hooked)))

    @torch.compile(backend=lambda graph, _: graphs.append(graph) or graph.forward)
    def train() -> None:
        p.grad.mul_(0.5)
        optimizer.step()

    p.grad = torch.ones_like(p)
    for i in range(4):
        optimizer.param_groups[0]["lr"] = 0.1 * i
        train()
    assert [[node.target for node in g.graph.nodes if node.op.startswith("call")] for g in graphs] == [["mul_"]]
    assert hooked == [0, 1, 2, 3]


def test_wrappers_may_read_what_every_optimizer_has() -> None:
    optimizer = made("adamw", parameters())
    run(optimizer, steps=1)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert {*optimizer.defaults} <= {*optimizer.param_groups[0]}
    assert {*optimizer.state[optimizer.param_groups[0]["params"][0]]} == {"step", "m", "v"}
    assert optimizer.state_dict()["state"].keys() == {0, 1, 2}
    optimizer.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in optimizer.param_groups[0]["params"])
