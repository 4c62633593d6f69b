"""Trees to reasons why they are not worth a training run, found without training: 8 steps on 24 made-up parameters.

The rule runs in float64, on gradients that share a mean, as a network's do. Each gate is a row of
GATES; a refusal is recorded with its reason. None of them can tell a good rule from a fair one: they find the hopeless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from ...dsl.diagnostics import OptError
from ...dsl.meaning.flow import paths
from ...dsl.meaning.interpret import settings
from ...dsl.recent import Recent
from ...dsl.rule import Rule
from ...dsl.text.syntax import File
from ..length import setting_of
from ..seeds import generator
from .keys import rule_of

Array = NDArray[np.float64]

STEPS, SHAPE = 8, (6, 4)
WEIGHT_SIZE, GRADIENT_SIZE = 0.1, 0.01
SIZES = (-4.0, 0.0)
"""Powers of ten between which the gradients of the second row are; those of the first are of one size."""
DESCENT = 0.15
"""The least mean cosine between update and gradient; half of the paper's random genomes have less."""
LARGEST_STEP = 1.0
LEAST_STEP = 1e-12
PACE = 0.1
"""How far apart, as traits, two rules are of which one steps e times as far; opposite directions are 2 apart."""
SAME_BITS = 30
"""Of the mantissas of two equal moves: nine digits."""


@cache
def _made_up() -> tuple[Array, Array]:
    """Parameters, and two rows of gradients, one for each step."""
    theta = WEIGHT_SIZE * generator("probe", "theta").standard_normal(SHAPE)
    draws = [generator("probe", "gradients", which) for which in range(2)]
    rows = [draw.standard_normal(SHAPE) + draw.standard_normal((STEPS, *SHAPE)) for draw in draws]
    sizes = np.stack([np.full(SHAPE, GRADIENT_SIZE), 10 ** draws[1].uniform(*SIZES, SHAPE)])
    return theta, sizes[:, None] * np.stack(rows)


@cache
def _sizes() -> Array:
    """The norm of each step's gradients."""
    out: Array = np.linalg.norm(_made_up()[1][0].reshape(STEPS, -1), axis=1)
    return out


@dataclass(frozen=True)
class Probe:
    """A rule set to run `length` steps, and what its first few did."""

    rule: Rule
    length: int

    @cached_property
    def moves(self) -> Array:
        """What each step subtracted from the parameters, (STEPS, *SHAPE)."""
        return self._paths[0, :-1] - self._paths[0, 1:]

    @cached_property
    def moves_elsewhere(self) -> Array:
        """The same, on other gradients."""
        return self._paths[1, :-1] - self._paths[1, 1:]

    @cached_property
    def largest(self) -> float:
        """The largest move of a parameter in one step; NaN or infinity where any is."""
        return float(np.abs(self.moves).max())

    @cached_property
    def cosine(self) -> float:
        """The mean over steps of the cosine between move and gradient."""
        moves, gradients = self.moves.reshape(STEPS, -1), _made_up()[1][0].reshape(STEPS, -1)
        products, squares = np.einsum("ij,ij->i", moves, gradients), np.einsum("ij,ij->i", moves, moves)
        return float(np.mean(products / np.maximum(np.sqrt(squares) * _sizes(), 1e-300)))

    @cached_property
    def fingerprint(self) -> str:
        """Equal for rules that move parameters alike, however they are written."""
        spare = np.int64(52 - SAME_BITS)
        bits = (np.ascontiguousarray(self.moves) + 0.0).view(np.int64)  # -0.0 + 0.0 is 0.0
        return blake2b(((bits + (1 << spare - 1)) >> spare).tobytes(), digest_size=12).hexdigest()

    @cached_property
    def traits(self) -> Array | None:
        """Where to and how far the rule moves on either row of gradients; None where it stands still, or overflows."""
        rows = np.stack([self.moves, self.moves_elsewhere]).reshape(2, -1)
        sizes = np.linalg.norm(rows, axis=1)
        if not (sizes > LEAST_STEP).all() or not np.isfinite(sizes).all():
            return None
        return np.concatenate([*(rows / sizes[:, None]), PACE * np.log(sizes)])

    @cached_property
    def _paths(self) -> Array:
        """The parameters before every step and after the last, on both rows of gradients, (2, STEPS + 1, *SHAPE)."""
        return paths(self.rule, settings(self.rule, **setting_of(self.rule, self.length)), *_made_up())


Gate = Callable[[Probe], str]
"""Why a rule is refused; empty if it is not."""


def _finite(probe: Probe) -> str:
    return "" if isfinite(probe.largest) else "not finite: a step makes NaN or infinity of finite numbers"


def _moves(probe: Probe) -> str:
    return "constant: parameters do not move" if probe.largest < LEAST_STEP else ""


def _listens(probe: Probe) -> str:
    same = np.array_equal(probe.moves, probe.moves_elsewhere)
    return "deaf: it does the same whatever the gradient" if same else ""


def _descends(probe: Probe) -> str:
    return "" if probe.cosine > DESCENT else "ascends: its steps do not go down the gradient"


def _small(probe: Probe) -> str:
    large = probe.largest > LARGEST_STEP and np.sqrt(np.mean(probe.moves**2)) > LARGEST_STEP
    return "too large: a step of more than 1" if large else ""


GATES: dict[str, Gate] = {
    "finite": _finite,
    "moves": _moves,
    "small": _small,
    "descends": _descends,
    "listens": _listens,
}
NEW = "new"
"""The gate that is not a row: refuses a rule that moves parameters exactly as one that was born before."""
NAMES = (*GATES, NEW)
NO_RULE = (OptError, ArithmeticError, ValueError, TypeError)
"""What a tree that is no rule may raise."""


class Gatekeeper:
    """Trees to reasons, by the named gates in order; remembers who passed, for the gate `new`."""

    def __init__(self, names: Sequence[str], length: int) -> None:
        self.names, self.length = names, length
        self.seen: set[str] = set()
        self.probes = Recent[File, Probe]()

    def __call__(self, tree: File) -> str:
        """Why the tree is refused; empty if it is not."""
        if not self.names:
            return ""
        try:
            return self._judged(self._probe(tree))
        except NO_RULE as error:
            return f"no rule: {str(error).splitlines()[0]}"

    @np.errstate(over="ignore", invalid="ignore")
    def traits(self, tree: File) -> Array | None:
        """What a rule does, as numbers to forecast by; None for what cannot be run."""
        try:
            probe = self._probe(tree)
            self.probes.note(tree, probe)
            return probe.traits
        except NO_RULE:
            return None

    def _probe(self, tree: File) -> Probe:
        """One probe of a tree that is forecast and then judged; most are only judged."""
        return self.probes.get(tree) or Probe(rule_of(tree), self.length)

    @np.errstate(over="ignore", invalid="ignore")
    def _judged(self, probe: Probe) -> str:
        """What overflows, in a step or in a gate's own sums, is refused for it; numpy need not warn of it too."""
        if probe.rule.inputs:
            return f"no rule for a search: it needs the input `{probe.rule.inputs[0]}`"
        for name in self.names:
            reason = self._repeated(probe) if name == NEW else GATES[name](probe)
            if reason:
                return reason
        return ""

    def forget(self) -> None:
        """Let those be born again who were."""
        self.seen.clear()

    def _repeated(self, probe: Probe) -> str:
        if probe.fingerprint in self.seen:
            return "repeats a rule that was born before"
        self.seen.add(probe.fingerprint)
        return ""
