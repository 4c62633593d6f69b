"""Hyperparameters' declared priors to draws and to small steps; choices by weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from math import exp, log
from typing import TypeVar

import numpy as np

from ...dsl.text.syntax import File, Item, ParamDecl, Prior
from .trees import number, number_of, rounded, tidied

STEP = 0.1
"""The width of a step, in widths of the prior."""
FINEST = 0.03
"""Steps are of all sizes down to this share of the widest: what is coarse finds, what is fine hits."""
T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
    """One of the options, all alike or by weight."""
    if weights is None:
        return options[int(rng.integers(len(options)))]
    shares = list(accumulate(weights))
    return options[bisect_right(shares, rng.random() * shares[-1])]


def reach(rng: np.random.Generator) -> float:
    """The size of one step, as a share of the widest: evenly on a logarithmic scale."""
    return float(FINEST ** rng.random())


def drawn(tree: File, rng: np.random.Generator) -> File:
    """Every hyperparameter with a prior drawn from it."""
    items: list[Item] = []
    for item in tree.items:
        if isinstance(item, ParamDecl) and item.prior and item.default:
            items.append(_with(item, _moved(_draw(item.prior, rng), item.prior, 0.0)))
        else:
            items.append(item)
    return replace(tree, items=tuple(items))


def stepped(tree: File, rng: np.random.Generator) -> File:
    """One hyperparameter with a prior that the update reads takes a normal step, on the prior's own scale."""
    live = {item.name for item in tidied(tree).items if isinstance(item, ParamDecl) and item.prior and item.default}
    declared = [k for k, item in enumerate(tree.items) if isinstance(item, ParamDecl) and item.name in live]
    if not declared:
        return tree
    place = pick(rng, declared)
    item = tree.items[place]
    assert isinstance(item, ParamDecl)
    changed = moved(item, rng.normal(0, STEP * reach(rng)))
    return replace(tree, items=(*tree.items[:place], changed, *tree.items[place + 1 :]))


def moved(item: ParamDecl, step: float) -> ParamDecl:
    """A hyperparameter with a prior and a default, after a step of so many widths of the prior."""
    assert item.prior is not None
    return _with(item, _moved(number_of(item.default), item.prior, step))


def _with(item: ParamDecl, value: float) -> ParamDecl:
    return replace(item, default=number(round(value) if item.type == "int" else value))


def _moved(value: float, prior: Prior, step: float) -> float:
    """The value after a step of so many widths of its prior, kept within a prior that has ends."""
    base, sign = _frame(prior)
    inner = sign * (value - base)
    low, high = map(number_of, prior.args)
    if prior.family == "normal":
        inner += step * 4 * high
    elif prior.family == "uniform":
        inner = min(max(inner + step * (high - low), low), high)
    else:
        inner = exp(min(max(log(max(inner, low)) + step * log(high / low), log(low)), log(high)))
    return rounded(base + sign * inner)


def _draw(prior: Prior, rng: np.random.Generator) -> float:
    base, sign = _frame(prior)
    low, high = map(number_of, prior.args)
    if prior.family == "normal":
        return base + sign * rng.normal(low, high)
    if prior.family == "uniform":
        return base + sign * rng.uniform(low, high)
    return base + sign * exp(rng.uniform(log(low), log(high)))


def _frame(prior: Prior) -> tuple[float, float]:
    """`c - family(...)` is drawn downwards from c."""
    return (0.0, 1.0) if prior.complement is None else (number_of(prior.complement), -1.0)
