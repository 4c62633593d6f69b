"""`optc verify`: every rule of the zoo on every backend is what it says, and a backend that is not gets caught."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from optc.compiler import beside, kept
from optc.compiler.cli.verify import verify_
from optc.compiler.emit import module, native_walk
from optc.compiler.emit import torch as emit_torch
from optc.compiler.emit.spell import call
from optc.compiler.load import load as compiled
from optc.compiler.plan.lower import lower
from optc.compiler.verify import Check, verify
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


@pytest.fixture(autouse=True)
def made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spoiled on purpose is neither taken from the cache nor kept there."""
    monkeypatch.setattr(kept, "key_of", lambda *_: None)


def test_a_wrong_backend_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emit_torch.TORCH, "sqrt", call("torch.rsqrt"))
    checks = {(c.backend, c.dtype): c.ok for c in verify(zoo("adamw"), {}, steps=2)}
    assert not checks["torch", "float64"]
    assert not checks["torch", "float32"]
    assert checks["triton", "float32"]


SPOILED = [
    ("square(g)", "square(g + 1)"),
    ("(real)row[0]", "(real)row[1]"),
    ("at < tile.col_end", "at < tile.col_end - 1"),
    ("work->scalars + 9 * work->rows[i]", "work->scalars"),
    ("m_at[at] = STORE", "if (at) m_at[at] = STORE"),
]


