"""Explanations: what is claimed of a rule holds when the rule is run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from optc.dsl.algebra.simplify import simplify
from optc.dsl.insight import witness
from optc.dsl.insight.explain import explain
from optc.dsl.insight.properties import Property, properties
from optc.dsl.insight.traffic import traffic
from optc.dsl.insight.typeset import typeset, typeset_expr
from optc.dsl.load import rule_from_text, zoo

ZOO = sorted(p.stem for p in (Path(__file__).parents[2] / "grammar" / "zoo").glob("*.opt"))


def found(text: str) -> dict[str, Property]:
    return {p.name: p for p in properties(rule_from_text(text))}


# ---------------------------------------------------------------- claims against runs


def without_eps(name: str) -> witness.Rule:
    """The rule with an eps so small that what holds "but for eps" holds to many digits."""
    rule = zoo(name)
    params = tuple(replace(p, default=1e-30) if p.name.startswith("eps") else p for p in rule.params)
    return replace(rule, params=params)


@pytest.mark.parametrize("name", ZOO)
def test_what_is_claimed_of_the_zoo_holds(name: str) -> None:
    claims = {p.name: p for p in properties(zoo(name))}
    small = without_eps(name)
    plain = witness.updates(small)
    assert plain is not None
    homogeneous = claims["homogeneous in the gradient"]
    if homogeneous.answer == "yes":
        degree = float(homogeneous.text.split()[1].rstrip(":"))
        for x, y in zip(plain, witness.updates(small, 4.0) or [], strict=True):
            np.testing.assert_allclose(y, x * 4.0**degree, rtol=1e-5, atol=1e-9)
    if claims["odd in the gradient"].answer == "yes":
        for x, y in zip(plain, witness.updates(small, -1.0) or [], strict=True):
            np.testing.assert_allclose(y, -x, rtol=1e-6, atol=1e-9)
    if claims["rests at zero gradient"].answer == "yes":
        for x in witness.updates(zoo(name), zero=True) or []:
            np.testing.assert_array_equal(x, 0.0)
    if claims["bounded"].answer == "yes":
        limit = float(claims["bounded"].text.split()[2])
        for factor in (1e-4, 1.0, 1e4):
            for x in witness.updates(zoo(name), factor) or []:
                assert np.abs(x).max() <= limit * 1.001


BOUNDS = (
    ("sign(g)", 1.0),
    ("2*tanh(g) + sign(m)", 3.0),
    ("g/(abs(g) + eps)", 1.0),
    ("clip(g, -0.5, 0.25)", 0.5),
    ("g/(sqrt(v) + eps)", 1 / np.sqrt(0.001)),
    ("m/(sqrt(v) + eps)", 0.1 / np.sqrt(0.001 * (1 - 0.81 / 0.999))),
    ("3*m/(sqrt(v) + eps) - sign(g)", 1 + 3 * 0.1 / np.sqrt(0.001 * (1 - 0.81 / 0.999))),
)


@pytest.mark.parametrize(("text", "expected"), BOUNDS)
def test_bounds(text: str, expected: float) -> None:
    bounded = found(text)["bounded"]
    assert bounded.answer == "yes"
    assert float(bounded.text.split()[2]) == pytest.approx(expected, rel=1e-3)


def test_the_bound_of_adam_is_nearly_reached() -> None:
    """The gradients that the Cauchy-Schwarz inequality says are worst: growing by beta2/beta1 a step."""
    m = v = 0.0
    for t in range(400):
        g = (0.999 / 0.9) ** (t - 400)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    limit = float(found("m/(sqrt(v) + eps)")["bounded"].text.split()[2])
    assert 0.99 * limit < m / np.sqrt(v) <= limit


PROPERTIES = (
    ("g", "homogeneous in the gradient", "yes", "degree 1"),
    ("g^3", "homogeneous in the gradient", "yes", "degree 3"),
    ("cbrt(g)", "homogeneous in the gradient", "yes", "degree 1/3"),
    ("sign(g)", "homogeneous in the gradient", "yes", "degree 0"),
    ("m/(sqrt(v) + eps)", "homogeneous in the gradient", "yes", "but for eps"),
    ("m/sqrt(v)", "homogeneous in the gradient", "yes", "scaled"),
    ("m/(sqrt(v) + 1e-8)", "homogeneous in the gradient", "yes", "but for eps"),
    ("g/max(norm(g), 1e-7)", "homogeneous in the gradient", "yes", "but for eps"),
    ("g/max(norm(g), 1e-7)", "rests at zero gradient", "yes", ""),
    ("g + sign(g)", "homogeneous in the gradient", "no", ""),
    ("tanh(g)", "homogeneous in the gradient", "no", ""),
    ("tanh(g)", "odd in the gradient", "yes", ""),
    ("abs(g)", "odd in the gradient", "no", ""),
    ("max(g, 0)", "odd in the gradient", "no", ""),
    ("clip(g, -1, 1)", "odd in the gradient", "yes", ""),
    ("clip(g, -eps, eps)", "odd in the gradient", "yes", ""),
    ("where(g*m > 0, g, 0)", "odd in the gradient", "yes", ""),
    ("g", "bounded", "unknown", ""),
    ("g", "rests at zero gradient", "yes", ""),
    ("g/sqrt(v)", "rests at zero gradient", "no", ""),
    ("g + 1", "rests at zero gradient", "no", ""),
    ("m", "under a constant gradient", "yes", "m → g, update → g"),
    ("m/(sqrt(v) + eps)", "under a constant gradient", "yes", "g / (|g| + ε)"),
)


@pytest.mark.parametrize(("text", "name", "answer", "says"), PROPERTIES)
def test_properties(text: str, name: str, answer: str, says: str) -> None:
    p = found(text)[name]
    assert p.answer == answer
    assert says in p.text


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("name", "state", "moved"),
    [("sgd", 0, 12), ("adam", 8, 28), ("adamw", 8, 28), ("signum", 4, 20), ("adagrad", 4, 20), ("rmsprop", 4, 20)],
)
def test_bytes_of_the_zoo(name: str, state: float, moved: float) -> None:
    t = traffic(zoo(name))
    assert sum(t.state_bytes.values()) == state
    assert t.moved == moved
    assert t.passes == 1


def test_a_norm_costs_another_pass() -> None:
    one, two = (traffic(rule_from_text(text)) for text in ("m", "m/(norm(m) + eps)"))
    assert (one.passes, two.passes) == (1, 2)
    assert two.read == 2 * one.read - 4  # the second pass reads theta, the first does not


def test_unused_states_cost_nothing() -> None:
    assert traffic(rule_from_text("optimizer A\nparam lr = 1\nstate m = 0\nm <- g\nupdate = g")).state_bytes == {}


def test_bfloat16_state_is_half_of_float32() -> None:
    assert traffic(
        rule_from_text("optimizer A\nparam lr = 1\nstate m : per element bfloat16 = 0\nm <- m + g\nupdate = m")
    ).state_bytes == {"m": 2.0}


# ---------------------------------------------------------------- formulas

FORMULAS = (
    ("m/(sqrt(v) + eps)", "m / (√v + ε)", r"\frac{m}{\sqrt{v} + \varepsilon}"),
    ("g - (m - v)", "g − (m − v)", r"g - \left(m - v\right)"),
    ("-g^2", "−g²", r"-{g}^{2}"),
    ("(-g)^2", "(−g)²", r"{\left(-g\right)}^{2}"),
    ("g/(m*v)", "g / (m·v)", r"\frac{g}{m \, v}"),
    ("g/m/v", "g / m / v", r"\frac{\frac{g}{m}}{v}"),
    ("beta1^t*g", "β₁ᵗ·g", r"{\beta_{1}}^{t} \, g"),
    ("abs(g + m)", "|g + m|", "|g + m|"),
    ("where(g > 0, m, v)", "{ m if g > 0; v otherwise }",
     r"\begin{cases}m & \text{if }g > 0 \\ v & \text{otherwise}\end{cases}"),
    ("1e-8*g", "10⁻⁸·g", r"10^{-8} \, g"),
    ("2.5e-8*g", "2.5·10⁻⁸·g", r"2.5 \cdot 10^{-8} \, g"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "unicode", "latex"), FORMULAS)
def test_formulas(text: str, unicode: str, latex: str) -> None:
    update = next(s for s in rule_from_text(text).body if getattr(s, "name", "") == "update")
    assert typeset_expr(update.value) == unicode  # type: ignore[union-attr]
    assert typeset_expr(update.value, "latex") == latex  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_is_typeset(name: str) -> None:
    rule = zoo(name)
    for line in typeset(rule, "mathml").splitlines():
        ElementTree.fromstring(line)
    latex = typeset(rule, "latex")
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left(") == latex.count(r"\right)")
    assert "θ" in typeset(rule) or rule.writes_theta()


def test_adamw_is_explained(golden) -> None:  # type: ignore[no-untyped-def]
    golden("explain_adamw.txt", explain(zoo("adamw")).text() + "\n")


def test_explanations_are_plain_data() -> None:
    assert json.loads(json.dumps(explain(zoo("evolved")).data()))["traffic"]["bytes_moved"] == 28


def test_simplifying_changes_no_explanation() -> None:
    for name in ("adamw", "lion", "sgd"):
        assert properties(zoo(name)) == properties(simplify(zoo(name)))


NASTY = (
    "(g + m + v + theta + 1)^64", "((g + 1)^8 + m)^8*(v + g)^8", "exp(exp(exp(t)))*g", "sin(t)^t*g", "m^t + g^t",
    "where(sin(t) > 0, g, m)", "tanh(sin(cos(t*t)))*g/(1 + t^t)",
    " + ".join(f"{i + 1}*m^{i % 7 + 1}" for i in range(60)),
)  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_what_sympy_would_choke_on_is_explained_all_the_same(text: str) -> None:
    assert explain(rule_from_text(text)).properties
