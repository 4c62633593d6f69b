"""State dicts, pickles and copies of a generated optimizer: nothing is lost, and each goes on by itself."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from .optimizers import AdamW, parameter, same_state, steps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_dict_comes_back_bit_for_bit(dtype: torch.dtype) -> None:
    p = parameter(7, dtype=dtype)
    optimizer = AdamW([p], lr=0.05)
    steps(optimizer)
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    q = nn.Parameter(p.detach().clone())
    q.grad = p.grad
    restored = AdamW([q])
    restored.load_state_dict(torch.load(stream, weights_only=True))
    same_state(optimizer, restored)
    assert restored.param_groups[0]["lr"] == 0.05
    steps(optimizer)
    steps(restored)
    assert torch.equal(p, q)


def test_an_older_state_dict_lacks_options_and_holds_a_plain_step() -> None:
    p = parameter(3)
    optimizer = AdamW([p])
    steps(optimizer, 2)
    older = optimizer.state_dict()
    older["state"][0]["step"] = 2
    for option in ("maximize", "capturable", "foreach", "fused", "differentiable"):
        del older["param_groups"][0][option]
    optimizer.load_state_dict(older)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 3


def test_load_hooks_see_and_change_the_state_dict() -> None:
    optimizer = AdamW([parameter(3)])
    optimizer.step()
    other = AdamW([parameter(3)])

    def doubled(_: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        changed = copy.deepcopy(state_dict)
        changed["state"][0]["m"] *= 2
        return changed

    other.register_load_state_dict_pre_hook(doubled)
    other.load_state_dict(optimizer.state_dict())
    a, b = (o.state[o.param_groups[0]["params"][0]]["m"] for o in (optimizer, other))
    assert torch.equal(2 * a, b)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_go_on_by_themselves(how: Any) -> None:
    p = parameter(4)
    optimizer = AdamW([p], lr=0.1, backend="torch")
    steps(optimizer)
    twin = how(optimizer)
    (q,) = twin.param_groups[0]["params"]
    q.grad = p.grad.clone()
    same_state(optimizer, twin)
    steps(twin)
    assert not torch.equal(p, q)
    steps(optimizer)
    assert torch.equal(p, q)


def test_a_network_learns() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.randn(64, 4)
    y = x.prod(1, keepdim=True)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
