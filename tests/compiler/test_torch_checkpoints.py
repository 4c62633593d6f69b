"""What torch's own optimizers have saved, read by ours, and the other way: each goes on as the other goes on."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing._internal.common_utils import TestCase

from optc.compiler.load import load
from optc.dsl.load import zoo

PAIRS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "adadelta": ("adadelta", torch.optim.Adadelta, {"rho": 0.8}),
    "adafactor": ("adafactor", torch.optim.Adafactor, {"beta2_decay": -0.7}),
    "adagrad": ("adagrad", torch.optim.Adagrad, {"initial_accumulator_value": 0.1, "lr_decay": 0.1}),
    "adam": ("adam", torch.optim.Adam, {"betas": (0.8, 0.9), "weight_decay": 0.1}),
    "adam, decoupled": ("adam", torch.optim.Adam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamax": ("adamax", torch.optim.Adamax, {"betas": (0.8, 0.9)}),
    "adamw": ("adamw", torch.optim.AdamW, {"weight_decay": 0.2}),
    "adamw, amsgrad": ("adamw", torch.optim.AdamW, {"amsgrad": True}),
    "amsgrad": ("amsgrad", torch.optim.Adam, {"amsgrad": True}),
    "asgd": ("asgd", torch.optim.ASGD, {"t0": 2}),
    "muon": ("muon", torch.optim.Muon, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
    "nadam": ("nadam", torch.optim.NAdam, {"momentum_decay": 0.01}),
    "nesterov": ("nesterov", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "radam": ("radam", torch.optim.RAdam, {}),
    "rmsprop": ("rmsprop", torch.optim.RMSprop, {"centered": True, "momentum": 0.5}),
    "rprop": ("rprop", torch.optim.Rprop, {"etas": (0.4, 1.3), "step_sizes": (1e-5, 10)}),
    "sgd": ("sgd", torch.optim.SGD, {"momentum": 0.5, "dampening": 0.1}),
    "sgd without momentum": ("sgd", torch.optim.SGD, {"momentum": 0}),
    "sgd, Nesterov's": ("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
}
"""The rule, torch's class, and settings that are not the defaults."""

ROUNDED = {"asgd": 1e-6, "nadam": 1e-6, "muon": 1e-2}
"""Where torch keeps a number in float32, or rounds to bfloat16 elsewhere."""


def parameters(name: str) -> list[nn.Parameter]:
    shapes = ((3, 4), (4, 2)) if name == "muon" else ((3, 4), (5,))
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64)) for shape in shapes]


def run(optimizer: Any, first: int, steps: int = 4) -> None:
    for step in range(first, first + steps):
        draw = torch.Generator().manual_seed(step)
        for p in optimizer.param_groups[0]["params"]:
            p.grad = torch.randn(p.shape, generator=draw, dtype=p.dtype)
        optimizer.step()


@pytest.mark.parametrize("name", PAIRS)
def test_ours_goes_on_from_what_torchs_has_saved(name: str) -> None:
    rule, cls, given = PAIRS[name]
    theirs, ours = parameters(rule), parameters(rule)
    optimizer, other = cls(theirs, lr=0.01, **given), load(zoo(rule))(ours)
    run(optimizer, 0)
    saved = copy.deepcopy(optimizer.state_dict())
    for p, q in zip(ours, theirs, strict=True):
        p.data.copy_(q.data)
    other.load_state_dict(saved)
    TestCase().assertEqual(saved, optimizer.state_dict(), rtol=0, atol=0)  # what was given stays as it was
    run(optimizer, 4)
    run(other, 4)
    tolerance = ROUNDED.get(name, 1e-10)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "asgd"])
def test_torchs_goes_on_from_what_ours_has_saved(name: str) -> None:
    rule, cls, given = PAIRS[name]
    theirs, ours = parameters(rule), parameters(rule)
    kept = given if rule not in ("amsgrad", "nesterov") else {}  # there these are the rule
    optimizer, other = load(zoo(rule))(ours, lr=0.01, **kept), cls(theirs)
    run(optimizer, 0)
    for p, q in zip(theirs, ours, strict=True):
        p.data.copy_(q.data)
    other.load_state_dict(copy.deepcopy(optimizer.torch_state_dict()))  # type: ignore[attr-defined]  # torch shares it
    assert other.param_groups[0].keys() >= cls(theirs).param_groups[0].keys()
    run(optimizer, 4)
    run(other, 4)
    tolerance = ROUNDED.get(name, 1e-10)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)


