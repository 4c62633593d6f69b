"""Which rules may be born and how they may change: one row a space, its operators in modules of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...dsl.text.syntax import File
from . import expression, paper, vary

Random = Callable[[np.random.Generator], File]
Cross = Callable[[File, File, np.random.Generator], File]
Mutate = Callable[[File, np.random.Generator, float], tuple[File, tuple[str, ...]]]


FREE: Mapping[str, Any] = {
    "population": 30,
    "generations": 64,
    "tournament": 6,
    "selection": "pareto",
    "objectives": ("fitness", "complexity"),
    "crossover": 0.2,
    "tune_every": 3,
    "tune_top": 2,
    "tune_trials": 20,
    "tune_drafts": 8,
    "patience": 5,
}
"""How a space without bounds is searched: for what is good and small, with little crossing, constants apart, by
populations that take turns."""


@dataclass(frozen=True)
class Space:
    """A set of rules that can be searched: where it begins, who is born into it, and who is born of whom.

    `founders` are trees with which every search begins; `mutate` takes the strength of a mutation, from 1 at the
    start of a search to 1/2 at its end, and names what it did. All are pure; all randomness is the argument's.
    `defaults` are the settings of `[search]` that stand where a configuration does not say, other than the paper's.
    `literals` says whether the numbers in an update may be tuned; hyperparameters always may.
    """

    name: str
    doc: str
    founders: Mapping[str, File]
    random: Random
    cross: Cross
    mutate: Mutate
    defaults: Mapping[str, Any]
    literals: bool = True


SPACES: dict[str, Space] = {
    space.name: space
    for space in (
        Space(
            "paper",
            "sums of 1 to 4 weighted primitives with the flags of arXiv:2512.11853",
            {name: paper.write(genome) for name, genome in paper.FOUNDERS.items()},
            vary.random_tree,
            vary.cross,
            vary.mutate,
            {},
            literals=False,
        ),
        Space(
            "expression",
            "free typed expressions over g, m, v, theta, t and constants, with the standard averages",
            expression.FOUNDERS,
            expression.random_tree,
            expression.cross,
            expression.mutate,
            FREE,
        ),
        Space(
            "program",
            "the same, where the averages and what is averaged evolve too",
            expression.FOUNDERS,
            expression.random_tree,
            expression.cross_program,
            expression.mutate_program,
            FREE,
        ),
    )
}
