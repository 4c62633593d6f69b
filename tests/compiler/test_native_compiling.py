"""The C compiler's part in native code: when it is started, what it leaves to other processes, and life without it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from optc.compiler.load import load
from optc.dsl.load import rule_from_text


def child(code: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    setup = (
        "import torch, optc\n"
        "p = torch.nn.Parameter(torch.ones(600, 600)); p.grad = torch.ones(600, 600)\n"
        "o = optc.load(optc.zoo('adamw'))([p])\n"
    )
    env = os.environ | {"OPTC_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | environment
    command = [sys.executable, "-c", setup + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_compiler_works_behind_the_first_steps_and_for_all_processes(tmp_path: Path) -> None:
    steps = (
        "import gc, sys\nmodule = sys.modules[type(o).__module__]\n"
        "while not module.compiled_c.cache_info().currsize: o.step()\n"
        "(code,) = [x for x in gc.get_objects() if isinstance(x, module.CompiledC)]\n"
        "print(code.library is None)\n"
        "while code.library is None: o.step()\n"
        "o.step(); print(torch.isfinite(p).all().item())\n"
    )
    first = child(steps, tmp_path)
    assert first.stdout.split() == ["True", "True"], first.stderr
    (made,) = (tmp_path / "native").iterdir()
    second = child(steps, tmp_path, CC="/bin/false", PATH="")
    assert second.stdout.split() == ["False", "True"], second.stderr
    assert [x.name for x in (tmp_path / "native").iterdir()] == [made.name]


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"PATH": ""}, "no C compiler was found"), ({"CC": "false"}, "the C compiler failed")],
)
def test_without_a_compiler_torch_does_it_after_one_warning(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    code = "o = type(o)([p], compile=True)\nfor _ in range(4): o.step()\nprint(p.mean().item() < 1)"
    done = child(code, tmp_path, **environment)
    assert done.stdout == "True\n", done.stderr
    assert done.stderr.count(words) == 1
    assert "eager torch runs" in done.stderr


def test_a_broken_file_in_the_cache_is_made_again(tmp_path: Path) -> None:
    child("o = type(o)([p], compile=True); o.step()", tmp_path)
    (made,) = (tmp_path / "native").iterdir()
    made.write_bytes(b"not a library")
    done = child("o = type(o)([p], compile=True); o.step(); print(p.mean().item() < 1)", tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert made.stat().st_size > 1000


def test_who_insists_on_native_code_is_told_why_there_is_none(tmp_path: Path) -> None:
    code = "o = type(o)([p], backend='native')\ntry: o.step()\nexcept RuntimeError as e: print(e)"
    assert "no C compiler was found" in child(code, tmp_path, PATH="").stdout


def test_little_work_starts_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    rule: Any = load(rule_from_text("param lr = 0.25\nupdate = g"))
    p = nn.Parameter(torch.ones(100))
    p.grad = torch.ones(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule([p]).step()
    assert p[0] == 0.75


def test_work_adds_up_until_it_is_worth_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hundred elements count little, but many steps on them count as much as a large model."""
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path))
    started: list[Any] = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **how: started.append(1) or popen(*args, **how))
    rule: Any = load(rule_from_text("param lr = 0.25\nstate m = 0\nm <- 0.5*m + cos(t)*g\nupdate = m"))
    p = nn.Parameter(torch.ones(100))
    p.grad = torch.ones(100)
    optimizer = rule([p])
    module = sys.modules[rule.__module__]
    needed = -(-module.WORTH // (100 + module.CALLS))  # type: ignore[attr-defined]
    for _ in range(needed - 1):
        optimizer.step()
    assert not started
    optimizer.step()
    assert started == [1]
