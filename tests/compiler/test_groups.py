"""Torch's names for hyperparameters, in constructors and in groups: views of the rule's own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR
from torch.optim.optimizer import ParamsT

from optc.compiler.load import load
from optc.dsl.load import rule_from_text, zoo

AdamW: Any = load(zoo("adamw"))
SGD: Any = load(zoo("sgd"))
Adan: Any = load(zoo("adan"))


def parameter(seed: int = 0) -> nn.Parameter:
    draw = torch.Generator().manual_seed(seed)
    p = nn.Parameter(torch.randn(4, generator=draw, dtype=torch.float64))
    p.grad = torch.randn(4, generator=draw, dtype=torch.float64)
    return p


def test_torchs_spelling_of_a_constructor() -> None:
    p, q = parameter(), parameter()
    given: dict[str, Any] = {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.2}
    ours, theirs = AdamW([p], **given), torch.optim.AdamW([q], **given)
    for optimizer in (ours, theirs):
        optimizer.step()
        optimizer.param_groups[0]["betas"] = (0.6, 0.8)
        optimizer.param_groups[0]["weight_decay"] = 0.4
        optimizer.step()
    torch.testing.assert_close(p, q, rtol=1e-14, atol=1e-14)
    assert ours.param_groups[0]["beta1"] == 0.6
    assert ours.defaults["betas"] == (0.5, 0.7)


def test_a_group_may_use_torchs_names() -> None:
    optimizer = SGD(
        [{"params": [parameter()], "momentum": 0.3, "weight_decay": 0.1}, {"params": [parameter(1)]}], mu=0.5
    )
    assert [(g["mu"], g["momentum"], g["wd"]) for g in optimizer.param_groups] == [(0.3, 0.3, 0.1), (0.5, 0.5, 0)]
    assert Adan([parameter()], betas=(0.1, 0.2, 0.3)).param_groups[0]["beta3"] == 0.3


def test_what_a_group_lists_and_keeps_are_the_rules_own_names() -> None:
    optimizer = AdamW([parameter()])
    group = optimizer.param_groups[0]
    for view in (list(group), dict(group), optimizer.state_dict()["param_groups"][0]):
        assert "betas" not in list(view) and "beta1" in list(view)
    assert type(optimizer.state_dict()["param_groups"][0]) is dict
    assert "betas" in group and "momentum" not in group and group.get("momentum", 7) == 7
    assert group.setdefault("betas", (0, 0)) == (0.9, 0.999)
    with pytest.raises(KeyError, match="momentum"):
        group["momentum"]
    assert group.copy() == group and group.copy()["betas"] == (0.9, 0.999)


def test_type_checkers_see_what_arguments_may_be() -> None:
    hints = {cls: get_type_hints(cls.__init__) for cls in (AdamW, load(zoo("muon")))}
    assert hints[AdamW]["params"] == ParamsT
    assert hints[AdamW]["betas"] == Sequence[float | Tensor | None] | None
    assert {hints[cls]["weight_decay"] for cls in hints} == {float | Tensor | None}
    assert hints[load(zoo("muon"))]["adjust_lr_fn"] == int | str | None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"betas": (0.9,)}, ValueError, r"Invalid betas value: \(0.9,\); it must have 2 numbers, beta1, beta2"),
        ({"betas": 0.9}, TypeError, "Invalid betas value: 0.9; it must be a tuple for beta1, beta2"),
        ({"betas": (0.9, 1.0)}, ValueError, r"Invalid beta parameter at index 1: 1\.0; beta2 must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, ValueError, "Invalid weight_decay value: -1.0"),
        ({"momentum": 0.9}, TypeError, "momentum"),
    ],
)
def test_bad_values_are_refused_in_words(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AdamW([parameter()], **given)


def test_a_rule_with_a_hyperparameter_of_that_name_keeps_it() -> None:
    rule: Any = load(rule_from_text("param lr = 0.1\nparam momentum = 0.5\nparam mu = 0.25\nupdate = g*momentum*mu"))
    group = rule([parameter()], momentum=0.75).param_groups[0]
    assert (group["momentum"], group["mu"]) == (0.75, 0.25)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_know_the_names_too(how: Callable[[Any], Any]) -> None:
    twin = how(AdamW([parameter()]))
    twin.param_groups[0]["betas"] = (0.1, 0.2)
    assert twin.param_groups[0]["beta2"] == 0.2
    twin.load_state_dict(AdamW([parameter()], weight_decay=0.7).state_dict())
    assert twin.param_groups[0]["weight_decay"] == 0.7


def test_groups_saved_by_torch_are_understood() -> None:
    theirs = torch.optim.AdamW([parameter()], lr=0.3, betas=(0.4, 0.5), weight_decay=0.6)
    ours = AdamW([parameter()])
    ours.load_state_dict(theirs.state_dict())
    group = ours.param_groups[0]
    assert (group["lr"], group["beta1"], group["beta2"], group["wd"]) == (0.3, 0.4, 0.5, 0.6)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: OneCycleLR(o, max_lr=0.1, total_steps=12),
        lambda o: CyclicLR(o, base_lr=0.01, max_lr=0.1, step_size_up=3, cycle_momentum=True),
    ],
    ids=["one cycle", "cyclic"],
)
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_schedules_of_the_momentum(name: str, schedule: Callable[[Any], Any]) -> None:
    p, q = parameter(), parameter()
    pairs: dict[str, tuple[Any, Any]] = {
        "adamw": (AdamW([p]), torch.optim.AdamW([q])),
        "sgd": (SGD([p], lr=0.1, momentum=0.9), torch.optim.SGD([q], lr=0.1, momentum=0.9)),
    }
    for optimizer in pairs[name]:
        scheduler = schedule(optimizer)
        for _ in range(10):
            optimizer.step()
            scheduler.step()
    torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_torchs_words_for_a_number() -> None:
    muon: Any = load(zoo("muon"))
    p = torch.nn.Parameter(torch.ones(2, 3))
    for given, own, read in ((None, 0, None), ("original", 0, None), ("match_rms_adamw", 1, "match_rms_adamw")):
        (group,) = muon([{"params": [p], "adjust_lr_fn": given}]).param_groups
        assert (group["scale"], group["adjust_lr_fn"]) == (own, read)
    with pytest.raises(ValueError, match="function largest is not supported; it must be one of None, 'original'"):
        muon([p], adjust_lr_fn="largest")
