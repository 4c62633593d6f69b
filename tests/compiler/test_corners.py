"""What programs do to optimizers beside training: each as torch's own takes it, or refused in words."""

from __future__ import annotations

import copy
import random
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

from optc.compiler.load import load
from optc.dsl.load import zoo

ADAMW: Any = load(zoo("adamw"))


def one(*shape: int) -> nn.Parameter:
    p = nn.Parameter(torch.ones(shape))
    p.grad = torch.ones(shape)
    return p


@pytest.mark.parametrize("name", ["adamw", "lamb", "adafactor", "muon"])
def test_a_default_device_is_not_where_tables_go(name: str) -> None:
    ours, wanted = one(3, 4), one(3, 4)
    with torch.device("meta"):
        optimizer: Any = load(zoo(name))([ours])
        ours.grad = torch.ones(3, 4, device="cpu")
        for _ in range(2):
            optimizer.step()
    other: Any = load(zoo(name))([wanted])
    for _ in range(2):
        other.step()
    assert torch.equal(ours, wanted)
    assert all(x.device.type == "cpu" for x in optimizer.state[ours].values())


def test_a_closure_has_the_default_device() -> None:
    seen: list[torch.device] = []
    with torch.device("meta"):
        ADAMW([nn.Parameter(torch.ones(2, device="cpu"))]).step(lambda: seen.append(torch.ones(1).device))
    assert [device.type for device in seen] == ["meta"]


def test_a_gradient_of_another_shape_is_refused() -> None:
    for steps in (0, 2):
        p = one(3)
        optimizer = ADAMW([p], compile=True)
        for _ in range(steps):
            optimizer.step()
        assert p.grad is not None
        p.grad.data = torch.ones(1)
        with pytest.raises(RuntimeError, match=r"a parameter of shape \(3,\) has a gradient of shape \(1,\)"):
            optimizer.step()


def test_a_text_is_no_rate() -> None:
    with pytest.raises(TypeError, match=r"Invalid learning rate: '0\.1'; it must be a number"):
        ADAMW([one(3)], lr="0.1")


def test_a_closure_that_raises_leaves_all_as_it_was() -> None:
    p = one(3)
    optimizer = ADAMW([p])
    optimizer.step()
    before, state = p.detach().clone(), copy.deepcopy(optimizer.state_dict())

    def closure() -> float:
        raise ValueError("no loss")

    with pytest.raises(ValueError, match="no loss"):
        optimizer.step(closure)
    assert torch.equal(p, before)
    torch.testing.assert_close(optimizer.state_dict()["state"], state["state"], rtol=0, atol=0)


def test_hooks_may_add_groups_and_change_rates() -> None:
    p, q = one(3), one(3)
    optimizer = ADAMW([p], lr=1.0)

    def before(optimizer: Any, *_: Any) -> None:
        optimizer.param_groups[0]["lr"] = 0.0
        if len(optimizer.param_groups) == 1:
            optimizer.add_param_group({"params": [q], "lr": 0.5})

    optimizer.register_step_pre_hook(before)
    optimizer.step()
    assert torch.equal(p, torch.ones(3))
    assert not torch.equal(q, torch.ones(3))


def test_threads_with_an_optimizer_each() -> None:
    results: list[Any] = []

    def train() -> None:
        params = [one(100) for _ in range(5)]
        optimizer = ADAMW(params)
        for step in range(50):
            for p in params:
                p.grad = torch.full((100,), float(step % 7 - 3))
            optimizer.step()
        results.append(params[0].detach())

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(torch.equal(x, results[0]) for x in results)


def draw_gradients(params: list[nn.Parameter], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=draw)


@pytest.mark.parametrize(("name", "given"), [("adamw", {}), ("adamw", {"compile": True}), ("lamb", {})])
def test_an_interrupt_at_any_instant_leaves_what_a_checkpoint_holds(name: str, given: dict[str, Any]) -> None:
    """Half of a step may be done; but what is in memory and a copy of it go on alike."""
    cls: Any = load(zoo(name))
    params = [one(3, 4), one(5)]
    optimizer = cls(params, **given)
    optimizer.step()
    when = random.Random(0)

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for trial in range(30):
            draw_gradients(params, trial)
            with suppress(KeyboardInterrupt):
                try:
                    signal.setitimer(signal.ITIMER_REAL, when.uniform(1e-6, 1e-3))
                    optimizer.step()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            torch.set_grad_enabled(True)  # torch's own `no_grad` forgets to, where it is interrupted as it ends
            twins = [nn.Parameter(p.detach().clone()) for p in params]
            twin = cls(twins, **given)
            twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            for ps, o in ((params, optimizer), (twins, twin)):
                draw_gradients(ps, 1000 + trial)
                o.step()
            assert all(torch.equal(p, q) for p, q in zip(params, twins, strict=True))
    finally:
        signal.signal(signal.SIGALRM, before)
