"""Codes, masters and rounding at random inside Triton kernels: the bits that the same steps have on float32 copies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.dsl.load import zoo

from .precise import same
from .test_ptx import optc

SHAPES = ((), (0, 4), (257,), (30, 50), (2, 1024))
"""Blocks of 256 and chunks of 1,024 with and without a rest, an empty tensor, and one number."""

WAYS: dict[str, dict[str, Any]] = {
    "8bit": {"state_dtype": "8bit"},
    "8bit at random": {"state_dtype": "8bit", "rounding": "stochastic"},
    "int8": {"state_dtype": "int8"},
    "int8 at random": {"state_dtype": "int8", "rounding": "stochastic"},
    "float32 master": {"master": "float32"},
    "float32 master and 8bit": {"master": "float32", "state_dtype": "8bit", "rounding": "stochastic"},
    "missing bits": {"master": "bits"},
    "missing bits and halves": {"master": "bits", "state_dtype": "bfloat16", "rounding": "stochastic"},
}


def run(rule: str, dtype: torch.dtype, ways: list[dict[str, Any]], in_kernels: bool, steps: int = 2) -> list[Tensor]:
    """Everything that an optimizer has of some parameters after some steps; each way is a group."""
    made: Any = load(zoo(rule) if "\n" not in rule else rule)
    module = sys.modules[made.__module__]
    with pytest.MonkeyPatch.context() as patch:
        if not in_kernels:
            patch.setattr(module, "fits", lambda batch, by_kernel: batch.works[0].precision is None)
        draw = torch.Generator().manual_seed(0)
        groups = [{"params": [parameter(shape, dtype, draw) for shape in SHAPES], **way} for way in ways]
        given = {"total": 100} if rule == "evolved" else {}
        optimizer = made(groups, backend="triton", seed=3, **given)
        for _ in range(steps):
            for group in groups:
                for p in group["params"]:
                    p.grad = torch.randn(p.shape, generator=draw, dtype=torch.float64).to(dtype)
            optimizer.step()
    every = [p for group in groups for p in group["params"]]
    return [x.detach() for p in every for x in (p, *optimizer.state[p].values())]


def parameter(shape: tuple[int, ...], dtype: torch.dtype, draw: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_kernels_keep_what_copies_would_be_kept_as(way: str, dtype: torch.dtype) -> None:
    kept, copied = (run("adamw", dtype, [WAYS[way]], inside) for inside in (True, False))
    assert all(map(same, kept, copied))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_groups_that_keep_numbers_differently_step_together(dtype: torch.dtype) -> None:
    ways = [WAYS[name] for name in ("8bit", "int8 at random", "float32 master and 8bit")]
    kept, copied = (run("adamw", dtype, ways, inside) for inside in (True, False))
    assert all(map(same, kept, copied))


@pytest.mark.parametrize("rule", ["lion", "evolved", "ademamix", "lamb"])
def test_other_rules_do_so_too(rule: str) -> None:
    """Three averages, states under a condition, and norms over tensors, which take passes that measure."""
    ways = [WAYS[way] for way in ("8bit at random", "missing bits and halves")]
    kept, copied = (run(rule, torch.bfloat16, ways, inside) for inside in (True, False))
    assert all(map(same, kept, copied))


ROWS = """
param lr = 1e-2 in [0, inf)
state s : per tensor bfloat16 = 0
state r : per row float16 = 0
state m = 0
s <- 0.9*s + 0.1*norm(g per tensor)
r <- 0.9*r + 0.1*mean(g per row)
m <- 0.9*m + g
update = m/(1 + s + abs(r))
"""


def test_kernels_on_matrices_round_at_random_themselves() -> None:
    """States of one number a tensor, of one a row and of one an element, each with random bits of its own."""
    way = {"rounding": "stochastic", "state_dtype": {"m": "bfloat16"}}
    kept, copied = (run(ROWS, torch.bfloat16, [way], inside) for inside in (True, False))
    assert all(map(same, kept, copied))


def test_such_kernels_compile(tmp_path: Path) -> None:
    rule = tmp_path / "rule.opt"
    rule.write_text(ROWS)
    done = optc("compile", str(rule), "--emit", "ttir", "--dtype", "bfloat16", "--rounding", "stochastic")
    assert done.returncode == 0, done.stderr
    assert "tt.func" in done.stdout


HARD = "param lr = 1 in [0, inf)\nstate m : per element {0} = 0\nstate v : per element {1} = 0\n"
HARD += "m <- g\nv <- {2}\nupdate = m + v"


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("codes", [("int8", "ufp8", "abs(g)"), ("fp8", "ufp8", "square(g)")])
def test_numbers_that_are_hard_to_code(codes: tuple[str, str, str], rounding: str) -> None:
    """Ties, subnormals, both zeros, blocks of one magnitude and of all, and what has no code."""
    exponents = torch.arange(-149, 128).repeat_interleave(4)
    steps = torch.arange(-512, 512) / 8
    blocks = [
        torch.ldexp(torch.tensor([1.0, -1.0625, 1.5, -1.96875]).repeat(277), exponents),
        torch.cat([torch.tensor([127.0]), steps[:255], torch.tensor([448.0]), steps[255:510] / 64]),
        torch.tensor([0.0, -0.0, 1.875, -1.875, 1e-45, 3e38, -3e38, 2.0**-31]).repeat(32),
        torch.tensor([1e-45, 0.0, -3e-45]).repeat(100)[:256],
        *(torch.linspace(-1, 1, 256).index_fill(0, torch.tensor([77]), x) for x in (torch.inf, torch.nan)),
        torch.linspace(-1, 2, 77),
    ]
    numbers = torch.cat(blocks)
    after = []
    for backend in ("torch", "triton"):
        made: Any = load(HARD.format(*codes))
        p = nn.Parameter(torch.zeros_like(numbers))
        optimizer = made([p], rounding=rounding, backend=backend, seed=2**32 - 1)
        for _ in range(2):
            p.grad = numbers.clone()
            optimizer.step()
        after.append(optimizer.state[p])
    for name in ("m", "m_scale", "v", "v_scale"):
        assert same(after[0][name], after[1][name]), name


@pytest.mark.parametrize("master", ["float32", "bits"])
def test_a_parameter_that_another_hand_wrote_to_is_followed_in_kernels(master: str) -> None:
    """Every bfloat16 there is, put in place of a parameter whose master is of other numbers."""
    written = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)
    after = []
    for backend in ("torch", "triton"):
        p = nn.Parameter(torch.randn(len(written), generator=torch.Generator().manual_seed(0)).bfloat16())
        optimizer: Any = load(zoo("adamw"))([p], lr=1e-3, wd=0.1, master=master, backend=backend)
        for _ in range(2):
            p.grad = torch.ones_like(p)
            optimizer.step()
            p.data.copy_(written)
        p.grad = torch.ones_like(p)
        optimizer.step()
        after.append([p.detach(), *optimizer.state[p].values()])
    assert all(map(same, *after))


def test_layouts_that_are_not_in_order_are_kept_all_the_same() -> None:
    after = []
    for turned in (False, True):
        p = nn.Parameter(torch.randn(40, 50, generator=torch.Generator().manual_seed(0)).bfloat16())
        p.data = p.data.t().contiguous().t() if turned else p.data
        optimizer: Any = load(zoo("adamw"))([p], backend="triton", master="bits", state_dtype="8bit")
        for t in range(3):
            p.grad = torch.randn(40, 50, generator=torch.Generator().manual_seed(t)).bfloat16()
            optimizer.step()
        after.append([p.detach(), *(x.contiguous() for x in optimizer.state[p].values())])
    assert all(map(same, *after))
