"""Hooks, instruments, checkpoints and copies of an optimizer, as torch's own have them."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from .peers import NAMES, drawn, equal, made, parameters, run


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
