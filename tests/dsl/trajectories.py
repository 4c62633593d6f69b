"""Runs of rules over special values, for holding two rules against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optc.dsl.meaning.interpret import initial_states, step
from optc.dsl.rule import Interval, Param, Rule
from optc.dsl.text.expressions import Expr, Name
from optc.dsl.text.syntax import Output

from .strategies import INPUTS, SETTINGS, SPECIAL

Array = NDArray[np.float64]
DRAWS = np.random.Generator(np.random.PCG64(0)).choice(SPECIAL, size=(3, 2 + len(INPUTS), 40))


UNBOUNDED = (0.5, 0.0, np.inf)
"""What `wd`, which may be anything, is tried at."""


def assert_same_values(a: Rule, b: Rule) -> None:
    """Both leave the same theta behind, NaN and infinities in the same places, in three steps from special values.

    Every step of both begins where the first rule was: a difference by rounding is not to grow from step to step.
    """
    for wd in UNBOUNDED:
        setting = {**SETTINGS, "wd": wd}
        theta = DRAWS[0, 0]
        states = initial_states(a, setting, theta)
        for t, (_, g, *inputs) in enumerate(DRAWS, 1):
            given = dict(zip(INPUTS, inputs, strict=True))
            kept = {s.name: states[s.name] for s in b.states}
            other, _ = step(b, setting, theta, g, kept, t, **given)
            theta, states = step(a, setting, theta, g, states, t, **given)
            # Sums of numbers up to 3^9 are rounded; what is left of their difference may be small.
            np.testing.assert_allclose(theta, other, rtol=1e-11, atol=1e-9)


FREE = ("g", "h", "k")
"""Free values that may be anything, so that nothing can be assumed of them."""


def free_rule(update: Expr) -> Rule:
    """A rule without memory, whose update reads free values alone."""
    param = Param("lr", default=0.5, interval=Interval(0.0, np.inf, True, True))
    return Rule("R", (param,), body=(Output("update", update), Output("step_size", Name("lr"))), inputs=FREE[1:])


def values_at(grid: Sequence[Array], rule: Rule) -> Array:
    """theta after a step from 0, for each combination of g and the inputs."""
    g, h, k = grid
    return step(rule, {"lr": 0.5}, np.zeros_like(g), g, {}, 1, h=h, k=k)[0]
