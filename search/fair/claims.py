"""Statistics to the one sentence that they allow, or to why nothing may be claimed; it computes no statistic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .statistics import Comparison, smallest_p

ALPHA = 0.05
NAMES_SHOWN = 4

Part = Literal["search", "selection", "test"]


@dataclass(frozen=True)
class Basis:
    """How the figures came about: whose images they are of, and how many tuning trials each rule had.

    `variants` says that all are variants of one rule with its constants, which then need no tuning to be compared.
    `family` is how many comparisons were corrected for together.
    """

    part: Part
    trials: Mapping[str, int]
    family: int
    variants: bool = False


@dataclass(frozen=True)
class Claim:
    """A sentence; `made` says whether it asserts a difference."""

    made: bool
    sentence: str


def claim(rule: str, condition: str, comparisons: Sequence[Comparison], basis: Basis) -> Claim:
    """What may be said of a rule under one condition. `comparisons` are its own there, already corrected."""
    if not comparisons:
        return Claim(False, f"No claim about {rule} ({condition}): it was compared with nothing.")
    for reason in _obstacles(comparisons, basis):
        return Claim(False, f"No claim about {rule} ({condition}): {reason}.")
    shown = [c for c in comparisons if _is_shown(c)]
    if not shown:
        least = min(c.adjusted for c in comparisons)
        return Claim(
            False,
            f"No claim about {rule} ({condition}): over {comparisons[0].seeds} paired seeds {_count(comparisons)} "
            f"the correction for {basis.family} comparisons (smallest corrected p = {least:.2g}).",
        )
    return Claim(True, _assertion(rule, condition, comparisons, shown, basis))


def _obstacles(comparisons: Sequence[Comparison], basis: Basis) -> Iterator[str]:
    """Whatever forbids a claim before any figure is looked at."""
    if basis.part == "search":
        yield "these are scores on the data that the rules were bred and tuned on, so they flatter whoever was chosen"
    names = [comparisons[0].rule, *(c.rival for c in comparisons)]
    trials = {name: basis.trials.get(name, 0) for name in names}
    if len(set(trials.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in trials.items())
        yield f"the rules were not tuned with the same number of trials ({listed})"
    if not basis.variants and not any(trials.values()):
        yield "no rule was tuned, so the figures compare constants, not rules"
    seeds = comparisons[0].seeds
    if smallest_p(seeds) * basis.family > ALPHA:
        enough = next(n for n in range(1, 100) if smallest_p(n) * basis.family <= ALPHA)
        yield f"{seeds} paired seeds cannot show anything among {basis.family} comparisons; {enough} could"


def _is_shown(c: Comparison) -> bool:
    """The test rejects after correction, and the interval is on the same side of zero."""
    return c.adjusted <= ALPHA and (c.low > 0 or c.high < 0)


def _assertion(
    rule: str, condition: str, comparisons: Sequence[Comparison], shown: Sequence[Comparison], basis: Basis
) -> str:
    parts = []
    for word, side in (("higher", [c for c in shown if c.mean > 0]), ("lower", [c for c in shown if c.mean < 0])):
        if side:
            parts.append(f"scores {word} than " + _listed([_figures(c) for c in side]))
    silent = [c.rival for c in comparisons if c not in shown]
    least = max(c.adjusted for c in shown)
    trials = basis.trials.get(rule, 0)
    constants = f"each tuned with {trials} trials" if trials else "its constants left as they are"
    sentence = (
        f"{rule} ({condition}) {' and '.join(parts)}, over {shown[0].seeds} paired seeds on the {basis.part} split, "
        f"{constants} (Wilcoxon signed-rank, Holm-corrected for {basis.family} comparisons: p <= {least:.2g})."
    )
    return sentence + (f" Nothing is claimed against {_listed(silent)}." if silent else "")


def _figures(c: Comparison) -> str:
    ends = sorted((abs(c.low), abs(c.high)))
    return f"{c.rival} by {abs(c.mean):.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(comparisons: Sequence[Comparison]) -> str:
    names = [c.rival for c in comparisons]
    if len(names) == 1:
        return f"its difference from {names[0]} does not survive"
    whom = _listed(names) if len(names) <= NAMES_SHOWN else f"{len(names)} rivals"
    return f"none of its differences from {whom} survives"
