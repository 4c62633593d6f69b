"""PyTorch's checks of the states and hooks of every optimizer, made of the rule that is the same algorithm.

What the checks are is told by PyTorch's test/test_optim.py.
"""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

from .conforming import (
    equal,
    every,
    given,
    layer,
    named,
    ours,
    stepped,
    unnamed,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@every
@pytest.mark.parametrize(("saved", "loaded"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_state_dict_is_all_there_is(info: Any, saved: bool, loaded: bool) -> None:
    """`saved` and `loaded` say whether parameters have names in the optimizer that saves and in the one that loads."""
    for cls, kwargs in given(info, "differentiable"):
        weight, bias, x = layer()
        optimizer = cls(named([weight, bias], saved), **kwargs)
        for _ in range(3):
            stepped(optimizer, weight, bias, x)
        stream = io.BytesIO()
        torch.save(optimizer.state_dict(), stream)
        stream.seek(0)
        read = torch.load(stream, weights_only=True)
        equal(read, optimizer.state_dict())
        twins = [nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())]
        other = cls(named(twins, loaded), **kwargs)
        other.load_state_dict(copy.deepcopy(read))
        for _ in range(3):
            stepped(optimizer, weight, bias, x)
            stepped(other, *twins, x)
            equal([weight, bias], twins)
        equal(unnamed(optimizer.state_dict()), unnamed(other.state_dict()))
        if saved or loaded:
            assert other.state_dict()["param_groups"][0]["param_names"] == ["name0", "name1"]
        other.param_groups.extend(other.param_groups)
        groups = [unnamed(o.state_dict())["param_groups"][-1] for o in (optimizer, other)]
        assert groups[0] == groups[1]


@every
def test_older_state_dicts_lack_flags_and_have_numbers_as_steps(info: Any) -> None:
    for cls, kwargs in given(info, "differentiable"):
        weight, bias, x = layer()
        optimizer = cls([weight, bias], **kwargs)
        for _ in range(2):
            stepped(optimizer, weight, bias, x)
        old = copy.deepcopy(optimizer.state_dict())
        for group in old["param_groups"]:
            for flag in info.not_og_supported_flags:
                group.pop(flag, None)
        for memory in old["state"].values():
            memory["step"] = memory["step"].item()
        optimizer.load_state_dict(old)
        stepped(optimizer, weight, bias, x)
        assert all(memory["step"] == 3 for memory in optimizer.state.values())


def seen_before(optimizer: Any) -> None:
    optimizer.state["test"] = 1


def seen_after(_: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
    state_dict["ran"] = state_dict["state"].pop("test", 0) == 1
    return state_dict


def rate_set(_: Any, state_dict: dict[str, Any]) -> None:
    state_dict["param_groups"][0]["lr"] = 0.002


def rate_set_in_a_copy(_: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
    mine = copy.deepcopy(state_dict)
    mine["param_groups"][0]["lr"] = 0.003
    return mine


def noted(optimizer: Any) -> None:
    optimizer.state["copied"] = optimizer.param_groups[0]["lr"] == 0.003


@every
def test_hooks_of_state_dicts(info: Any) -> None:
    for cls, kwargs in given(info):

        def made() -> Any:
            return cls([torch.rand(2, 3, requires_grad=True)], **kwargs)  # noqa: B023

        optimizer = made()
        optimizer.register_state_dict_post_hook(seen_after)
        assert not optimizer.state_dict()["ran"]
        optimizer.register_state_dict_pre_hook(seen_before)
        assert optimizer.state_dict()["ran"]
        optimizer = made()
        kept = optimizer.state_dict()
        optimizer.register_load_state_dict_pre_hook(rate_set)
        optimizer.load_state_dict(kept)
        assert optimizer.param_groups[0]["lr"] == 0.002
        optimizer.register_load_state_dict_pre_hook(rate_set_in_a_copy, prepend=True)
        optimizer.load_state_dict(kept)
        assert optimizer.param_groups[0]["lr"] == 0.002
        optimizer = made()
        optimizer.register_load_state_dict_post_hook(noted)
        optimizer.load_state_dict(kept)
        assert not optimizer.state["copied"]
        optimizer.register_load_state_dict_pre_hook(rate_set_in_a_copy)
        optimizer.load_state_dict(kept)
        assert optimizer.state["copied"]


@every
def test_what_hooks_put_beside_the_states_stays(info: Any) -> None:
    cls = ours(info.optim_cls.__name__)
    weight, bias, x = layer()
    optimizer = cls([weight, bias])
    seen_before(optimizer)
    for _ in range(2):
        stepped(optimizer, weight, bias, x)
    optimizer.load_state_dict(optimizer.state_dict())
    twin = copy.deepcopy(optimizer)
    public = [{name for name in vars(o) if not name.startswith("_")} for o in (optimizer, twin)]
    assert public[0] == public[1]
    for o in (optimizer, twin):
        o.step()
        assert o.state["test"] == 1


@every
def test_hooks_of_steps(info: Any) -> None:
    for cls, kwargs in given(info):
        optimizer = cls([torch.tensor([1.0, 1.0])], **kwargs)
        seen: list[str] = []
        handles = [
            optimizer.register_step_pre_hook(lambda *_: seen.append("before")),  # noqa: B023
            optimizer.register_step_post_hook(lambda *_: seen.append("after")),  # noqa: B023
        ]
        for _ in range(2):
            optimizer.step()
        for handle in handles:
            handle.remove()
        optimizer.step()
        assert seen == ["before", "after", "before", "after"]
