"""Ahead of time: PTX for a GPU that is not here, with 128-bit accesses to every operand of a whole chunk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from optc.compiler.target import target_of
from optc.dsl.diagnostics import OptError

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
        ("lamb", "float32", 20, 6),  # the gradient's norm: g; those of r and theta: all four; the step: all four
        ("novograd", "float32", 8, 4),  # its second moment is one number a tensor
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


@pytest.mark.parametrize(("kind", "arch", "sign"), [("amdgcn", "gfx942", "amdgcn"), ("ttir", "sm_100", "tt.func")])
def test_other_vendors_and_stages(kind: str, arch: str, sign: str) -> None:
    done = optc("compile", str(ZOO / "lamb.opt"), "--emit", kind, "--arch", arch)
    assert done.returncode == 0, done.stderr
    assert sign in done.stdout


def test_sums_of_pieces_compile_too() -> None:
    """What adds up the parts that pieces found, which is the same for every rule."""
    code = (
        "import sys; from optc import zoo; from optc.compiler.load import load\n"
        "from optc.compiler.target import compile_kernel, target_of\n"
        "module = sys.modules[load(zoo('adafactor')).__module__]\n"
        "combine, combine_lines = module.combine, module.combine_lines\n"
        "for largest in (True, False):\n"
        "    chunks = combine.compiled, {'column': 1, 'columns': 3, 'largest': largest, 'BLOCK': 1024}\n"
        "    tiles = combine_lines.compiled, {'largest': largest, 'PARTS': 16, 'RESULTS': 64}\n"
        "    made = [compile_kernel(*x, target_of('sm_90', 'ptx')).asm['ptx'] for x in (chunks, tiles)]\n"
        "    print([ptx.count('.entry') for ptx in made])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "[1, 1]\n[1, 1]\n", done.stderr


@pytest.mark.parametrize(("kind", "arch"), [("ptx", "gfx942"), ("hsaco", "sm_90")])
def test_a_code_that_an_architecture_has_not_is_refused(kind: str, arch: str, tmp_path: Path) -> None:
    done = optc("compile", str(ZOO / "adamw.opt"), "--emit", kind, "--arch", arch, "-o", str(tmp_path))
    assert done.returncode == 1
    assert f"there is no {kind} for `{arch}`" in done.stderr


def test_an_unknown_architecture_is_refused_in_words() -> None:
    done = optc("compile", str(ZOO / "adamw.opt"), "--emit", "ptx", "--arch", "sm_9000x")
    assert done.returncode == 1
    assert "unknown architecture `sm_9000x`" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_compiled_where_kernels_are_to_be_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(OptError, match="with TRITON_INTERPRET in the environment Triton compiles nothing"):
        target_of("sm_90", "ptx")