def test_what_torch_has_no_place_for_is_refused() -> None:
    adamw, muon = load(zoo("adamw")), load(zoo("muon"))
    cases: list[tuple[Any, str]] = [
        (load(zoo("asgd"))(parameters("asgd")), "torch's ASGD keeps eta, mu, and this rule does not"),
        (adamw(parameters("adamw"), state_dtype="8bit"), "nothing for m_scale, v_scale"),  # type: ignore[call-arg]
        (muon(parameters("adamw")), "nothing for m, v"),
    ]
    for optimizer, message in cases:
        run(optimizer, 0, 1)
        with pytest.raises(ValueError, match=message):
            optimizer.torch_state_dict()


def test_arguments_have_torchs_order() -> None:
    for rule, cls, given in (
        ("adamw", torch.optim.AdamW, (0.01, (0.8, 0.9), 1e-6, 0.1, True)),
        ("rmsprop", torch.optim.RMSprop, (0.01, 0.9, 1e-6, 0.1, 0.5, True)),
        ("adagrad", torch.optim.Adagrad, (0.01, 0.1, 0.2, 0.3, 1e-6)),
        ("sgd", torch.optim.SGD, (0.01, 0.5, 0.0, 0.2, True)),
        ("nadam", torch.optim.NAdam, (0.01, (0.8, 0.9), 1e-6, 0.1, 0.01, True)),
        ("rprop", torch.optim.Rprop, (0.01, (0.4, 1.3), (1e-5, 10))),
        ("adafactor", torch.optim.Adafactor, (0.01, -0.7, (1e-6, 1e-2), 2.0, 0.1)),
    ):
        ours, theirs = parameters(rule), parameters(rule)
        run(load(zoo(rule))(ours, *given), 0)
        run(cls(theirs, *given), 0)
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=ROUNDED.get(rule, 1e-10), atol=ROUNDED.get(rule, 1e-10))


def test_what_another_rule_has_saved_is_refused_and_nothing_is_lost() -> None:
    foreign: list[tuple[str, Any, str]] = [
        ("adamw", torch.optim.RMSprop(parameters("adamw")), "another rule's: it has square_avg, and not m, v"),
        ("sgd", torch.optim.Adam(parameters("sgd")), "another rule's: it has exp_avg, exp_avg_sq, and not b"),
        ("amsgrad", torch.optim.Adam(parameters("adam")), "amsgrad=False, and this rule is amsgrad=True"),
        ("adamw", torch.optim.Adam(parameters("adam")), "decoupled_weight_decay=False, and this rule is"),
        ("nesterov", torch.optim.SGD(parameters("sgd"), momentum=0.9), "nesterov=False"),
        ("lion", torch.optim.Adadelta(parameters("lion")), "another rule's: it has acc_delta, square_avg, and not m"),
    ]
    for rule, theirs, message in foreign:
        run(theirs, 0)
        params = parameters(rule)
        optimizer = load(zoo(rule))(params, lr=0.5)
        run(optimizer, 0)
        before = copy.deepcopy(optimizer.state_dict())
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(before["state"], optimizer.state_dict()["state"], rtol=0, atol=0)
        assert before["param_groups"] == optimizer.state_dict()["param_groups"]


def test_a_state_of_another_shape_is_refused_before_any_code_reads_it() -> None:
    for rule in ("adamw", "adafactor", "shampoo", "nadam"):
        p, q = (nn.Parameter(torch.ones(shape)) for shape in ((4, 6), (6, 5)))
        optimizer, other = (load(zoo(rule))([x]) for x in (p, q))
        p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
        optimizer.step()
        other.load_state_dict(optimizer.state_dict())
        with pytest.raises(RuntimeError, match="has the shape"):
            other.step()
