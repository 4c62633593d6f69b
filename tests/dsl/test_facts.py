"""Facts exclude nothing that happens: whatever the interpreter computes, the facts had allowed."""

from __future__ import annotations

from functools import reduce
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from optc.dsl.algebra.analysis import Analysis
from optc.dsl.algebra.facts import CONDITION, TRANSFER, Fact, apply, literal
from optc.dsl.load import rule_from_text
from optc.dsl.meaning.interpret import initial_states, step
from optc.dsl.operators import OPERATORS
from optc.dsl.rule import Param, Rule
from optc.dsl.text.expressions import Expr
from optc.dsl.text.syntax import Assign, Output

from .strategies import EXACT, INPUTS, SETTINGS, SMOOTH, SPECIAL, rule_of
from .trajectories import DRAWS

Array = NDArray[np.float64]


def allows(fact: Fact, x: Array) -> bool:
    """Whether every element of x is what the fact says that it may be."""
    real = x[~np.isnan(x)]
    size = 1e-9 * (1 + np.abs(real[np.isfinite(real)]).max(initial=0.0))
    return (
        (fact.nan or not np.isnan(x).any())
        and (fact.infinite or not np.isinf(real).any())
        and (fact.zero or not (real == 0).any())
        and (fact.minus_zero or not ((real == 0) & np.signbit(real)).any())
        and bool(np.all(real >= fact.low - size) and np.all(real <= fact.high + size))
    )


def watched(e: Expr) -> tuple[Rule, Fact]:
    """A rule whose update is the expression alone, and the expression's fact where the update stands."""
    rule = rule_of(e)
    analysis = Analysis(rule)
    env = dict(analysis.start)
    for s in rule.body:
        if isinstance(s, Assign):
            analysis.follow(s, env)
    fact = analysis.of(e, env)
    free = tuple(Param(p.name, default=1.0) if p.name == "lr" else p for p in rule.params)
    plain = (*(s for s in rule.body if isinstance(s, Assign)), Assign("theta", e))
    return Rule("W", free, rule.states, plain, inputs=INPUTS), fact


def values(rule: Rule) -> Array:
    theta, out = DRAWS[0, 0], []
    states = initial_states(rule, SETTINGS, theta)
    for t, (_, g, *inputs) in enumerate(DRAWS, 1):
        after, states = step(rule, SETTINGS, theta, g, states, t, **dict(zip(INPUTS, inputs, strict=True)))
        out.append(np.broadcast_to(after, theta.shape))
    return np.concatenate(out)


@settings(max_examples=400, deadline=None)
@given(EXACT)
def test_facts_of_exact_expressions(e: Expr) -> None:
    rule, fact = watched(e)
    assert allows(fact, values(rule))


@settings(max_examples=300, deadline=None)
@given(SMOOTH)
def test_facts_of_smooth_expressions(e: Expr) -> None:
    rule, fact = watched(e)
    assert allows(fact, values(rule))


def known(chosen: tuple[float, ...]) -> Fact:
    """The fact of a value that is one of some numbers, or conditions."""
    return CONDITION if isinstance(chosen[0], bool) else reduce(Fact.either, map(literal, chosen))


@pytest.mark.parametrize("op", sorted(TRANSFER))
def test_an_operator_s_fact_allows_all_that_it_makes_of_some_special_values(op: str) -> None:
    """Every combination of arguments of which it is known that each is this number, or one of these two."""
    row = OPERATORS[op]
    ones: list[tuple[float, ...]] = [(x,) for x in SPECIAL]
    sets = {"real": ones if row.arity > 2 else [*ones, *combinations(SPECIAL, 2)], "bool": [(False, True)]}
    for chosen in product(*(sets[row.takes_at(k)] for k in range(row.arity))):
        fact = apply(op, tuple(map(known, chosen)))
        with np.errstate(all="ignore"):
            found = np.asarray(row.numpy(np, *np.meshgrid(*chosen)), np.float64)
        assert allows(fact, found), (chosen, fact, found)


def test_every_real_operator_has_a_row() -> None:
    assert set(TRANSFER) == {o.name for o in OPERATORS.values() if o.gives == "real"}


def fact_of(text: str) -> Fact:
    rule = rule_from_text(text)
    analysis = Analysis(rule)
    env = dict(analysis.start)
    for s in rule.body:
        if isinstance(s, Output):
            return analysis.of(s.value, env)
        analysis.follow(s, env)
    raise AssertionError("no output")


def test_what_must_be_known() -> None:
    """Facts that rewrites live on; without them they would be idle."""
    assert fact_of("v").nonnegative
    assert not fact_of("sqrt(v) + eps").zero
    assert not fact_of("1 - beta1^t").zero
    assert fact_of("1 - beta1").low > 0
    assert not fact_of("lr*eps").infinite
    assert (fact_of("tanh(g)").low, fact_of("tanh(g)").high) == (-1.0, 1.0)
    assert fact_of("max(abs(g), 2)").low == 2.0
    assert not fact_of("m").nonnegative


def test_what_a_state_becomes_after_many_steps_is_allowed() -> None:
    """One step shows as much as -1 of the first, and nothing yet of the last of a row."""
    falling = fact_of("param lr = 1\nstate a = 0\na <- a - 1\nupdate = sqrt(a + 1)")
    assert falling.nan
    row = [f"state s{k} = 0\ns{k} <- {f's{k + 1}' if k < 5 else '-1 + 0*t'}" for k in range(6)]
    assert fact_of("\n".join(["param lr = 1", *row, "update = s0"])).low <= -1


def test_nothing_is_known_of_a_gradient() -> None:
    assert fact_of("g") == Fact()
