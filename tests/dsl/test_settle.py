"""A rule whose switches are settled takes the steps that the whole rule takes at its defaults."""

from __future__ import annotations

import numpy as np
import pytest

from optc.dsl.algebra.canonical import canonical
from optc.dsl.load import rule_from_text, zoo
from optc.dsl.meaning.interpret import initial_states, settings, step
from optc.dsl.meaning.settle import settled
from optc.dsl.rule import Rule
from optc.dsl.text.syntax import Output, When


def run(rule: Rule, shape: tuple[int, ...]) -> np.ndarray:
    draw, setting = np.random.default_rng(0), settings(rule)
    theta = draw.standard_normal(shape)
    states = initial_states(rule, setting, theta)
    for t in range(1, 5):
        theta, states = step(rule, setting, theta, draw.standard_normal(shape), states, t)
    return theta


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "nadam", "rmsprop", "madgrad"])
def test_the_zoos_switches(name: str) -> None:
    rule = settled(zoo(name))
    assert not any(isinstance(s, When) for s in rule.body)
    assert all(s.when is None for s in rule.states)
    np.testing.assert_array_equal(run(rule, (3, 4)), run(zoo(name), (3, 4)))


def test_what_only_the_other_arms_read_is_gone() -> None:
    plain = rule_from_text("param lr = 1e-3 in [0, inf)\nparam wd = 0 in [0, inf)\ng <- g + wd*theta\nupdate = g")
    assert [p.name for p in settled(zoo("sgd")).params] == ["lr", "wd"]
    assert canonical(settled(zoo("sgd"))).hash == canonical(plain).hash
    assert "decay" not in {s.name for s in settled(zoo("adam")).body if isinstance(s, Output)}


@pytest.mark.parametrize("shape", [(5,), (3, 4)])
def test_what_sizes_decide_stays(shape: tuple[int, ...]) -> None:
    text = """
    param lr = 0.1
    param on = true
    state a = 0 when on and ndim >= 2
    state b = 1 when on
    when ndim >= 2 { when on { let u = 2*g } else { let u = g } } else { let u = 3*g }
    when on and ndim >= 2 { a <- a + g }
    when on { b <- 0.5*b + g
 decay = b }
    update = u
    """
    rule = rule_from_text(text)
    assert settled(rule).states[0].when == rule.states[0].when
    np.testing.assert_array_equal(run(settled(rule), shape), run(rule, shape))
