"""Native code of rules whose elements depend on one another: against float64 torch, in any shape, by any threads."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from optc.compiler.emit.native import refusal
from optc.compiler.load import load
from optc.compiler.plan.lower import lower
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import rule_from_text, zoo, zoo_names

SHAPES = ((70, 1100), (5,), (), (0, 4), (3, 0), (40, 30, 3, 3), (2, 3, 4), (2050,), (33, 2))
PLANS = {name: lower(simplify(zoo(name))) for name in zoo_names()}


def stepped(
    rule: Any, how: dict[str, Any], shapes: Any = SHAPES, steps: int = 2, dtypes: Any = (torch.float32,)
) -> Any:
    """Parameters and states after some steps."""
    draw = torch.Generator().manual_seed(0)
    drawn = [torch.randn(s, generator=draw) for s in shapes]
    ps = [nn.Parameter(x.to(dtypes[i % len(dtypes)])) for i, x in enumerate(drawn)]
    optimizer: Any = load(rule)(ps, **how)  # type: ignore[arg-type]
    for _ in range(steps):
        for p in ps:
            p.grad = torch.randn(p.shape, generator=draw).to(p.dtype)
        optimizer.step()
    return [x.detach() for p in ps for x in (p, *optimizer.state[p].values())]


NATIVE, EAGER = {"backend": "native"}, {"compile": False}


def apart(xs: list[torch.Tensor], ys: list[torch.Tensor]) -> float:
    """The largest distance, relative to 1 + magnitude; infinite where one alone is not a number."""
    out = 0.0
    for x, y in zip(xs, ys, strict=True):
        both = x.isnan() & y.isnan() | (x == y)
        distance = ((x.double() - y.double()).abs() / (1 + y.double().abs()))[~both]
        out = max([out, *distance.nan_to_num(nan=torch.inf).flatten().tolist()])
    return out


def test_rules_without_matrix_operations_have_native_code() -> None:
    assert {name for name, plan in PLANS.items() if refusal(plan)} == {"muon", "shampoo", "soap"}


@pytest.mark.parametrize("scope", ["per row", "per col", "per matrix", "per tensor", "per model"])
def test_every_reduction_is_that_of_float64(scope: str) -> None:
    """All operations at once, and of a mean per row or column once more, by torch in float64 and in another order."""
    lines = [f"let {op} = {op}(g {scope})" for op in ("sum", "mean", "norm", "rms", "max_of")]
    text = "\n".join(["param lr = 0.1", "state m = 0", *lines, "let inner = mean(square(theta) per row)"])
    text += f"\nlet outer = rms(inner {scope})\nlet dotted = dot(g, theta {scope})\n"
    text += "m <- m + g*sum + mean + norm + rms + max_of + outer + dotted\nupdate = m"
    shapes = [s for s in SHAPES if 0 not in s]
    found, expected = (stepped(rule_from_text(text), how, shapes, dtypes=(torch.float64,)) for how in (NATIVE, EAGER))
    assert apart(found, expected) < 1e-12


def test_nothing_is_summed_up_of_nothing() -> None:
    text = "param lr = 0.1\nstate n : per tensor = 0\nn <- n + sum(g) + 1\nupdate = n*g*norm(g per row)"
    for how in (NATIVE, EAGER):
        x, step, n = stepped(rule_from_text(text), how, ((0, 4),))
        assert (x.shape, step, n) == ((0, 4), 2, 2)


def test_a_value_that_is_not_a_number_is_the_largest() -> None:
    rule: Any = load("param lr = 1\nupdate = max_of(g per row) + 0*sum(g)")
    p = nn.Parameter(torch.zeros(2, 40))
    p.grad = torch.zeros(2, 40)
    p.grad[1, 17] = torch.nan
    rule([p], **NATIVE).step()
    assert p.isnan().all()


@pytest.mark.parametrize("name", ["lamb", "adafactor", "sgld"])
def test_threads_change_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[load(zoo(name)).__module__], "PART", 64)
    out = []
    for threads in (1, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        out.append(stepped(zoo(name), NATIVE))
    assert all(apart(out[0], other) == 0 for other in out[1:])


def test_values_over_all_tensors_see_every_dtype() -> None:
    text = "param lr = 0.1\nstate m = 0\nm <- m + g/norm(g per model) + mean(theta per model) + max_of(g per model)\n"
    rule = rule_from_text(text + "update = m")
    found, expected = (stepped(rule, how, dtypes=(torch.float32, torch.float64)) for how in (NATIVE, EAGER))
    assert apart(found, expected) < 1e-5
    assert apart(found, stepped(rule, NATIVE)) > 1e-8


def test_one_tensor_that_c_cannot_walk_leaves_a_value_over_all_of_them_to_torch() -> None:
    out = []
    for how in (NATIVE, EAGER):
        ps = [nn.Parameter(torch.ones(4, 6)[:, ::2]), nn.Parameter(torch.ones(7))]
        for p in ps:
            p.grad = torch.arange(p.numel()).float().view(p.shape)
        rule: Any = load(zoo("lamb"))
        rule(ps, **how).step()
        out.append(ps)
    assert all(torch.equal(x, y) for x, y in zip(*out, strict=True))


def test_rows_count_in_the_order_of_a_tensor_and_not_of_memory() -> None:
    out = []
    for how in (NATIVE, EAGER):
        p = nn.Parameter(torch.arange(12.0).view(3, 4).t())
        p.grad = torch.ones(3, 4).t()
        rule: Any = load("param lr = 1\nupdate = sum(theta per row) + 0.1*noise()")
        rule([p], **how).step()
        out.append(p)
    assert torch.equal(*out)


def test_arithmetic_is_as_wide_as_the_widest_state() -> None:
    rule = rule_from_text("param lr = 0.1\nstate m : per element float64 = 0\nm <- m + g/3\nupdate = m")
    found = stepped(rule, NATIVE, ((50,),), 3)
    draw = torch.Generator().manual_seed(0)
    _, *grads = (torch.randn(50, generator=draw) for _ in range(4))
    assert torch.equal(found[-1], ((grads[0].double() / 3) + grads[1].double() / 3) + grads[2].double() / 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_cast_rounds(dtype: str) -> None:
    p = nn.Parameter(torch.zeros(1000))
    p.grad = torch.exp(torch.linspace(-8, 8, 1000))
    rule: Any = load(rule_from_text(f"param lr = 1\nupdate = -cast(g, {dtype})"))
    rule([p], **NATIVE).step()
    assert torch.equal(p, p.grad.to(getattr(torch, dtype)).float())


def test_a_branch_that_is_not_taken_leaves_a_state_as_it_was() -> None:
    text = "param lr = 1\nstate r : per row = 1\nwhen cols >= 4 {\n r <- r + sum(g per row)\n}\nupdate = r*g"
    found, expected = (stepped(rule_from_text(text), how, ((3, 2), (3, 5))) for how in (NATIVE, EAGER))
    assert apart(found, expected) < 1e-5


@pytest.mark.parametrize(("shape", "native"), [((300, 1000), True), ((1000, 100, 3, 1), False)])
def test_short_rows_stay_eager(shape: tuple[int, ...], native: bool) -> None:
    p = nn.Parameter(torch.ones(shape))
    p.grad = torch.ones(shape)
    optimizer: Any = load("param lr = 1\nupdate = sum(g per row)")([p])  # type: ignore[arg-type]
    optimizer.step()
    (batch,) = (batch for job in optimizer._round.jobs for batch in job.batches)
    assert (batch.prepared is not None) == native
