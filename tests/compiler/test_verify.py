"""`optc verify`: every rule of the zoo on every backend is what it says, and a backend that is not gets caught."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from optc.compiler.cli.verify import verify_
from optc.compiler.emit import module
from optc.compiler.emit import native as emit_native
from optc.compiler.emit import torch as emit_torch
from optc.compiler.emit.spell import call
from optc.compiler.plan.lower import lower
from optc.compiler.verify import verify
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import ZOO, rule_from_text, zoo, zoo_names

REQUIRED: dict[str, Any] = {"total": 100, "total_steps": 100}


def settings(name: str) -> dict[str, Any]:
    """Values for the hyperparameters that have no default."""
    return {p.name: REQUIRED[p.name] for p in zoo(name).params if p.default is None}


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_holds(name: str) -> None:
    checks = list(verify(zoo(name), settings(name), steps=2))
    assert [c for c in checks if not c.ok] == []
    assert all(c.backend in ("native", "triton") for c in checks if c.skipped)
    assert len({(c.backend, c.dtype) for c in checks}) == 12


def test_a_wrong_backend_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emit_torch.TORCH, "sqrt", call("torch.rsqrt"))
    checks = {(c.backend, c.dtype): c.ok for c in verify(zoo("adamw"), {}, steps=2)}
    assert not checks["torch", "float64"]
    assert not checks["torch", "float32"]
    assert checks["triton", "float32"]


SPOILED = [
    ("square(g)", "square(g + 1)"),
    ("(real)row[0]", "(real)row[1]"),
    ("first += sizes[i++]", "first += sizes[i++] + 1"),
    ("scalars + 9 * rows[i]", "scalars"),
    ("m_at[at] = STORE", "if (at) m_at[at] = STORE"),
]


@pytest.mark.parametrize(("right", "wrong"), SPOILED)
def test_wrong_native_code_is_caught(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it goes wrong: in arithmetic, in the scalar table, at the border of tensors, in another group."""
    emitted = emit_native.emit_native(lower(simplify(zoo("adamw"))))
    spoiled = emitted.replace(right, wrong)
    assert spoiled != emitted
    monkeypatch.setattr(module, "emit_native", lambda plan: spoiled)
    checks = [c for c in verify(zoo("adamw"), {}, steps=6) if c.backend in ("torch", "native")]
    assert {c.dtype for c in checks if not c.ok and c.backend == "native"} >= {"float64", "float32"}
    assert all(c.ok for c in checks if c.backend == "torch")


def test_branches_that_the_settings_do_not_take_are_checked() -> None:
    text = "param lr = 0.1\nparam on : bool = false\nparam k : int = 0 in [0, 9]\nstate b = 0 when on\n"
    text += "when on { b <- 0.9*b + g\nlet u = b } else { let u = g }\nwhen k > 1 { let w = u } else { let w = 2*u }\n"
    checks = list(verify(rule_from_text(text + "update = w"), {}, steps=3))
    assert all(c.ok for c in checks)
    assert {c.changed for c in checks if c.backend == "native"} == {"", "on=1", "k=2"}


def test_a_backend_that_gives_nan_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emit_torch.TORCH, "sqrt", call("torch.acosh"))
    assert not all(c.ok for c in verify(rule_from_text("g/(1 + sqrt(abs(g)))"), {}, steps=1))


def test_the_command_prints_a_line_for_every_check() -> None:
    done = CliRunner().invoke(verify_, [str(ZOO / "evolved.opt"), "--set", "total=50", "--steps", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.count(" ok ") == 12


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["evolved.opt"], "Evolved needs a value for 'total'"),
        (["adamw.opt", "--set", "lr=-1"], "Invalid lr value: -1.0"),
        (["adamw.opt", "--set", "rate=1"], "expected NAME=VALUE with one of lr, beta1"),
        (["missing.opt"], "cannot read"),
    ],
)
def test_bad_input_is_told_in_words(args: list[str], message: str) -> None:
    done = CliRunner().invoke(verify_, [str(ZOO / args[0]), *args[1:]])
    assert done.exit_code == 1
    assert message in done.output
    assert not done.exception or isinstance(done.exception, SystemExit)
