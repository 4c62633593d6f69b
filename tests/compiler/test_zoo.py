"""Every rule of the zoo, compiled, against torch.optim or its paper's formula in float64, over 100 steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from optc.compiler.load import load
from optc.dsl.load import zoo

from .zoo_references import ZOO, Row, Trajectory

STEPS = 100
BACKENDS = ("torch", "triton")


def rounded(params: list[Tensor], dtype: torch.dtype) -> None:
    """What storing a parameter in a dtype does to it."""
    with torch.no_grad():
        for p in params:
            p.copy_(p.to(dtype))


def run(row: Row, dtype: torch.dtype, backend: str) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters after STEPS steps: ours in a dtype, and the reference's in float64, rounded as ours are stored."""
    ours, theirs = Trajectory(dtype), Trajectory(torch.float64)
    optimizer = load(zoo(row.rule))(ours.groups(row.other_lr), **row.settings, backend=backend)
    reference = row.expected(theirs.groups(row.other_lr))
    for step in range(STEPS):
        for trajectory, stepped in ((ours, optimizer), (theirs, reference)):
            trajectory.set_gradients(step)
            stepped.step()
        rounded(theirs.params, dtype)
    return ours.params, theirs.params


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", ZOO, ids=lambda row: row.rule)
def test_float32_follows_the_reference(row: Row, backend: str) -> None:
    """100 steps of float32 arithmetic on numbers near 1: every step adds at most one rounding, 6e-8, to each."""
    for p, q in zip(*run(row, torch.float32, backend), strict=True):
        torch.testing.assert_close(p.double(), q, rtol=1e-6, atol=4e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", ZOO, ids=lambda row: row.rule)
def test_bfloat16_rounds_as_the_reference_does(row: Row, backend: str) -> None:
    """Rounded once a step: equal, save where float32's error lies across a rounding boundary, one ulp (2^-8) each."""
    for p, q in zip(*run(row, torch.bfloat16, backend), strict=True):
        torch.testing.assert_close(p.double(), q, rtol=2**-7, atol=1e-6)
        differing = (p.double() != q).double().mean() if p.numel() else 0
        assert differing < 0.02


@pytest.mark.parametrize("row", ZOO, ids=lambda row: row.rule)
def test_float64_is_the_reference(row: Row) -> None:
    for p, q in zip(*run(row, torch.float64, "torch"), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)
