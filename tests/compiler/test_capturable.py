"""`capturable=True`: steps counted and scalars computed by tensors, which must give what the host's numbers give."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
from torch import nn

from optc.compiler.load import load
from optc.dsl.load import rule_from_text, zoo, zoo_names

from .test_verify import settings

HERE = "cuda" if torch.cuda.is_available() else "cpu"
AdamW: Any = load(zoo("adamw"))


def parameters(dtype: torch.dtype = torch.float32) -> list[Any]:
    draw = torch.Generator().manual_seed(0)
    params = []
    for shape in ((6, 4), (4, 6), (3, 3)):
        p = nn.Parameter(torch.randn(shape, generator=draw, dtype=dtype).to(HERE))
        p.grad = torch.randn(shape, generator=draw, dtype=dtype).to(HERE)
        params.append(p)
    return params


def trained(rule: Any, dtype: torch.dtype, steps: int = 4, **options: Any) -> list[Any]:
    params = parameters(dtype)
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.03}]
    optimizer = rule(groups, **options)
    for i in range(steps):
        params[2].grad = None if i == 1 else torch.ones_like(params[2])  # its count falls behind
        optimizer.step(inputs={name: [p.square() for p in params] for name in getattr(rule.programs[0], "inputs", ())})
    return params


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_is_stepped_alike(name: str) -> None:
    """In float64 a power or a logarithm of torch's may differ from the C library's in the last bit, and no more."""
    rule: Any = load(zoo(name))
    given = {**settings(name), "lr": 0.01} if "lr" in settings(name) else settings(name)
    on_host = trained(rule, torch.float64, **given)
    on_device = trained(rule, torch.float64, capturable=True, **given)
    for p, q in zip(on_host, on_device, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-13, atol=1e-13)


def test_without_powers_the_bits_are_the_same() -> None:
    rule: Any = load(zoo("sgd"))
    on_host = trained(rule, torch.float64)
    on_device = trained(rule, torch.float64, capturable=True)
    assert all(torch.equal(p, q) for p, q in zip(on_host, on_device, strict=True))


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_both_backends_read_the_table(backend: str) -> None:
    on_host = trained(AdamW, torch.float32, backend=backend)
    on_device = trained(AdamW, torch.float32, backend=backend, capturable=True)
    for p, q in zip(on_host, on_device, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


OPERATORS = """
param lr = 0.1
param warm = 3
param fast = true
state m = 0
let a = where(t < warm, t/warm, 1) * (1 + cos(pi*t/10))
let b = min(sqrt(t), cbrt(t), 2) + max(exp(-t), log(t)) + clip(t, 2, 3) + sign(t - 2) + floor(t/2) + abs(2 - t)
let c = t mod 2 + tanh(t) + erf(t/5) + sin(t) + t^2 + t^0.5 + lerp(1, t, 0.25)
when fast and warm > 2 {
    let d = a + b
} else {
    let d = 7
}
m <- 0.9*m + g
update = where(c > d and not (t == 3), d, c + d) * m
step_size = lr*rows/(cols + ndim)
"""


@pytest.mark.parametrize("fast", [True, False])
def test_every_operator_of_the_host_is_one_of_the_device(fast: bool) -> None:
    rule: Any = load(rule_from_text(OPERATORS))
    on_host = trained(rule, torch.float64, steps=6, fast=fast)
    on_device = trained(rule, torch.float64, steps=6, fast=fast, capturable=True)
    for p, q in zip(on_host, on_device, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_noise_is_the_same(backend: str) -> None:
    rule: Any = load(rule_from_text("param lr = 0.1\nupdate = g + 0.1*noise()"))
    on_host = trained(rule, torch.float32, backend=backend, seed=3)
    on_device = trained(rule, torch.float32, backend=backend, seed=3, capturable=True)
    assert all(torch.equal(p, q) for p, q in zip(on_host, on_device, strict=True))


def test_the_count_is_on_the_parameters_device_and_survives() -> None:
    params = parameters()
    optimizer = AdamW(params, capturable=True)
    optimizer.step()
    assert optimizer.state[params[0]]["step"].device == params[0].device
    twin = copy.deepcopy(optimizer)
    twin.load_state_dict(optimizer.state_dict())
    for o in (optimizer, twin):
        for p in o.param_groups[0]["params"]:
            p.grad = torch.ones_like(p)
        o.step()
    for p, q in zip(params, twin.param_groups[0]["params"], strict=True):
        assert torch.equal(p, q)
        assert twin.state[q]["step"].item() == 2.0


def test_a_tensor_rate_is_read_where_it_is() -> None:
    params, others = parameters(torch.float64), parameters(torch.float64)
    lr = torch.tensor(0.1, dtype=torch.float64, device=HERE)
    live, plain = AdamW(params, lr=lr, capturable=True), AdamW(others, lr=0.1)
    for i in range(4):
        lr.fill_(0.1 / (i + 1))
        plain.param_groups[0]["lr"] = 0.1 / (i + 1)
        live.step()
        plain.step()
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-13, atol=1e-13)


def test_it_may_be_switched_on_and_off() -> None:
    params, others = parameters(torch.float64), parameters(torch.float64)
    switched, plain = AdamW(params), AdamW(others)
    for i in range(6):
        switched.param_groups[0]["capturable"] = i in (2, 3)
        switched.step()
        plain.step()
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-13, atol=1e-13)


# ---------------------------------------------------------------- graphs


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["adamw", "lion", "lamb", "evolved"])
def test_replays_go_on_counting(name: str) -> None:
    """A captured step, replayed, against as many steps on the host; the rate is a tensor that a schedule writes to."""
    rule: Any = load(zoo(name))
    rest = {k: v for k, v in settings(name).items() if k != "lr"}
    params, others = parameters(), parameters()
    lr = torch.tensor(0.1, device=HERE)
    live, plain = rule(params, lr=lr, capturable=True, **rest), rule(others, lr=0.1, **rest)
    for o in (live, plain):
        for _ in range(2):
            o.step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        live.step()
    for i in range(5):
        lr.fill_(0.1 / (i + 1))
        plain.param_groups[0]["lr"] = 0.1 / (i + 1)
        for p, q in zip(params, others, strict=True):
            p.grad.mul_(-0.9)
            q.grad.mul_(-0.9)
        graph.replay()
        plain.step()
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
        assert live.state[p]["step"].item() == plain.state[q]["step"].item() == 7.0


@pytest.mark.gpu
def test_a_whole_training_step_is_captured() -> None:
    """Its gradients live in the graph's memory, elsewhere than those of the steps before."""
    torch.manual_seed(0)
    model = nn.Linear(64, 64, device=HERE)
    other = copy.deepcopy(model)
    x = torch.randn(32, 64, device=HERE)
    live, plain = AdamW(model.parameters(), capturable=True), AdamW(other.parameters())
    for _ in range(3):
        for m, o in ((model, live), (other, plain)):
            o.zero_grad()
            m(x).square().mean().backward()
            o.step()
    live.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(x).square().mean().backward()
        live.step()
    for _ in range(4):
        graph.replay()
        plain.zero_grad()
        other(x).square().mean().backward()
        plain.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
