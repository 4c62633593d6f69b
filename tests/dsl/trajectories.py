"""Runs of drawn rules over special values, for holding two rules against each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optc.dsl.interpret import initial_states, step
from optc.dsl.rule import Rule

from .strategies import INPUTS, SETTINGS, SPECIAL

Array = NDArray[np.float64]
DRAWS = np.random.Generator(np.random.PCG64(0)).choice(SPECIAL, size=(3, 2 + len(INPUTS), 40))


def trajectory(rule: Rule) -> list[Array]:
    """theta after each of three steps, from special values of theta, g and the inputs."""
    theta = DRAWS[0, 0]
    states = initial_states(rule, SETTINGS, theta)
    out = []
    for t, (_, g, *inputs) in enumerate(DRAWS, 1):
        theta, states = step(rule, SETTINGS, theta, g, states, t, **dict(zip(INPUTS, inputs, strict=True)))
        out.append(theta)
    return out


def assert_same_values(a: Rule, b: Rule) -> None:
    for x, y in zip(trajectory(a), trajectory(b), strict=True):
        # Sums of numbers up to 3^9 are rounded; what is left of their difference may be small.
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-9)
