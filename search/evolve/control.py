"""A space to the same without what a search is meant to show: its controls, one row of CONTROLS each.

`random` draws every child as the first generation is drawn: is selection worth anything? `constants` gives a child its
parent's rule with other numbers, so that structures stay the founders': is structure worth anything? Everything else,
gates, rungs and the number of births among it, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...dsl.text.syntax import File
from ..spaces.dials import Dials
from ..spaces.priors import STEP, drawn, pick
from ..spaces.space import Space

RATE = 0.35
"""How often a constant moves, at full strength: the paper's rate."""


def at_random(space: Space) -> Space:
    """Children that have nothing of their parents."""

    def mutate(tree: File, rng: np.random.Generator, strength: float) -> tuple[File, tuple[str, ...]]:
        return space.random(rng), ("random",)

    return replace(space, cross=_no_crossing, mutate=mutate)


def constants_only(space: Space) -> Space:
    """The founders' structures, with constants that are drawn from their priors at first, and then move."""

    def random(rng: np.random.Generator) -> File:
        return drawn(pick(rng, list(space.founders.values())), rng)

    def mutate(tree: File, rng: np.random.Generator, strength: float) -> tuple[File, tuple[str, ...]]:
        dials = Dials.of(tree, literals=space.literals)
        steps = rng.normal(0, STEP, len(dials)) * (rng.random(len(dials)) < RATE * strength)
        return dials.turned(steps.tolist()), ("constants",) if steps.any() else ()

    return replace(space, random=random, cross=_no_crossing, mutate=mutate)


def _no_crossing(first: File, second: File, rng: np.random.Generator) -> File:
    return first


CONTROLS: dict[str, Callable[[Space], Space]] = {"random": at_random, "constants": constants_only}


def controlled(space: Space, control: str) -> Space:
    """The space of a control, or the space itself where `control` is empty."""
    return CONTROLS[control](space) if control else space