def test_a_capture_without_a_step_before_is_refused_in_words() -> None:
    optimizer = AdamW(parameters(), capturable=True)
    with pytest.raises(RuntimeError, match="take a step before the capture"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        optimizer.step()


REDUCING = (
    "param lr = 0.1\nstate m = 0\nstate R : per row = 0\nstate T : per tensor = 1\n"
    "m <- 0.9*m + g\nR <- R/2 + mean(g^2 per row)\nT <- T/2 + norm(m per model)\nupdate = t*m/(1 + R)*T"
)


@pytest.mark.parametrize("rule", [AdamW, load(rule_from_text(REDUCING))], ids=["elementwise", "reducing"])
def test_a_captured_step_has_tables_of_its_own(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU nothing is captured, but a step may believe that it is: it must do what others do, and disturb none."""
    module: Any = sys.modules[rule.__module__]
    ours, theirs = parameters(), parameters()
    believes, knows = rule(ours, capturable=True, backend="triton"), rule(theirs, capturable=True, backend="triton")
    for step in range(12):
        capturing = step in (2, 3, 5, 6, 7, 8)
        kept = len(module.CAPTURED)
        for p, q in zip(ours, theirs, strict=True):
            if step % 3 == 0:
                p.grad, q.grad = p.grad.neg(), q.grad.neg()
        with monkeypatch.context() as patched:
            patched.setattr(module, "captures", lambda table, capturing=capturing: capturing)
            believes.step()
        knows.step()
        assert (len(module.CAPTURED) > kept) == capturing
        assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="another step must come"):
        patched.setattr(module, "captures", lambda table: True)
        for _ in range(5):
            believes.step()
