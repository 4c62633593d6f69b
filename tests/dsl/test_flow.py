"""Trajectories at once, against the interpreter's steps: the zoo, bred rules, and whatever a loop may hold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from optc.dsl.checks.check import check
from optc.dsl.load import rule_from_text, zoo, zoo_names
from optc.dsl.meaning.flow import trajectories
from optc.dsl.meaning.interpret import initial_states, settings, step
from optc.dsl.rule import Rule
from optc.search.spaces.space import SPACES

Array = NDArray[np.float64]
STEPS = 6
LEFT = {"muon", "shampoo", "soap", "sophia"}
"""Rules of the zoo with loops, matrices or inputs."""


def made_up() -> tuple[Array, Array]:
    draw = np.random.default_rng(5)
    return draw.standard_normal((5, 3)), draw.standard_normal((2, STEPS, 5, 3))


def stepped(rule: Rule, setting: dict[str, float], theta: Array, gradients: Array) -> Array:
    states, path = initial_states(rule, setting, theta), [theta]
    for t, g in enumerate(gradients, 1):
        theta, states = step(rule, setting, theta, g, states, t)
        path.append(theta)
    return np.stack(path)


def assert_same(rule: Rule) -> None:
    theta, gradients = made_up()
    required = {p.name: 50 for p in rule.params if p.default is None}
    setting = settings(rule, **required)
    found = trajectories(rule, setting, theta, gradients)
    assert found is not None
    expected = [stepped(rule, setting, theta, row) for row in gradients]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", sorted(set(zoo_names()) - LEFT))
def test_the_zoo(name: str) -> None:
    assert_same(zoo(name))


@pytest.mark.parametrize("space", SPACES)
def test_bred_rules(space: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(40):
        assert_same(check(SPACES[space].random(rng)))


LOOPS = {
    "two states that wait for each other": "state a = 0\nstate b = theta\na <- 0.5*b + g\nb <- 0.9*prev(a) + theta\n"
    "update = a*b",
    "a chain of states": "state a = 0\nstate b = 1\na <- 0.9*a + g\nb <- 0.9*b + prev(a)\nupdate = b + a",
    "last step's gradient": "state p = 0\nupdate = g - p\np <- g",
    "a state that stays": "state p = theta\nupdate = theta - p",
    "states of other scopes": "state r : per row = 0\nstate c : per col = 1\nstate n : per tensor = 0\n"
    "r <- 0.9*r + mean(g^2 per row)\nc <- max(c, max_of(abs(g) per col))\nn <- n + norm(g)\n"
    "update = g/sqrt(r)/c + n*mean(r)*sum(c per matrix)",
    "a number kept for each element": "state k = 0\nk <- t\nupdate = g*mean(k)",
    "theta in its own way": "theta <- 0.9*theta - lr*g*norm(theta)",
    "nothing of theta": "theta <- g",
    "noise and casts": "update = cast(g + noise(), bfloat16) + noise()",
    "conditions": "update = where(g > 0 and not (theta < g), max(g, theta, 0.1), clip(g, -0.1, t))",
    "nothing finite": "update = sqrt(g)/(g - g)",
}


@pytest.mark.parametrize("body", LOOPS.values(), ids=list(LOOPS))
def test_what_a_loop_may_hold(body: str) -> None:
    assert_same(rule_from_text(f"param lr = 0.1\n{body}\n"))


@pytest.mark.parametrize("name", sorted(LEFT))
def test_what_is_left_to_the_interpreter(name: str) -> None:
    theta, gradients = made_up()
    rule = zoo(name)
    assert trajectories(rule, settings(rule), theta, gradients) is None
