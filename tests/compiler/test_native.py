"""Native code: the bits of eager torch, for any rule, dtype and layout."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optc.compiler.emit.native import NATIVE, RESERVED, ROUNDED_ALIKE, c_name, exact, has_native
from optc.compiler.emit.native_walk import emit_native
from optc.compiler.load import load
from optc.compiler.plan.lower import lower
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import rule_from_text, zoo, zoo_names
from optc.dsl.operators import OPERATORS

ELEMENTWISE = [name for name in zoo_names() if has_native(lower(simplify(zoo(name))))]
EXACT = [name for name in ELEMENTWISE if exact(lower(simplify(zoo(name))))]
REQUIRED: dict[str, Any] = {"total": 100, "total_steps": 100}
SHAPES = ((700, 3), (5,), (), (0, 4), (2, 3, 4), (1030,))


def parameters(dtype: torch.dtype = torch.float32, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(s, generator=draw).to(dtype)) for s in shapes]


def trained(optimizer: Any, params: list[nn.Parameter], steps: int = 4, seed: int = 1, **inputs: Any) -> list[Any]:
    """All parameters and states after some steps, some gradients missing, some not finite."""
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for i, p in enumerate(params):
            grad = torch.randn(p.shape, generator=draw)
            if grad.numel() > 20:
                grad.view(-1)[:9] = torch.tensor([0.0, -0.0, 1e-40, -1e-42, 1e30, -1e30, torch.inf, torch.nan, 1e-20])
            p.grad = None if (i + step) % 5 == 4 else grad.to(p.dtype)
        optimizer.step(**inputs)
    return [*params, *(x for p in params for x in optimizer.state[p].values())]


def same(xs: list[torch.Tensor], ys: list[torch.Tensor]) -> bool:
    return all(torch.equal(x.nan_to_num(nan=7.0), y.nan_to_num(nan=7.0)) for x, y in zip(xs, ys, strict=True))


def both(rule: Any, dtype: torch.dtype = torch.float32, **settings: Any) -> tuple[list[Any], list[Any]]:
    inputs = {name: [torch.rand(s) for s in SHAPES] for name in getattr(rule, "inputs", ())}
    given = {"inputs": inputs} if inputs else {}
    out = []
    for how in ({"backend": "native"}, {"compile": False}):
        ps = parameters(dtype)
        out.append(trained(load(rule)(ps, **how, **settings), ps, **given))  # type: ignore[arg-type]
    return out[0], out[1]


def required(name: str) -> dict[str, Any]:
    return {p.name: REQUIRED[p.name] for p in zoo(name).params if p.default is None}


@pytest.mark.parametrize("name", EXACT)
def test_the_zoo_has_the_bits_of_eager_torch(name: str) -> None:
    native, eager = both(zoo(name), **required(name))
    assert same(native, eager)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.complex64])
def test_every_dtype_has_the_bits_of_eager_torch(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    out = []
    for how in ({"backend": "native"}, {"compile": False}):
        ps = parameters(dtype, ((700, 3), (5,)))
        rule: Any = load(zoo("evolved"))
        optimizer = rule(ps, total=50, **how)
        for _ in range(3):
            for p in ps:
                p.grad = torch.randn(p.shape, generator=draw.manual_seed(3), dtype=torch.float32).to(dtype)
            optimizer.step()
        out.append([torch.view_as_real(p) if p.is_complex() else p for p in map(torch.Tensor.detach, ps)])
    assert same(*out)


def test_bfloat16_is_rounded_as_torch_rounds() -> None:
    """Ties to even, overflow to infinity, NaN stays: through a rule that stores its gradient in each dtype."""
    text = "param lr = 1\nstate b : per element bfloat16 = 0\nb <- g\nupdate = b"
    xs = torch.cat([torch.randn(5000) * 1e3, torch.tensor([3.4e38, -3.4e38, torch.inf, torch.nan, 1e-40, 1e-45])])
    p = nn.Parameter(torch.zeros_like(xs))
    p.grad = xs
    rule: Any = load(rule_from_text(text))
    optimizer = rule([p], backend="native")
    optimizer.step()
    assert same([optimizer.state[p]["b"]], [xs.bfloat16()])


def test_every_operator_is_spelled() -> None:
    assert set(NATIVE) == set(OPERATORS)
    assert set(NATIVE) > ROUNDED_ALIKE


SAMPLES = {
    "div": "g/theta", "mod": "g mod theta", "pow": "abs(g)^theta", "neg": "-(-g)", "sqrt": "sqrt(g)",
    "cbrt": "cbrt(g)", "exp": "exp(g)", "log": "log(g)", "sin": "sin(g)", "cos": "cos(g)", "tanh": "tanh(g)",
    "erf": "erf(g)", "sign": "sign(g)", "abs": "abs(g)", "floor": "floor(3*g)", "square": "square(g)",
    "min": "min(g, theta, 0.1*g)", "max": "max(g, theta)", "clip": "clip(g, -0.5, theta)",
    "lerp": "lerp(g, theta, 0.3)", "where": "where(g > theta, g, 2*theta)", "add": "g + theta",
    "sub": "g - (theta - g)", "mul": "g*theta", "lt": "where(g < theta, 1, g)",
    "le": "where(g <= theta, 1, g)", "gt": "where(g > 0, 1, g)",
    "ge": "where(g >= 0, 1, g)", "eq": "where(g == 0, 1, g)", "ne": "where(g != 0, g, 1)",
    "and": "where(g > 0 and theta > 0 or g > 1, g, theta)", "or": "where((g > 0 or theta > 0) and g < 1, g, theta)",
    "not": "where(not (g > 0 and theta > 0), g, theta)",
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(SAMPLES))
def test_an_operator_is_that_of_torch(op: str) -> None:
    native, eager = both(rule_from_text(f"param lr = 0.1\nupdate = {SAMPLES[op]}"))
    if op in ROUNDED_ALIKE:
        assert same(native, eager)
    for x, y in zip(native, eager, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_samples_are_complete() -> None:
    assert set(SAMPLES) == set(OPERATORS)


@pytest.mark.parametrize("on", [True, False])
def test_flags_and_counts_are_part_of_the_code(on: bool) -> None:
    text = """
    param lr = 0.1
    param on : bool = true
    param n : int = 2 in [0, 5]
    state b = 0 when on
    when on { b <- 0.9*b + g; let u = b } else { let u = sign(g) }
    let w = u
    repeat n { w <- 0.5*w + theta }
    update = w
    """
    text = text.replace("let w = u\n", "").replace("repeat n { w <- 0.5*w + theta }\n", "").replace("= w", "= u")
    native, eager = both(rule_from_text(text.replace("    param n : int = 2 in [0, 5]\n", "")), on=on)
    assert same(native, eager)


def test_names_that_c_needs_are_free_for_rules() -> None:
    names = ["double", "restrict", "sqrtf", "row", "at", "theta_at", "real", "NAN", "linux", "double_"]
    params = "".join(f"param {name} = 0.{i + 1}\n" for i, name in enumerate(names))
    native, eager = both(rule_from_text(f"{params}step_size = 0.1\nupdate = g*({' + '.join(names)})"))
    assert same(native, eager)


def test_different_names_stay_different_in_c() -> None:
    names = [*RESERVED, *(f"{n}_" for n in RESERVED), *(f"{n}__" for n in RESERVED), "m_at", "m_at_"]
    assert len({c_name(n) for n in names}) == len(names)


# ---------------------------------------------------------------- memory


def test_threads_share_the_work_and_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rule: Any = load(zoo("adamw"))
    out = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        ps = parameters(shapes=((500, 601), (7,), (70_001,)))
        out.append(trained(rule(ps, backend="native"), ps, 2))
    assert same(*out)


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "strided", "gradient"])
def test_any_layout(layout: str) -> None:
    def made() -> nn.Parameter:
        x = torch.arange(6 * 4 * 5 * 3, dtype=torch.float32).view(6, 4, 5, 3) / 100
        laid = {
            "channels_last": x.contiguous(memory_format=torch.channels_last),
            "transposed": x.transpose(0, 3),
            "strided": x[:, :, ::2],
            "gradient": x,
        }[layout]
        p = nn.Parameter(laid)
        p.grad = torch.sin(laid)
        if layout == "gradient":
            p.grad = torch.sin(x.transpose(0, 1).contiguous()).transpose(0, 1)
        return p

    rule: Any = load(zoo("adamw"))
    p, q = made(), made()
    for optimizer in (rule([p], compile=True), rule([q], compile=False)):
        optimizer.step()
        optimizer.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize("name", ["adamw", "lars"])
def test_what_native_code_cannot_walk_steps_beside_what_it_can(name: str) -> None:
    """At every step, whether gradients stay where they are or not; and the call is set up once."""
    rule: Any = load(zoo(name))
    laid = torch.arange(600_000, dtype=torch.float32).view(600, 1000).cos()
    ps, qs = ([nn.Parameter(laid.clone()), nn.Parameter(laid.clone()[:, 1:])] for _ in range(2))
    mixed, alone = rule(ps, backend="native"), [rule([q], compile=i == 0) for i, q in enumerate(qs)]
    for p in (*ps, *qs):
        p.grad = torch.sin(3 * p.detach())
    calls = set()
    for step in range(4):
        for optimizer in (mixed, *alone):
            optimizer.step()
        assert same(ps, qs)
        calls |= {id(batch.prepared) for job in mixed._round.jobs for batch in job.batches}
        if step == 1:
            for p in (*ps, *qs):
                p.grad = torch.cos(p.detach())
    assert len(calls) == 1


def test_autograd_notices_that_a_parameter_was_overwritten() -> None:
    rule: Any = load(zoo("adamw"))
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    loss = (p * p).sum()
    rule([p], backend="native").step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_new_numbers_and_sizes_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rule: Any = load(rule_from_text("param lr = 0.1\nparam k = 1\nstate m = 0\nm <- m/(1 + t) + k*g\nupdate = m"))
    ps = parameters()
    optimizer = rule(ps, backend="native")
    trained(optimizer, ps, 1)
    monkeypatch.setattr(subprocess, "Popen", None)
    optimizer.param_groups[0].update(lr=0.5, k=2.0)
    optimizer.add_param_group({"params": parameters(shapes=((30, 31),)), "k": 5.0})
    trained(optimizer, [p for g in optimizer.param_groups for p in g["params"]], 2)


def test_subnormal_numbers_survive() -> None:
    p = nn.Parameter(torch.full((4,), 1e-40))
    p.grad = torch.zeros(4)
    rule: Any = load(zoo("sgd"))
    rule([p], backend="native").step()
    assert torch.equal(p, torch.full((4,), 1e-40))
    assert torch.tensor(1e-40) * 1 != 0


def test_the_source_is_the_golden_one(golden: Any) -> None:
    golden("evolved.c.txt", emit_native(lower(simplify(zoo("evolved")))))


def test_native_code_follows_the_oracle_far_from_one() -> None:
    """sqrt is correctly rounded by every backend: numpy's float32 square root is the oracle."""
    xs = torch.exp(torch.linspace(-80, 80, 20_001))
    rule: Any = load(rule_from_text("param lr = 1\nupdate = theta - sqrt(g)"))
    for how in ({"backend": "native"}, {"compile": False}):
        p = nn.Parameter(torch.zeros_like(xs))
        p.grad = xs
        rule([p], **how).step()
        assert np.array_equal(p.detach().numpy(), np.sqrt(xs.numpy()))


def test_torch_compile_leaves_subnormal_numbers_as_they_were() -> None:
    rule: Any = load(rule_from_text("param lr = 0.1\nupdate = g/max(norm(g per row), 1)"))
    p = nn.Parameter(torch.ones(40, 50))
    p.grad = torch.ones(40, 50)
    rule([p], compile=True).step()
    assert (torch.full((4,), 1e-40) * 1).tolist() != [0.0] * 4
