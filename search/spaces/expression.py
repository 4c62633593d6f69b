"""The free spaces: any typed expression over the standard states, or whole programs; only what checks is ever born."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...dsl.diagnostics import OptError
from ...dsl.text.parser import parse
from ...dsl.text.syntax import Assign, File, Let, Output, ParamDecl, StateDecl
from . import graft
from .growth import born
from .keys import rule_of
from .priors import drawn
from .sites import mended, sites
from .trees import unplaced

PRELUDE = """
optimizer Bred
param lr    = 1e-3   in (0, inf)  ~ loguniform(1e-5, 1e-1)
param beta1 = 0.9    in [0, 1)    ~ 1 - loguniform(1e-3, 0.5)
param beta2 = 0.999  in [0, 1)    ~ 1 - loguniform(1e-4, 0.2)
param eps   = 1e-8   in (0, inf)  ~ loguniform(1e-10, 1e-4)
param wd    = 1e-6   in [0, inf)  ~ loguniform(1e-6, 1e-2)
state m = 0
state v = 0
m <- beta1*m + (1 - beta1)*g
v <- beta2*v + (1 - beta2)*g^2
let mhat = m/(1 - beta1^t)
let vhat = v/(1 - beta2^t)
decay = wd
update = """

UPDATES = {
    "momentum": "10*m",
    "adam": "mhat/(sqrt(vhat) + eps)",
    "rmsprop": "g/(sqrt(v) + eps)",
    "signum": "sign(m)",
}
AVERAGES = {"beta1": {"m", "mhat"}, "beta2": {"v", "vhat"}}
"""The names of each standard average, by that of its rate."""
TRIES = 20
DRAWN = 0.5
"""How many are born with hyperparameters from their priors; the others have those in use."""


def founder(update: str) -> File:
    """The standard states, and an update."""
    return unplaced(parse(PRELUDE + update))


FOUNDERS: dict[str, File] = {name: founder(update) for name, update in UPDATES.items()}

GRADIENT = founder("g")


def with_averages(tree: File) -> File:
    """A rule of anyone's with the standard averages that it lacks, asleep until a child reads them.

    An average is left out if the rule has another use for one of its names.
    """
    for rate, names in AVERAGES.items():
        known = _declared(tree)
        if known.isdisjoint(names):
            tree = _joined(tree, {*names, rate, "eps"} - known)
    return tree


def _declared(tree: File) -> set[str]:
    return {item.name for item in tree.items if isinstance(item, ParamDecl | StateDecl | Let | Assign)}


def _joined(tree: File, names: set[str]) -> File:
    """The tree with the standard declarations and statements of these names, before what it gives out."""
    new = [item for item in founder("g").items if getattr(item, "name", "") in names]
    first = next(k for k, item in enumerate(tree.items) if isinstance(item, Output))
    joined = replace(tree, items=(*tree.items[:first], *new, *tree.items[first:]))
    return joined if sound(joined) else tree


def sound(tree: File) -> bool:
    """Whether the tree is a rule: what grows freely may divide by a difference that is nothing."""
    try:
        rule_of(tree)
    except OptError:
        return False
    return True


def random_tree(rng: np.random.Generator) -> File:
    """The standard states with a random update, of any depth, and hyperparameters drawn from their priors."""
    start = drawn(GRADIENT, rng) if rng.random() < DRAWN else GRADIENT
    (update,) = sites(start, whole_program=False)
    for _ in range(TRIES):
        tree = mended(start, update, born(rng, update.readable))
        if sound(tree):
            return tree
    return start


def cross(first: File, second: File, rng: np.random.Generator) -> File:
    return _sound_or(first, graft.cross(first, second, rng))


def mutate(tree: File, rng: np.random.Generator, strength: float) -> tuple[File, tuple[str, ...]]:
    changed, names = graft.mutate(tree, rng, strength)
    return (changed, names) if sound(changed) else (tree, ())


def cross_program(first: File, second: File, rng: np.random.Generator) -> File:
    return _sound_or(first, graft.cross(first, second, rng, whole_program=True))


def mutate_program(tree: File, rng: np.random.Generator, strength: float) -> tuple[File, tuple[str, ...]]:
    changed, names = graft.mutate(tree, rng, strength, whole_program=True)
    return (changed, names) if sound(changed) else (tree, ())


def _sound_or(parent: File, child: File) -> File:
    return child if sound(child) else parent
