"""Every rule of the zoo against its reference, in the interpreter and compiled; and the zoo as a collection."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from optc.compiler.load import load
from optc.dsl.checks.library import GRAMMAR
from optc.dsl.load import rule_from_text, zoo
from optc.dsl.meaning import interpret
from optc.dsl.rule import Param
from optc.dsl.text.format import format_file
from optc.dsl.text.parser import parse

from .harness import SHAPES, TIGHT, Compiled, Interpreted, Row, follow
from .table import ROWS

NAMES = sorted(path.stem for path in (GRAMMAR / "zoo").glob("*.opt"))
FILES = sorted(GRAMMAR.glob("*/*.opt"))
rows = pytest.mark.parametrize("row", ROWS, ids=str)


@rows
def test_the_interpreted_rule_is_its_reference(row: Row) -> None:
    follow(row, Interpreted)


@rows
def test_the_compiled_rule_is_its_reference(row: Row) -> None:
    follow(row, Compiled)


@pytest.mark.parametrize("name", ["asgd", "schedule_free_adamw"])
def test_evaluation_sees_the_average(name: str) -> None:
    (row,) = (row for row in ROWS if row.rule == name)
    reference, interpreted = follow(row, Interpreted)
    _, compiled = follow(row, Compiled)
    compiled.optimizer.eval()
    states = interpreted.states
    seen = [
        interpret.evaluation(interpreted.rule, interpreted.settings, x, s, 60)
        for x, s in zip(interpreted.thetas, states, strict=True)
    ]
    if name == "asgd":
        expected = [reference.optimizer.state[p]["ax"] for p in reference.params]
    else:
        reference.optimizer.eval()
        expected = reference.thetas()
    for x, y, z in zip(seen, compiled.thetas, expected, strict=True):
        np.testing.assert_allclose(x, z, rtol=TIGHT, atol=TIGHT)
        np.testing.assert_allclose(y, z, rtol=TIGHT, atol=TIGHT)


# ---------------------------------------------------------------- Langevin dynamics, whose noise is its own


def langevin(noises: list[Any], temperature: float) -> list[Any]:
    """Welling & Teh 2011, equation 4, on the posterior of a standard normal prior: g = theta."""
    thetas = [np.ones(x.shape) for x in noises[0]]
    for noise in noises:
        thetas = [x - 0.05 * x + np.sqrt(0.1 * temperature) * z for x, z in zip(thetas, noise, strict=True)]
    return thetas


def test_sgld_interpreted() -> None:
    rule, thetas = zoo("sgld"), [np.ones(s) for s in SHAPES]
    setting = interpret.settings(rule, lr=0.1, temperature=0.5)
    noises = []
    for t in range(1, 61):
        noises.append([interpret.default_noise(0, i, t, np.shape(np.atleast_2d(x))) for i, x in enumerate(thetas)])
        noises[-1] = [z.reshape(x.shape) for z, x in zip(noises[-1], thetas, strict=True)]
        thetas, _ = interpret.step_all(rule, setting, thetas, thetas, [{} for _ in thetas], [t] * len(thetas))
    for x, y in zip(thetas, langevin(noises, 0.5), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=TIGHT)


def test_sgld_compiled() -> None:
    """A rule that shows its noise, with the same seed, is the tape."""
    tape = [torch.zeros(s, dtype=torch.float64, requires_grad=True) for s in SHAPES]
    params = [torch.ones(s, dtype=torch.float64, requires_grad=True) for s in SHAPES]
    show: Any = load(rule_from_text("param lr = 1\ntheta <- noise() + 0*g"), target="torch")
    recorder, sgld = show(tape, seed=4), load(zoo("sgld"), target="torch")(params, lr=0.1, temperature=0.5, seed=4)
    noises = []
    for _ in range(60):
        for p, q in zip(params, tape, strict=True):
            p.grad, q.grad = p.detach().clone(), torch.zeros_like(q)
        recorder.step()
        sgld.step()
        noises.append([q.detach().numpy().copy() for q in tape])
    for p, y in zip(params, langevin(noises, 0.5), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), y, rtol=0, atol=TIGHT)


# ---------------------------------------------------------------- what training does to a rule

ODD_SHAPES = ((3, 5), (6, 4), (7,), (), (2, 3, 4), (1, 1), (4, 1), (5, 0), (0,))


@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.float32, 0.0), (torch.float32, 1e-12), (torch.float32, 1e8), (torch.bfloat16, 1.0)]
)
@pytest.mark.parametrize("name", NAMES)
def test_rules_stay_finite(name: str, dtype: torch.dtype, scale: float) -> None:
    """At their defaults, on gradients that vanish or explode, on tensors of one element and of none."""
    draw = torch.Generator().manual_seed(2)
    params = [torch.randn(s, generator=draw).to(dtype).requires_grad_() for s in ODD_SHAPES]
    optimizer: Any = load(zoo(name), target="torch")(params, **({"total": 9} if name == "evolved" else {}))  # type: ignore[arg-type]
    for _ in range(3):
        for p in params:
            p.grad = (scale * torch.randn(p.shape, generator=draw)).to(dtype)
        optimizer.step(**({"inputs": {"h": [torch.ones_like(p) for p in params]}} if name == "sophia" else {}))
    assert all(torch.isfinite(p).all() for p in params)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "ftrl"])  # there theta follows from gradients alone
def test_rules_rest_without_a_step_size(name: str) -> None:
    """Distributed checkpoints create their states by a step of size 0 on zero gradients: nothing may move."""
    params = [torch.randn(s, generator=torch.Generator().manual_seed(2)).requires_grad_() for s in ODD_SHAPES]
    first = [p.detach().clone() for p in params]
    optimizer: Any = load(zoo(name), target="torch")(params, **({"total": 9} if name == "evolved" else {}))  # type: ignore[arg-type]
    optimizer.param_groups[0].update({key: 0.0 for key in optimizer.param_groups[0] if key.split("_")[-1] == "lr"})
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step(**({"inputs": {"h": [torch.ones_like(p) for p in params]}} if name == "sophia" else {}))
    assert all(torch.equal(p, x) for p, x in zip(params, first, strict=True))


# ---------------------------------------------------------------- the collection


def test_the_table_holds_the_whole_zoo() -> None:
    assert {*NAMES} == {row.rule for row in ROWS} | {"sgld"}
    assert len(NAMES) >= 45


@rows
def test_a_tolerance_has_a_reason(row: Row) -> None:
    assert (row.tolerance == row.compiled == TIGHT) == (row.reason == "")


def changed(p: Param, value: Any) -> Any:
    """A setting a little beside a setting."""
    if p.type == "real":
        return 0.99 * value if value else 0.01
    return not value if p.type == "bool" else value + 1


def noticed(row: Row, p: Param) -> bool:
    """Whether a row tells a rule from the same rule with one hyperparameter a hundredth off."""
    beside = changed(p, row.settings.get(p.name, p.default))
    try:
        follow(replace(row, settings={**row.settings, p.name: beside}), Interpreted)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", sorted({row.rule for row in ROWS}))
def test_every_hyperparameter_is_noticed(name: str) -> None:
    """So that no row passes because what it tests does not matter to it."""
    own = [row for row in ROWS if row.rule == name]
    ignored = {p.name for p in zoo(name).params if not any(noticed(row, p) for row in own)}
    assert ignored == ({"t0"} if name == "asgd" else set())  # when averaging starts shows in evaluation alone


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_files_are_formatted(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_file(parse(text, path.name)) == text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", NAMES)
def test_rules_name_their_source_and_their_ranges(name: str) -> None:
    rule = zoo(name)
    summary = rule.doc.splitlines()[0]  # what a list of rules shows
    assert re.search(r"\b(19|20)\d\d\b|arXiv:", summary), "the authors and the year"
    assert summary.endswith(".") and len(summary) <= 113
    assert rule.name.lower() == name.replace("_", "")
    for p in rule.params:
        assert p.type == "bool" or p.interval is not None or p.prior is not None, p.name
    assert any(p.prior is not None for p in rule.params)
