"""`optc.load_population`: P individuals on stacked parameters against P optimizers, bit for bit."""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import optc
from optc.dsl.load import rule_from_text, zoo

MUTANT = "param lr = 0.1\nstate m = {a}\nm <- {b}*m + g\nupdate = sign(m)*{c} + square(g)"
MUTANTS = [MUTANT.format(a=a, b=b, c=c) for a, b, c in ((0, 0.5, 2), (1, 0.25, 3), (0, 0.9, 0.7))]
WARM = [f"param lr = 0.1\nparam k = {k}\nlet f = where(t < 3, t/{d}, 1)\nupdate = g*f*k" for k, d in ((1, 3), (2, 5))]
OF_TENSORS = "param lr = 0.1\nupdate = g/(norm(g) + {})"
OF_ALL = "param lr = 0.1\nupdate = g/(norm_all(g) + {})"
NOISY = "param lr = 0.1\nstate m = 0\nm <- m + {}*noise()\nupdate = g + m"
BRANCHES = "param lr = 0.1\nparam mu = {} in [0, 1)\nstate b = 0 when mu > 0\n" + (
    "when mu > 0 {{ b <- mu*b + g\nlet u = b }} else {{ let u = g }}\nupdate = u"
)
SIZED = "param lr = 0.1\nparam signed: bool = {}\nlet u = where(signed, sign(g), g)\nupdate = u*sqrt(numel + {})"
POPULATIONS: dict[str, list[Any]] = {
    "mutants": MUTANTS,
    "zoo": [zoo(name) for name in ("adamw", "lion", "sgd", "adamw")],
    "schedules": WARM,
    "mixed": [*MUTANTS, zoo("adam"), *WARM, zoo("evolved")],
    "values over a tensor": [OF_TENSORS.format(0.1), OF_TENSORS.format(0.2)],
    "random numbers": [NOISY.format(0.1), NOISY.format(0.2)],
    "branches": [BRANCHES.format(mu) for mu in (0, 0.5, 0, 0.9)],
    "sizes and switches": [SIZED.format("true", 1), SIZED.format("false", 2), MUTANTS[0]],
    "computed states": ["param lr = 1\nstate z = theta\nz <- z - g\nupdate = theta - z", zoo("madgrad")],
}
SHAPES: list[tuple[int, ...]] = [(5, 3), (7,), (), (2, 3, 4)]


def stacked(count: int, dtype: torch.dtype = torch.float32) -> list[Any]:
    draw = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(count, *shape, generator=draw).to(dtype)) for shape in SHAPES]
    for p in params:
        p.grad = torch.randn(p.shape, generator=draw).to(dtype)
    return params


def slices(params: Sequence[Any], i: int) -> list[Any]:
    """Individual i's parameters, as an optimizer of its own would have them."""
    out = []
    for p in params:
        q = nn.Parameter(p.detach()[i].clone())
        q.grad = p.grad[i].clone()
        out.append(q)
    return out


def given(rule: Any) -> dict[str, Any]:
    names = {h.name for h in rule.programs[0].hyperparameters}
    return {"total": 20} if "total" in names else {}


def same_as_alone(rules: list[Any], dtype: torch.dtype, steps: int = 4, **options: Any) -> None:
    params = stacked(len(rules), dtype)
    alone = [slices(params, i) for i in range(len(rules))]
    classes: list[Any] = [optc.load(rule) for rule in rules]
    optimizers = [made(own, **given(made), **options) for made, own in zip(classes, alone, strict=True)]
    everyone: Any = optc.load_population(rules)
    settings = {"total": 20} if any(given(made) for made in classes) else {}
    together = everyone(params, **settings, **options)
    for step in range(steps):
        for n, p in enumerate(params):
            p.grad = None if step == 1 and n == 2 else torch.sin(p.detach() + step)
            for i, own in enumerate(alone):
                own[n].grad = None if p.grad is None else p.grad[i].clone()
        together.step()
        for optimizer in optimizers:
            optimizer.step()
    for i, (own, optimizer) in enumerate(zip(alone, optimizers, strict=True)):
        assert all(torch.equal(p[i], q) for p, q in zip(params, own, strict=True))
        twin = copy.deepcopy(optimizer)
        twin.load_state_dict(together.individual(i))
        for p, q in zip(own, twin.param_groups[0]["params"], strict=True):
            assert optimizer.state[p].keys() == twin.state[q].keys()
            assert all(torch.equal(x, twin.state[q][name]) for name, x in optimizer.state[p].items())


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("rules", POPULATIONS)
def test_each_is_stepped_as_if_alone(rules: str, backend: str) -> None:
    same_as_alone(POPULATIONS[rules], torch.float32, backend=backend)


