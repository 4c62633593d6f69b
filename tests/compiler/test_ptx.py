"""Ahead of time: PTX for a GPU that is not here, with 128-bit accesses to every operand of a whole chunk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ZOO = Path(__file__).parents[2] / "grammar" / "zoo"


def optc(*args: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own: in this one Triton may already be its interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [str(Path(sys.executable).with_name("optc")), *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def wide(ptx: str) -> tuple[int, int]:
    """How many 128-bit loads and stores of global memory there are."""
    found = Counter(re.findall(r"(ld|st)\.global\.v4\.b32", ptx))
    return found["ld"], found["st"]


@pytest.mark.parametrize(
    ("rule", "dtype", "loads", "stores"),
    [
        ("adamw", "float32", 8, 6),  # 1024 elements by 128 threads: two accesses for each of theta, g, m, v
        ("adamw", "bfloat16", 6, 5),  # one for theta and g
        ("lion", "float32", 6, 4),
        ("evolved", "bfloat16", 6, 5),
    ],
)
def test_whole_chunks_take_128_bit_accesses(rule: str, dtype: str, loads: int, stores: int) -> None:
    done = optc("compile", str(ZOO / f"{rule}.opt"), "--emit", "ptx", "--arch", "sm_90", "--dtype", dtype)
    assert done.returncode == 0, done.stderr
    assert ".target sm_90" in done.stdout
    assert wide(done.stdout) == (loads, stores)
    assert ".local" not in done.stdout
    assert "div.full.f32" not in done.stdout
    assert "sqrt.approx" not in done.stdout


def test_an_unknown_architecture_is_refused_in_words() -> None:
    done = optc("compile", str(ZOO / "adamw.opt"), "--emit", "ptx", "--arch", "sm_9000x")
    assert done.returncode == 1
    assert "unknown architecture `sm_9000x`" in done.stderr
    assert "Traceback" not in done.stderr
