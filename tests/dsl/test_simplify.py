"""Simplification keeps every value, NaN and infinity, and never costs more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from numpy.typing import NDArray

from optc.dsl.algebra.cost import cost
from optc.dsl.algebra.known import Builder
from optc.dsl.algebra.rewrites import REWRITES
from optc.dsl.algebra.simplify import simplify
from optc.dsl.insight.witness import chosen
from optc.dsl.load import rule_from_text, zoo
from optc.dsl.meaning.interpret import initial_states, step_all
from optc.dsl.rule import Applies, Rule
from optc.dsl.text.expressions import Apply, Bool, Name, Number
from optc.dsl.text.format import format_expr
from optc.dsl.text.syntax import Output

from .strategies import RULES, rule_of
from .trajectories import assert_same_values

Array = NDArray[np.float64]


@settings(max_examples=400, deadline=None)
@example(rule_of(Apply("pow", (Apply("neg", (Number(0.0),)), Number(-0.5)))))
@example(
    rule_of(Apply("pow", (Apply("sqrt", (Apply("mul", (Name("v"), Apply("neg", (Number(0.0),)))),)), Number(-2.0))))
)
@given(RULES)
def test_values_stay(rule: Rule) -> None:
    assert_same_values(rule, simplify(rule))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(RULES)
def test_cost_never_rises_and_again_changes_nothing(rule: Rule) -> None:
    once = simplify(rule)
    assert cost(once) <= cost(rule) + 1e-9
    assert cost(simplify(once)) == pytest.approx(cost(once))


def update_of(text: str) -> str:
    body = simplify(rule_from_text(text)).body
    return next(format_expr(s.value) for s in body if isinstance(s, Output) and s.name == "update")


SIMPLIFIED = (
    ("g*1 + 0", "g"),
    ("-(-g)", "g"),
    ("m - (-g)", "m + g"),
    ("-(m - g)", "g - m"),
    ("abs(-g)", "abs(g)"),
    ("g*g", "square(g)"),
    ("g^2", "square(g)"),
    ("g^-1", "1/g"),
    ("v^0.5", "sqrt(v)"),
    ("sqrt(v)^2", "v"),
    ("sign(sign(g))", "sign(g)"),
    ("sign(3*g)", "sign(g)"),
    ("max(g, max(m, g))", "max(g, m)"),
    ("max(v, -1)", "v"),
    ("clip(tanh(g), -2, 2)", "tanh(g)"),
    ("where(not (g > m), g, m)", "where(g > m, m, g)"),
    ("where(1 > 2, g, m)", "m"),
    ("lr*(beta1*g)", "lr*beta1*g"),
    ("lr*(g/(1 + beta1))", "lr/(1 + beta1)*g"),
    ("2*(3*g)", "6*g"),
    ("0.5*sign(g) + 0.25*sign(g)", "0.75*sign(g)"),
    ("beta1*g + beta1*m", "beta1*(g + m)"),
)


@pytest.mark.parametrize(("text", "expected"), SIMPLIFIED)
def test_what_becomes_simpler(text: str, expected: str) -> None:
    assert update_of(text) == expected


KEPT = (
    "0*g", "g - g", "g/g", "2*g - g", "g^0.5", "square(sqrt(m))", "m/(sqrt(v) + eps)", "1/(g + 0)", "exp(log(g))",
    "g*(m + v)", "sign(0.5*g)", "g/abs(g)", "g + m - m", "g^0", "g^-2",
    "sqrt(square(g))", "1/(1/g)", "g*(1/m)", "lr*(g/beta1)", "0.25*(4*g)", "1e30*(1e-30*g)", "1 - beta1 + m - 1",
    "inf*g + inf*m", "1/(wd*g + wd*m)",
)  # fmt: skip


@pytest.mark.parametrize("text", KEPT)
def test_what_must_stand(text: str) -> None:
    assert update_of(text) == text


def test_every_rewrite_is_used() -> None:
    """Each row of the table fires on some rule of this file."""
    fired: set[str] = set()
    original = Builder.__init__

    def watched(self: Builder, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)  # type: ignore[arg-type]
        self.fired = fired

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Builder, "__init__", watched)
        for text, _ in SIMPLIFIED:
            simplify(rule_from_text(text))
    assert fired == {rewrite.name for rewrite in REWRITES}


def test_dead_states_and_values_go() -> None:
    rule = rule_from_text("optimizer A\nparam lr = 0.1\nstate m = 0\nm <- m + g\nlet x = m*2\nupdate = g")
    simple = simplify(rule)
    assert simple.states == () and [getattr(s, "name", "") for s in simple.body] == ["update", "step_size"]
    assert simple.params == rule.params


def test_a_rule_too_large_is_returned_as_it_is() -> None:
    e: Apply | Name = Name("g")
    for _ in range(300):
        e = Apply("add", (e, Number(1.0)))
    rule = rule_of(e)
    assert simplify(rule) is rule


def test_locals_do_not_grow_exponentially() -> None:
    lines = ["optimizer A", "param lr = 0.1", "let a0 = g"]
    lines += [f"let a{i + 1} = a{i}*a{i} + a{i}" for i in range(60)]
    rule = rule_from_text("\n".join([*lines, "update = a60"]))
    assert cost(simplify(rule)) <= cost(rule)


ZOO = sorted(p.stem for p in (Path(__file__).parents[2] / "grammar" / "zoo").glob("*.opt"))


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_keeps_its_runs(name: str) -> None:
    """Ten steps of a matrix and a vector, before and after."""
    rule = zoo(name)
    runs = [run(r) for r in (rule, simplify(rule))]
    for x, y in zip(*runs, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def run(rule: Rule) -> list[Array]:
    random = np.random.Generator(np.random.PCG64(1))
    thetas = [random.standard_normal(shape) for shape in ((3, 4), (5,))]
    setting = chosen(rule)
    states = [initial_states(rule, setting, theta) for theta in thetas]
    out = []
    for t in range(1, 11):
        gs = [random.standard_normal(theta.shape) for theta in thetas]
        inputs = {name: [np.abs(random.standard_normal(theta.shape)) for theta in thetas] for name in rule.inputs}
        thetas, states = step_all(rule, setting, thetas, gs, states, [t, t], inputs)
        out += thetas
    return out


def test_the_rule_for_other_parameters_is_simplified_too() -> None:
    inner = rule_from_text("optimizer B\nparam lr = 0.1\nupdate = g*g*1")
    rule = replace(rule_from_text("optimizer A\nparam lr = 0.1\nupdate = g"), applies=Applies(Bool(True), inner))
    simple = simplify(rule).applies
    assert simple is not None and simple.otherwise == simplify(inner) != inner
