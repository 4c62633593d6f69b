"""`examples/gpu.py`, where there is no GPU: figures are measured and written, none is judged."""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from optc.compiler import bench

SCRIPT = Path(__file__).parents[2] / "examples" / "gpu.py"
OTHERS = ["ResNet-50", "GPT-2", "1,000 tensors of 4,096", "400 groups of 4,096"]


def ran(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *args])
    monkeypatch.setattr(bench, "WARM", bench.WARM)
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert isinstance(done.value.code, int)
    return done.value.code


def told(monkeypatch: pytest.MonkeyPatch, out: Path, *args: str) -> dict[str, Any]:
    assert ran(monkeypatch, "--device", "cpu", "--small", "--out", str(out), *args) == 0
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert result["failed"] == {} and result["device_name"].startswith("CPU") and result["versions"]["torch"]
    assert all(row["value"] > 0 and row["reached"] is None for row in result["figures"])
    return result


def test_every_figure_beside_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [name for name in runpy.run_path(str(SCRIPT))["FIGURES"] if name != "compile time"]
    result = told(monkeypatch, tmp_path / "new" / "x.json", *(f"--figure={name}" for name in names))
    rows = {(f["figure"], f["measured"]): f for f in result["figures"]}
    wanted = {(f"256M, {d}", f"{r}, {d}"): 0.92 for d in ("float32", "bfloat16") for r in ("adamw", "lion", "evolved")}
    wanted |= {(name, "adamw, float32"): t for name, t in zip(OTHERS, (1, 1, 1.5, 5), strict=True)}
    assert {key: row["target"] for key, row in rows.items()} == {
        **{key: f"at least {target}" for key, target in wanted.items()},
        ("host time", "adamw, 300 tensors where they were"): "at most 60",
        ("256M, 8 bits", "adamw, float32"): "no target",
        ("256M, stochastic", "adamw, bfloat16"): "no target",
    }
    for name in OTHERS:
        ours, fused = rows[name, "adamw, float32"]["bench"]
        assert (ours["name"], fused["name"]) == ("zoo:adamw:eager", "torch:adamw:fused")
        assert rows[name, "adamw, float32"]["value"] == fused["times_first"]


def test_compiling_is_timed_in_new_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = told(monkeypatch, tmp_path / "x.json", "--figure", "compile time")["figures"]
    assert [r["measured"] for r in rows] == ["adamw, cold", "adamw, from the cache"]
    assert [r["target"] for r in rows] == ["at most 2", "at most 0.02"]
    assert all(r["value"] == r["load_s"] + r["step_s"] for r in rows)


def test_a_figure_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none_left(*_: object) -> None:
        raise ValueError("no memory is left")

    monkeypatch.setattr(bench, "expect_memory", none_left)
    out = tmp_path / "x.json"
    args = ("--device", "cpu", "--small", "--figure", "GPT-2", "--figure", "host time", "--out", str(out))
    assert ran(monkeypatch, *args) == 1
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["failed"] == {"GPT-2": "ValueError: no memory is left"}
    assert [row["figure"] for row in result["figures"]] == ["host time"]


def test_a_figure_has_a_process_and_a_time_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(SCRIPT))
    setup, apart = script["Setup"]("cpu", True, "eager", 4), script["apart"]
    (row,) = apart(setup, "host time", time.monotonic() + 100)
    assert row["value"] > 0 and row["measured"] in capfd.readouterr().out
    with pytest.raises(RuntimeError, match="it took more than 0 s"):
        list(apart(setup, "host time", time.monotonic() + 0.1))
    with pytest.raises(TimeoutError, match="no time was left"):
        list(apart(setup, "host time", time.monotonic()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, "--out", str(tmp_path / "x.json")) == 2
    assert "torch finds no GPU on this machine" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_figure_is_judged_on_a_gpu_at_full_size() -> None:
    setup = runpy.run_path(str(SCRIPT))["Setup"]
    full, small = setup("cuda", False, "triton", 30), setup("cuda", True, "triton", 4)
    judged = [
        ("of a copy's bandwidth", 0.93, True),
        ("of a copy's bandwidth", 0.91, False),
        ("s", 0.91, True),
        ("us", 0.93, False),
    ]
    for unit, value, reached in judged:
        assert full.row("x", value, unit, 0.92)["reached"] is reached
        assert small.row("x", value, unit, 0.92)["reached"] is None
    assert full.row("x", 0.5, "s", None)["reached"] is None
