"""Training in low precision: the example's own runs, shortened, and averages that must go on moving."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optc.compiler.load import load

ROOT = Path(__file__).parents[2]
STEPS = 250


def example() -> Any:
    spec = importlib.util.spec_from_file_location("example_precision", ROOT / "examples" / "precision.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = example()


@pytest.fixture(scope="module")
def exact() -> np.ndarray[Any, Any]:
    return np.log10(EXAMPLE.losses(EXAMPLE.WAYS["float32"], 0, STEPS))


def apart(way: str, exact: np.ndarray[Any, Any]) -> float:
    """How many decades a run's loss is off at its end, averaged over the last four points."""
    return float((np.log10(EXAMPLE.losses(EXAMPLE.WAYS[way], 0, STEPS)) - exact)[-4:].mean())


FOLLOWS = 0.04
"""Decades; seeds differ by 0.03 at this length."""


@pytest.mark.parametrize(
    "way", ["8-bit states", "bfloat16 parameters, stochastic", "bfloat16 parameters, master bits, 8-bit states"]
)
def test_a_run_in_low_precision_follows_float32(way: str, exact: np.ndarray[Any, Any]) -> None:
    assert abs(apart(way, exact)) < FOLLOWS


def test_linear_codes_of_second_moments_diverge() -> None:
    assert len(EXAMPLE.losses(EXAMPLE.WAYS["int8 states"], 0, 100)) < 100 // EXAMPLE.EVERY + 1


AVERAGE = "param lr = 1 in [0, inf)\nstate v = 0\nv <- 0.999*v + 0.001*g^2\nupdate = v"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"state_dtype": "bfloat16"}, 1.0),
        ({"state_dtype": "bfloat16", "rounding": "stochastic"}, 0.999**700),
        ({"state_dtype": "8bit", "rounding": "stochastic"}, 0.999**700),
        ({"state_dtype": "8bit"}, 0.999**700),  # all of a block decay together, and that is its scale
    ],
)
def test_an_average_decays_unless_its_steps_are_rounded_away(options: dict[str, Any], left: float) -> None:
    """The mean of 4,096 elements; at random each ends within some hundredths of its share, so the mean within 1%."""
    p = nn.Parameter(torch.zeros(4096))
    optimizer: Any = load(AVERAGE)([p], lr=0.0, **options)
    p.grad = torch.rand(4096, generator=torch.Generator().manual_seed(0)) + 0.5
    optimizer.step()
    first = average(optimizer, p)
    p.grad = torch.zeros(4096)
    for _ in range(700):
        optimizer.step()
    assert abs(average(optimizer, p) / first - left) < 0.01 * left


def average(optimizer: Any, p: nn.Parameter) -> float:
    """The mean of v, as a step reads it: with lr 1 and no gradient this is what moves p."""
    before = p.detach().clone()
    state = {name: x.clone() for name, x in optimizer.state[p].items()}
    p.grad, kept = torch.zeros_like(p), p.grad
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    moved = float((before - p.detach()).mean()) / 0.999
    optimizer.param_groups[0]["lr"] = 0.0
    p.grad = kept
    with torch.no_grad():
        p.copy_(before)
        for name, x in state.items():
            optimizer.state[p][name].copy_(x)
    return moved


def test_the_results_that_the_manual_shows_are_a_run_of_the_example() -> None:
    found = json.loads((ROOT / "docs" / "results" / "precision.json").read_text())
    assert set(found["losses"]) == set(EXAMPLE.WAYS)
    for way, runs in found["losses"].items():
        assert EXAMPLE.far(runs, found["losses"]["float32"]) == found["far"][way]
        fails = way.startswith(("plain", "int8"))
        assert fails == (found["far"][way] is None or found["far"][way]["last"] > 2 * found["far"][way]["spread_last"])
