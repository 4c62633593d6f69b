"""A stream to a random expression of the free spaces: of any form, or of idioms; typed, so that it always checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import exp

import numpy as np

from ...dsl.operators import OPERATORS, Kind
from ...dsl.text.expressions import Expr, Name
from .idioms import QUANTITIES, in_idiom, readable_of, template
from .priors import pick
from .sites import applied
from .trees import number

BIRTH_DEPTH = 4
IDIOMATIC = 0.5
"""How many of those that are born without parents are made of idioms."""

INNER: dict[str, float] = {
    "add": 4, "sub": 2, "mul": 4, "div": 3, "neg": 1, "sqrt": 2, "square": 1, "abs": 1, "sign": 2, "tanh": 1,
    "exp": 0.5, "log": 0.3, "cbrt": 0.3, "max": 1, "min": 1, "where": 0.5, "lt": 1, "gt": 1,
}  # fmt: skip
"""How often each operator is chosen where a new expression grows."""
PART_LEVELS: dict[int, float] = {1: 2, 2: 4, 3: 2, 4: 1}
"""How often a new part of a rule is at most so many levels deep."""
LEAVES: dict[str, float] = {"g": 4, "theta": 0.5, "t": 0.2, "beta1": 0.2, "beta2": 0.2, "eps": 0.3}
OTHER_LEAF, CONSTANT_LEAF = 2.0, 2.0


def grown(rng: np.random.Generator, readable: Sequence[str], levels: int, wanted: Kind = "real") -> Expr:
    """A random expression of a kind, at most so many levels deep (conditions need one more)."""
    if wanted == "real" and (levels <= 1 or rng.random() < 0.2):
        return leaf(rng, readable)
    row = OPERATORS[pick(rng, *_giving(wanted))]
    return applied(row.name, tuple(grown(rng, readable, levels - 1, row.takes_at(k)) for k in range(row.arity)))


@cache
def _giving(wanted: Kind) -> tuple[Sequence[str], Sequence[float]]:
    """The operators that give a kind, and how often each is chosen."""
    names = [name for name in INNER if OPERATORS[name].gives == wanted]
    return names, [INNER[name] for name in names]


def small(rng: np.random.Generator, readable: Sequence[str], levels: int, wanted: Kind = "real") -> Expr:
    """A new part of a rule: mostly of one or two levels, since most steps from one good rule to another are small."""
    drawn = pick(rng, list(PART_LEVELS), list(PART_LEVELS.values()))
    return grown(rng, readable, min(drawn, levels), wanted)


def born(rng: np.random.Generator, readable: Sequence[str]) -> Expr:
    """A new update: of any form, or of idioms."""
    if rng.random() < IDIOMATIC:
        return built(rng, readable)
    return grown(rng, readable, int(rng.integers(2, BIRTH_DEPTH + 1)))


def built(rng: np.random.Generator, readable: Sequence[str]) -> Expr:
    """A leaf inside one idiom, or inside two: what optimizers look like before anyone has bred them."""
    value = leaf(rng, readable)
    for _ in range(int(rng.integers(1, 3))):
        value = in_idiom(value, readable, lambda: quantity(rng, readable), rng)
    return value


def leaf(rng: np.random.Generator, readable: Sequence[str]) -> Expr:
    """A name or a constant; constants are log-normal around 1."""
    weights = [LEAVES.get(name, OTHER_LEAF) for name in readable]
    name = pick(rng, [*readable, ""], [*weights, CONSTANT_LEAF])
    return Name(name) if name else number(exp(rng.normal()))


def quantity(rng: np.random.Generator, readable: Sequence[str]) -> Expr:
    """A name, a constant, or what optimizers often make of one name."""
    text = readable_of(QUANTITIES, readable, rng)
    return template(text) if text else leaf(rng, readable)


def simple(rng: np.random.Generator, readable: Sequence[str], wanted: Kind) -> Expr:
    """A quantity, or a comparison of two."""
    return quantity(rng, readable) if wanted == "real" else grown(rng, readable, 2, wanted)
