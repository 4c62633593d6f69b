"""Two rules → whether they are the same: equal in canonical form, or else where their runs part and how far.

Rules that differ only in rounding have one canonical form. Rules that do not share one may still be equal; then the
runs agree, which proves nothing, and the comparison says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..algebra.canonical import canonical
from ..meaning.interpret import initial_states, step_all
from ..rule import Rule, Value
from .witness import chosen

Array = NDArray[np.float64]
Verdict = Literal["equal", "same structure", "agree", "differ"]
SHAPES = ((5, 7), (11,), ())
STEPS = 100
TOLERANCE = 1e-12
"""Relative: a hundred steps of float64 rounding stay well below it, and any other difference above."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`first_step` and `largest` are None where no runs were made, since there was no need or no way.

    `largest` is the largest difference of theta relative to the size of theta, at step `largest_step`; `constants` are
    (position, left, right) of numbers that differ in rules of one structure.
    """

    verdict: Verdict
    first_step: int | None = None
    largest: float | None = None
    largest_step: int | None = None
    constants: tuple[tuple[int, float, float], ...] = ()
    note: str = ""

    def text(self) -> str:
        """One line for each finding."""
        lines = {
            "equal": ["equal: both have one canonical form"],
            "same structure": ["not equal: the structure is the same, the numbers are not"],
            "agree": ["not proven equal: the canonical forms differ, the runs do not"],
            "differ": ["not equal: the canonical forms differ"],
        }[self.verdict]
        lines += [f"  constant {i}: {a!r} and {b!r}" for i, a, b in self.constants]
        if self.first_step is not None:
            lines.append(f"  theta first differs after step {self.first_step}")
        if self.largest is not None and self.largest_step is not None:
            lines.append(
                f"  largest relative difference in {STEPS} steps: {self.largest:.3g}, after step {self.largest_step}"
            )
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)


def compare(a: Rule, b: Rule, seed: int = 0) -> Comparison:
    """Hold two rules against each other, each at its own default hyperparameters.

    Both start from the same parameters and see the same random gradients, some of them large, tiny or 0.
    """
    left, right = canonical(a), canonical(b)
    if left.hash == right.hash:
        return Comparison("equal")
    constants: tuple[tuple[int, float, float], ...] = ()
    if left.skeleton == right.skeleton:
        pairs = enumerate(zip(left.constants, right.constants, strict=True))
        constants = tuple((i, x, y) for i, (x, y) in pairs if x != y)
    try:
        gaps = _gaps(a, b, seed)
    except (TypeError, ValueError, np.linalg.LinAlgError) as error:
        return Comparison("same structure" if constants else "differ", constants=constants, note=f"not run: {error}")
    first = next((t for t, gap in enumerate(gaps, 1) if gap > TOLERANCE), None)
    verdict: Verdict = "same structure" if constants else "agree" if first is None else "differ"
    last = int(np.argmax(gaps))
    return Comparison(verdict, first, gaps[last], last + 1, constants)


def _gaps(a: Rule, b: Rule, seed: int) -> list[float]:
    """After each step, how far the two thetas are apart; infinite where only one of them is NaN or infinite."""
    random = np.random.Generator(np.random.PCG64(seed))
    start = [random.standard_normal(shape) for shape in SHAPES]
    inputs = {n: [np.abs(random.standard_normal(s)) for s in SHAPES] for n in {*a.inputs, *b.inputs}}
    runs = [_Run(rule, start) for rule in (a, b)]
    out = []
    for t in range(1, STEPS + 1):
        scale = 10.0 ** random.integers(-3, 4)
        gs = [scale * random.standard_normal(shape) * (random.random(shape) > 0.1) for shape in SHAPES]
        thetas = [run.step(gs, t, inputs) for run in runs]
        out.append(max(_gap(x, y) for x, y in zip(*thetas, strict=True)))
    return out


class _Run:
    def __init__(self, rule: Rule, start: list[Array]) -> None:
        self.rule = rule
        self.setting: dict[str, Value] = chosen(rule)
        self.thetas = [x.copy() for x in start]
        self.states = [initial_states(rule, self.setting, x) for x in start]

    def step(self, gs: list[Array], t: int, inputs: dict[str, list[Array]]) -> list[Array]:
        known = {n: x for n, x in inputs.items() if n in self.rule.inputs}
        ts = [t] * len(gs)
        self.thetas, self.states = step_all(self.rule, self.setting, self.thetas, gs, self.states, ts, known)
        return self.thetas


def _gap(x: Array, y: Array) -> float:
    strange = ~(np.isfinite(x) & np.isfinite(y))
    if not np.array_equal(x[strange], y[strange], equal_nan=True):
        return float("inf")
    sizes = np.maximum(np.abs(x), np.abs(y))[~strange]
    apart = np.abs(x - y)[~strange]
    return float(np.max(apart / np.maximum(sizes, 1e-300), initial=0.0))