@pytest.mark.parametrize(("right", "wrong"), SPOILED)
def test_wrong_native_code_is_caught(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it goes wrong: in arithmetic, in the scalar table, at the border of tensors, in another group."""
    emitted = native_walk.emit_native(lower(simplify(zoo("adamw"))))
    spoiled = emitted.replace(right, wrong)
    assert spoiled != emitted
    monkeypatch.setattr(module, "emit_native", lambda plan: spoiled)
    checks = [c for c in verify(zoo("adamw"), {}, steps=6) if c.backend in ("torch", "native")]
    assert {c.dtype for c in checks if not c.ok and c.backend == "native"} >= {"float64", "float32"}
    assert all(c.ok for c in checks if c.backend == "torch")


SPOILT_STATES = [
    ("adamw", "v"),
    ("amsgrad", "vmax"),
    ("adafactor", "R"),
    ("adafactor", "V"),
    ("nadam", "product"),
    ("prodigy", "d"),
    ("schedule_free_adamw", "total"),
    ("shampoo", "L"),
    ("soap", "Q"),
]


def spoil_states(
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[dict[str, Any]], None],
    when: Callable[[Any], Any] = lambda optimizer: True,
) -> None:
    """Every optimizer that `verify` makes does this to the states of its parameters, at the end of each step."""

    def load(rule: Any) -> Any:
        real: Any = compiled(rule)

        def step(self: Any, *args: Any, **more: Any) -> None:
            real.step(self, *args, **more)
            for memory in self.state.values() if when(self) else ():
                spoil(memory)

        return type(real.__name__, (real,), {"step": step, "__module__": real.__module__})

    monkeypatch.setattr(beside, "load", load)


def by_torch(rule: Any, given: dict[str, Any]) -> list[Check]:
    """The checks of one step of torch's backend, which come first, in every dtype; none of options."""
    return list(takewhile(lambda check: check.backend == "torch" and not check.changed, verify(rule, given, steps=1)))


@pytest.mark.parametrize(("name", "state"), SPOILT_STATES)
def test_one_wrong_element_of_a_state_is_caught(name: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one step the parameters are still right: what catches it is the comparison of states."""

    def spoil(memory: dict[str, Any]) -> None:
        if state in memory:
            memory[state].view(-1)[-1] += 0.01

    spoil_states(monkeypatch, spoil)
    checks = by_torch(zoo(name), settings(name))
    assert {(c.ok, c.of) for c in checks} == {(False, state)}


@pytest.mark.parametrize(
    "spoil", [lambda memory: memory.pop("m"), lambda memory: memory.update(m=memory["m"].view(1, -1))]
)
def test_a_state_that_is_not_there_or_of_another_shape_is_caught(
    spoil: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = rule_from_text("param lr = 0.1\nstate m = 0\nstate v = 0\nm <- m + g\nv <- v + abs(g)\nupdate = m/(1 + v)")
    spoil_states(monkeypatch, spoil)
    checks = by_torch(rule, {})
    assert {(c.ok, c.of, c.error) for c in checks} == {(False, "m", math.inf)}


def test_a_state_that_no_rule_has_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_states(monkeypatch, lambda memory: memory.update(more=memory["m"]))
    assert {(c.ok, c.of) for c in by_torch(zoo("lion"), {})} == {(False, "more")}


NARROW = """
param lr = 0.1
state a : per element bfloat16 = 0
state b : per element float16 = 0
state c : per element float64 = theta
state d : per row bfloat16 = 0
a <- 0.9*a + g/3
b <- lerp(b, g, 0.3)
c <- 0.5*c + g
d <- d + 0.1*mean(square(g) per row)
update = a + b + c + d
"""


def test_states_of_other_dtypes_are_held_to_what_these_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = rule_from_text(NARROW)
    assert all(c.ok for c in verify(rule, {}, steps=4))

    def spoil(memory: dict[str, Any]) -> None:
        memory["a"].copy_(memory["a"].view(torch.int16).bitwise_and(-4).view(torch.bfloat16))

    spoil_states(monkeypatch, spoil)
    assert {(c.ok, c.of) for c in by_torch(rule, {})} == {(False, "a")}


CODES = """
param lr = 0.1
state a : per element int8 = 0
state b : per element fp8 = 0
state c : per element ufp8 = 0
a <- 0.9*a + g
b <- 0.9*b + g
c <- 0.9*c + square(g)
update = (a + b)/(1 + sqrt(c))
"""


@pytest.mark.parametrize("state", ["a", "b", "c"])
def test_codes_are_held_to_what_coding_explains(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = rule_from_text(CODES)
    assert all(c.ok and not c.skipped for c in verify(rule, {}, steps=4) if c.backend != "native")

    def next_code(memory: dict[str, Any]) -> None:
        memory[state].view(torch.uint8).view(-1)[-1] ^= 3

    spoil_states(monkeypatch, next_code)
    checks = by_torch(rule, {})
    assert {(c.ok, c.of) for c in checks} == {(False, state)}


def test_codes_without_their_scales_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_states(monkeypatch, lambda memory: memory.pop("b_scale"))
    assert {(c.ok, c.of, c.error) for c in by_torch(rule_from_text(CODES), {})} == {(False, "b", math.inf)}


def test_codes_that_start_as_a_tensor_are_no_error() -> None:
    rule = rule_from_text("param lr = 0.1\nstate a : per element int8 = theta\na <- 0.9*a + g\nupdate = a")
    assert all(c.ok for c in verify(rule, {}, steps=1))


@pytest.mark.parametrize(("option", "value"), [("capturable", True), ("state_dtype", "8bit")])
def test_what_goes_wrong_under_an_option_alone_is_caught(
    option: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(memory: dict[str, Any]) -> None:
        memory["v"].view(-1)[-1] = 1

    spoil_states(monkeypatch, spoil, when=lambda optimizer: optimizer.defaults[option])
    checks = takewhile(lambda check: check.backend == "torch", verify(zoo("adamw"), {}, steps=1))
    assert [c.changed for c in checks if not c.ok] == [f"{option}={value}"]


@pytest.mark.slow
def test_what_torch_compile_makes_is_held_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = zoo("nadam")
    made = sys.modules[compiled(rule).__module__]
    real = made.compiled_advance
    for wrong in (False, True):
        monkeypatch.setattr(made, "compiled_advance", (lambda: lambda *args: None) if wrong else real)
        checks = takewhile(lambda check: check.backend == "torch", verify(rule, {}, 1, compiled=True))
        assert {c.changed for c in checks if not c.ok} == ({"compile=True"} if wrong else set())


def test_branches_that_the_settings_do_not_take_are_checked() -> None:
    text = "param lr = 0.1\nparam on : bool = false\nparam k : int = 0 in [0, 9]\nstate b = 0 when on\n"
    text += "when on { b <- 0.9*b + g\nlet u = b } else { let u = g }\nwhen k > 1 { let w = u } else { let w = 2*u }\n"
    checks = list(verify(rule_from_text(text + "update = w"), {}, steps=3))
    assert all(c.ok for c in checks)
    assert {c.changed for c in checks if c.backend == "native"} == {"", "on=True", "k=2", "state_dtype=8bit"}


def test_a_state_that_theta_does_not_depend_on_is_not_missed() -> None:
    assert all(c.ok for c in verify(rule_from_text("state last = 0\nlast <- theta\nparam lr = 1\nupdate = g"), {}, 2))


def test_a_backend_that_gives_nan_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emit_torch.TORCH, "sqrt", call("torch.acosh"))
    assert not all(c.ok for c in verify(rule_from_text("g/(1 + sqrt(abs(g)))"), {}, steps=1))


def test_the_command_prints_a_line_for_every_check() -> None:
    done = CliRunner().invoke(verify_, [str(ZOO / "evolved.opt"), "--set", "total=50", "--steps", "2"])
    assert done.exit_code == 0, done.output
    assert done.output.count(" ok ") == 16


MAGNIFYING = "param lr = 0.1\nstate m = 1000\nm <- m + g\ntheta <- 1000*theta - 999*theta - lr*(m - 1000)"


def test_rounding_that_a_rule_magnifies_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(c.ok for c in verify(rule_from_text(MAGNIFYING), {}, steps=4))
    spoil_states(monkeypatch, lambda memory: memory["m"].add_(0.01))
    assert {(c.ok, c.of) for c in by_torch(rule_from_text(MAGNIFYING), {})} == {(False, "m")}
    monkeypatch.undo()
    monkeypatch.setattr(beside, "MAGNIFIED", 0)
    assert not all(c.ok for c in verify(rule_from_text(MAGNIFYING), {}, steps=4))


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