@pytest.mark.parametrize("rules", ["mutants", "mixed", "values over a tensor", "random numbers"])
def test_by_triton_too(rules: str) -> None:
    same_as_alone(POPULATIONS[rules], torch.float32, backend="triton", steps=3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_in_other_dtypes(dtype: torch.dtype) -> None:
    same_as_alone(MUTANTS, dtype)


@pytest.mark.parametrize("rules", ["mixed", "sizes and switches"])
def test_capturable_too(rules: str) -> None:
    same_as_alone(POPULATIONS[rules], torch.float32, capturable=True)


def test_one_skeleton_is_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone: Any = optc.load_population([*MUTANTS, *WARM])
    assert everyone.skeletons == (0, 0, 0, 3, 3)
    launches: list[Any] = []
    module: Any = sys.modules[everyone.__module__]
    run = module.launch
    monkeypatch.setattr(module, "launch", lambda *args: (launches.append(args), run(*args)))
    everyone(stacked(5), backend="triton").step()
    assert len(launches) == 2


def test_each_may_have_its_own_hyperparameters() -> None:
    rates = [0.1, 0.01, 0.5]
    params = stacked(3)
    alone = [slices(params, i) for i in range(3)]
    everyone: Any = optc.load_population([zoo("sgd")] * 3)
    together = everyone(params, lr=rates, mu=torch.tensor([0.0, 0.5, 0.9]))
    for i, own in enumerate(alone):
        made: Any = optc.load(zoo("sgd"))
        optimizer = made(own, lr=rates[i], mu=float(torch.tensor([0.0, 0.5, 0.9])[i]))
        for _ in range(3):
            optimizer.step()
    for _ in range(3):
        together.step()
    for i, own in enumerate(alone):
        assert all(torch.equal(p[i], q) for p, q in zip(params, own, strict=True))


def test_schedulers_copies_and_checkpoints() -> None:
    params, others = stacked(2), stacked(2)
    everyone: Any = optc.load_population(["param lr = 0.1\nstate m = 0\nm <- m/2 + g\nupdate = m", zoo("adamw")])
    optimizer, other = everyone(params, lr=0.1), everyone(others, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for i in range(4):
        optimizer.step()
        schedule.step()
        other.step()
        other.param_groups[0]["lr"] = 0.1 * 0.5 ** (i + 1)
        stream = io.BytesIO()
        torch.save(other.state_dict(), stream)
        stream.seek(0)
        other = everyone(others)
        other.load_state_dict(torch.load(stream, weights_only=True))
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


SCHEDULES: dict[str, Any] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=3),
}


@pytest.mark.parametrize("given", [[0.1, 0.01, 0.5], torch.tensor([0.1, 0.01, 0.5], dtype=torch.float64), None])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_moves_each_rate(schedule: str, given: Any) -> None:
    rules = [zoo("sgd"), zoo("adamw"), zoo("adagrad")]
    params = stacked(3)
    alone = [slices(params, i) for i in range(3)]
    everyone: Any = optc.load_population(rules)
    rates = {} if given is None else {"lr": copy.deepcopy(given)}
    optimizers = [everyone(params, **rates)]
    for i, (rule, own) in enumerate(zip(rules, alone, strict=True)):
        made: Any = optc.load(rule)
        optimizers.append(made(own, **({} if given is None else {"lr": float(given[i])})))
    schedules = [SCHEDULES[schedule](optimizer) for optimizer in optimizers]
    for _ in range(4):
        for optimizer, scheduler in zip(optimizers, schedules, strict=True):
            optimizer.step()
            scheduler.step()
    for i, own in enumerate(alone):
        assert all(torch.equal(p[i], q) for p, q in zip(params, own, strict=True))


