"""Rule → numbers that refute a property: short runs of the interpreter. What they do not refute they do not prove."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from ..meaning.interpret import initial_states, settings, step
from ..rule import Param, Rule, Value
from ..text.expressions import Number
from ..text.syntax import Output, Statement

Array = NDArray[np.float64]
SHAPE = (4, 6)
STEPS = 4


def chosen(rule: Rule) -> dict[str, Value]:
    """The default hyperparameters, and a plausible value for each that has none."""
    return settings(rule, **{p.name: _plausible(p) for p in rule.params if p.default is None})


def _plausible(p: Param) -> Value:
    if p.type == "bool":
        return True
    low, high = (p.interval.low, p.interval.high) if p.interval else (-inf, inf)
    middle = 100.0 if p.type == "int" else 0.5
    value = min(max(middle, low + 1 if low > -inf else low), high if high < inf else middle)
    return int(value) if p.type == "int" else value


def updates(rule: Rule, factor: float = 1.0, zero: bool = False) -> list[Array] | None:
    """What each of a few steps subtracts from one theta, decoupled decay aside, for random gradients times a factor.

    None where the interpreter cannot run the rule on one small matrix.
    """
    plain = replace(rule, applies=None, body=tuple(_alone(s) for s in rule.body if not _is(s, "decay")))
    random = np.random.Generator(np.random.PCG64(7))
    theta = random.standard_normal(SHAPE)
    try:
        setting = chosen(plain)
        states = initial_states(plain, setting, theta)
        out = []
        for t in range(1, STEPS + 1):
            g = np.zeros(SHAPE) if zero else factor * random.standard_normal(SHAPE)
            inputs = {name: np.abs(random.standard_normal(SHAPE)) for name in plain.inputs}
            after, states = step(plain, setting, theta, g, states, t, **inputs)
            out.append(theta - after)
    except (TypeError, ValueError, np.linalg.LinAlgError):
        return None
    return out


def _is(s: Statement, output: str) -> bool:
    return isinstance(s, Output) and s.name == output


def _alone(s: Statement) -> Statement:
    """A statement with the step's size put to 1."""
    return replace(s, value=Number(1.0)) if isinstance(s, Output) and s.name == "step_size" else s


def is_homogeneous(rule: Rule, scale: float = 4.0) -> bool:
    """Whether scaling the gradients scaled every element of every update by one and the same factor."""
    plain, scaled = updates(rule), updates(rule, scale)
    if plain is None or scaled is None:
        return True
    # Where theta is written, subtracting it again costs digits.
    ratios = [y / x for x, y in zip(plain, scaled, strict=True) if np.all(np.abs(x) > 1e-6)]
    return all(np.allclose(r, ratios[0].flat[0], rtol=1e-4) for r in ratios)


def is_odd(rule: Rule) -> bool:
    """Whether flipping the gradients flipped every update."""
    plain, flipped = updates(rule), updates(rule, -1.0)
    if plain is None or flipped is None:
        return True
    return all(np.allclose(-x, y, rtol=1e-6, atol=1e-9) for x, y in zip(plain, flipped, strict=True))


def rests(rule: Rule) -> bool:
    """Whether zero gradients from the first step on left theta where it was."""
    still = updates(rule, zero=True)
    return still is None or all(np.all(x == 0) for x in still)
