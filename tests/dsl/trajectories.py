"""Runs of drawn rules over special values, for holding two rules against each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optc.dsl.meaning.interpret import initial_states, step
from optc.dsl.rule import Rule

from .strategies import INPUTS, SETTINGS, SPECIAL

Array = NDArray[np.float64]
DRAWS = np.random.Generator(np.random.PCG64(0)).choice(SPECIAL, size=(3, 2 + len(INPUTS), 40))


UNBOUNDED = (0.5, 0.0, np.inf)
"""What `wd`, which may be anything, is tried at."""


def trajectory(rule: Rule, wd: float) -> list[Array]:
    """theta after each of three steps, from special values of theta, g and the inputs."""
    theta = DRAWS[0, 0]
    setting = {**SETTINGS, "wd": wd}
    states = initial_states(rule, setting, theta)
    out = []
    for t, (_, g, *inputs) in enumerate(DRAWS, 1):
        theta, states = step(rule, setting, theta, g, states, t, **dict(zip(INPUTS, inputs, strict=True)))
        out.append(theta)
    return out


def assert_same_values(a: Rule, b: Rule) -> None:
    """Both leave the same theta behind, NaN and infinities in the same places."""
    for wd in UNBOUNDED:
        for x, y in zip(trajectory(a, wd), trajectory(b, wd), strict=True):
            # Sums of numbers up to 3^9 are rounded; what is left of their difference may be small.
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-9)