def test_rates_may_be_set_anew_as_lists_and_written_to() -> None:
    everyone: Any = optc.load_population([zoo("adamw")] * 2)
    params, wanted = stacked(2), stacked(2)
    optimizer, other = everyone(params, lr=[0.1, 0.2], betas=([0.5, 0.9], 0.99)), everyone(wanted)
    assert {type(x) for x in optimizer.state_dict()["param_groups"][0].values()} >= {torch.Tensor}
    optimizer.step()
    other.param_groups[0].update(lr=[0.1, 0.2], beta1=[0.5, 0.9], beta2=0.99)
    other.step()
    assert all(torch.equal(p, q) for p, q in zip(params, wanted, strict=True))
    other.param_groups[0]["lr"][1] = 0.0
    before = wanted[0].detach().clone()
    other.step()
    assert not torch.equal(wanted[0][0], before[0])
    assert torch.equal(wanted[0][1], before[1])


def test_an_individual_that_is_not_there() -> None:
    everyone: Any = optc.load_population([zoo("sgd")] * 3)
    optimizer = everyone(stacked(3))
    optimizer.step()
    for i in (3, 99, -4):
        with pytest.raises(IndexError, match=f"there is no individual {i}: the population has 3"):
            optimizer.individual(i)
    last, also = optimizer.individual(2), optimizer.individual(-1)
    assert all(torch.equal(last["state"][n][k], x) for n, of in also["state"].items() for k, x in of.items())


@pytest.mark.parametrize("option", [{"rounding": "stochastic"}, {"master": "float32"}, {"state_dtype": "8bit"}])
def test_precision_is_refused_in_groups_too(option: dict[str, Any]) -> None:
    everyone: Any = optc.load_population([zoo("sgd")] * 2)
    message = f"Invalid {next(iter(option))}: a population keeps parameters and states in the rules' own precision"
    with pytest.raises(ValueError, match=message):
        everyone([{"params": stacked(2), **option}])
    optimizer = everyone(stacked(2))
    optimizer.param_groups[0].update(option)
    with pytest.raises(ValueError, match=message):
        optimizer.step()


BAD: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "no stack": (
        [nn.Parameter(torch.ones(2, 2))],
        {},
        r"a parameter of shape \(2, 2\) is not a stack of 3",
    ),
    "no axis": ([nn.Parameter(torch.ones(()))], {}, "is not a stack of 3"),
    "too few values": (
        [nn.Parameter(torch.ones(3))],
        {"lr": [0.1, 0.2]},
        "Invalid learning rate: 2 values for 3 individuals",
    ),
    "an invalid value": ([nn.Parameter(torch.ones(3))], {"mu": [0.1, -2.0, 0.3]}, "Invalid mu value"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_a_value_error(case: str) -> None:
    params, settings, message = BAD[case]
    everyone: Any = optc.load_population([zoo("sgd")] * 3)
    with pytest.raises(ValueError, match=message):
        everyone(params, **settings)


def test_what_a_population_has_no_place_for_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="a population needs a rule"):
        optc.load_population([])
    with pytest.raises(optc.OptError, match="cannot be in a population: it has inputs"):
        optc.load_population([zoo("sophia")])
    everyone: Any = optc.load_population([zoo("sgd")])
    for name in ("betas", "rounding"):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            everyone(stacked(1), **{name: (0.9, 0.99)})
    with pytest.raises(optc.OptError):
        optc.load_population(["updat = g"])
    assert rule_from_text(MUTANTS[0]) is not None
