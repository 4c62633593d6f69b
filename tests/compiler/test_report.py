"""What kernels take of a GPU that is not here: no spills, 128-bit accesses, and no byte more than the plan counts."""

from __future__ import annotations

import json
import os

import pytest

from optc.compiler.plan.kept import Kept
from optc.compiler.plan.lower import lower
from optc.compiler.plan.moved import floor, moved
from optc.compiler.plan.passes import cut
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import zoo, zoo_names

from .test_ptx import optc

SAMPLE = {"adamw": "bfloat16", "evolved": "float32", "lamb": "bfloat16", "adafactor": "float32", "muon": "bfloat16"}
WHOLE = [(n, dtype, arch) for n in zoo_names() for dtype in ("float32", "bfloat16") for arch in ("sm_90", "gfx942")]


def assert_lean(name: str, dtype: str, *kept: str, arch: str = "sm_90") -> list[float]:
    """Returns the bytes an element of each kernel."""
    done = optc("compile", name, "--emit", "report", "--arch", arch, "--dtype", dtype, "--format", "json", *kept)
    assert done.returncode == 0, done.stderr
    kernels = json.loads(done.stdout)
    for kernel in kernels:
        assert kernel["spills"] == kernel["local"] == 0, kernel
        assert kernel["registers"] > 0
        assert kernel["bytes_moved"] == kernel["bytes_planned"], kernel
    return [kernel["bytes_moved"] for kernel in kernels]


@pytest.mark.parametrize("name", SAMPLE)
def test_kernels_are_lean(name: str) -> None:
    assert_lean(name, SAMPLE[name])


@pytest.mark.parametrize(
    ("dtype", "kept", "moved"),
    [
        ("float32", ["--state-dtype", "8bit"], 12 + 2 * 2),  # theta twice and g; the codes of m and v twice
        ("bfloat16", ["--master", "bits", "--state-dtype", "8bit", "--rounding", "stochastic"], 2 * 4 + 2 + 2 * 2),
    ],
)
def test_what_is_kept_in_few_bits_moves_few_bytes(dtype: str, kept: list[str], moved: int) -> None:
    assert assert_lean("adamw", dtype, *kept) == [moved]


def test_kernels_on_matrices_have_no_codes() -> None:
    done = optc("compile", "muon", "--emit", "report", "--state-dtype", "8bit")
    assert done.returncode == 1
    assert "its kernels work on matrices, and have neither masters nor codes of 8 bits" in done.stderr


@pytest.mark.skipif("OPTC_WHOLE_ZOO" not in os.environ, reason="minutes of compiling: set OPTC_WHOLE_ZOO=1")
@pytest.mark.parametrize(("name", "dtype", "arch"), WHOLE)
def test_all_kernels_are_lean(name: str, dtype: str, arch: str) -> None:
    assert_lean(name, dtype, arch=arch)


@pytest.mark.parametrize(
    ("name", "dtype", "passes", "least"),
    [
        ("adamw", "float32", [28], 28),  # theta, g, m and v, and all but g again
        ("adamw", "bfloat16", [6 + 16], 6 + 16),
        ("lion", "float32", [20], 20),
        ("lamb", "float32", [8, 16, 28], 28),  # norms of g and theta; the norm of r; the step
        ("adafactor", "float32", [8, 0, 4, 12], 12),  # means of g^2; of R; the rms of u
    ],
)
def test_the_plan_counts_what_passes_move(name: str, dtype: str, passes: list[int], least: int) -> None:
    plan = lower(simplify(zoo(name)))
    flags = {"case1": True, "case2": False, "case_amsgrad": False}
    found = moved(plan, cut(plan), flags, Kept(dtype))
    assert [m.loads + m.stores for m in found] == passes
    assert floor(plan, cut(plan), flags, Kept(dtype)) == least


def test_a_report_is_a_table() -> None:
    done = optc("compile", "adamw", "--emit", "report")
    head, row = done.stdout.splitlines()
    assert head.split()[:3] == ["kernel", "registers", "spills"]
    assert row.split()[:2] == ["kernel", "float32"]
    assert row.split()[-3:] == ["28", "28", "28"]


def test_amds_kernels_are_lean_too() -> None:
    assert assert_lean("lamb", "float32", arch="gfx942") == [8, 16, 28]
