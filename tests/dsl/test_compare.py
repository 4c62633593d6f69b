"""`compare` tells equal rules from different ones, and says where they part."""

from __future__ import annotations

import pytest

from optc.dsl.insight.compare import STEPS, compare
from optc.dsl.load import rule_from_text, zoo

CASES = (
    ("m/(sqrt(v) + eps)", "m*(1/(eps + sqrt(v)))", "agree", None),
    ("m/(sqrt(v) + eps)", "m/(eps + sqrt(v))", "equal", None),
    ("0.5*g", "0.25*g", "same structure", 1),
    ("g", "m", "differ", 1),
    ("m/(sqrt(v) + eps)", "m/sqrt(v + eps^2)", "differ", 1),
    ("(g - m)*(g + m)", "g*g - m*m", "agree", None),
    ("where(t > 5, g, m)", "m", "differ", 6),
    ("g/g", "1 + 0*g", "differ", 1),
)


@pytest.mark.parametrize(("a", "b", "verdict", "step"), CASES)
def test_verdicts(a: str, b: str, verdict: str, step: int | None) -> None:
    found = compare(rule_from_text(a), rule_from_text(b))
    assert (found.verdict, found.first_step) == (verdict, step)
    assert found.text()


def test_constants_that_differ_are_listed() -> None:
    found = compare(rule_from_text("0.5*g + 3*sign(g)"), rule_from_text("0.5*g + 4*sign(g)"))
    assert [(a, b) for _, a, b in found.constants] == [(3.0, 4.0)]


def test_adam_and_adamw_part_where_decay_is_coupled() -> None:
    found = compare(zoo("adam"), zoo("adamw"))
    assert found.verdict == "differ"
    assert found.first_step == 1
    assert found.largest is not None and found.largest_step is not None and 1 <= found.largest_step <= STEPS


def test_a_rule_is_equal_to_itself() -> None:
    assert compare(zoo("muon"), zoo("muon")).verdict == "equal"
