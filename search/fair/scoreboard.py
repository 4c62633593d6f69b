"""A contest's standings to aligned lines and to JSON; it computes summaries, and judges nothing."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..columns import aligned
from .contest import Entry, Place, Standings
from .heats import Result
from .statistics import Comparison, bootstrap_interval

CAVEAT = (
    "A rule bred by a search over a superset of a rival's has had far more trials than its tuning here: a claim is "
    "about the rules as they now stand, not about how they were found."
)
WIDTH = 118
REMARKS = (
    "score: accuracy + 0.05 max(0, 1 - the last training losses), -1 for a run that failed; mean over tasks and seeds,",
    "with its 95% bootstrap interval over seeds. Accuracies are those of runs that did not fail. To loss: the steps to",
    "the training loss at which the median entry ends, by task.",
)


@dataclass(frozen=True)
class Row:
    """An entry at a horizon: its score with its interval, accuracies by task, failed runs, and what it cost.

    `steps_to` is the median number of steps to the training loss at which the median entry ends, by task; None where
    most seeds never get there. `milliseconds` are those of a step, everything around it included.
    """

    rule: str
    schedule: str
    steps: int
    score: float
    low: float
    high: float
    accuracy: Mapping[str, float | None]
    failed: int
    seconds: float
    milliseconds: float
    steps_to: Mapping[str, int | None]


def rows(standings: Standings) -> list[Row]:
    """Every entry at every horizon, the best first within a horizon."""
    out: list[Row] = []
    for horizon in standings.contest.horizons:
        found = [_row(standings, entry, horizon) for entry in standings.tuners]
        out += sorted(found, key=lambda row: -row.score)
    return out


def _row(standings: Standings, entry: Entry, horizon: int) -> Row:
    scores = standings.scores(entry, horizon, standings.tasks)
    runs = {task: standings.results[Place(*entry, horizon, task)] for task in standings.tasks}
    everyone = [result for results in runs.values() for result in results]
    steps, seconds = standings.steps(horizon), float(np.median([result.seconds for result in everyone]))
    return Row(
        *entry,
        steps,
        float(scores.mean()),
        *bootstrap_interval(scores),
        {task: _mean([r.accuracy for r in results if r.accuracy is not None]) for task, results in runs.items()},
        sum(bool(result.reason) for result in everyone),
        seconds,
        1000 * seconds / steps,
        {task: _steps_to(results, target_loss(standings, horizon, task), steps) for task, results in runs.items()},
    )


def failures(standings: Standings) -> Counter[tuple[str, str]]:
    """How often an entry's runs failed, by entry and reason."""
    return Counter(
        (f"{place.rule}, {place.schedule}", result.reason)
        for place, results in standings.results.items()
        for result in results
        if result.reason
    )


def target_loss(standings: Standings, horizon: int, task: str) -> float:
    """The training loss at which the median entry ends; NaN where every run failed."""
    ends = [
        [result.curve[-1] for result in standings.results[Place(*entry, horizon, task)] if not result.reason]
        for entry in standings.tuners
    ]
    medians = [float(np.median(losses)) for losses in ends if losses]
    return float(np.median(medians)) if medians else float("nan")


def _steps_to(results: Sequence[Result], target: float, steps: int) -> int | None:
    """The median over seeds, to within the length of one stretch of the recorded curve."""
    found = []
    for result in results:
        reached = [k for k, loss in enumerate(result.curve, 1) if loss <= target and not result.reason]
        found.append(reached[0] * steps / len(result.curve) if reached else float("inf"))
    median = float(np.median(found))
    return round(median) if np.isfinite(median) else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


# ---------------------------------------------------------------- lines


def lines(standings: Standings) -> Iterator[str]:
    """Scores, differences and claims, for people."""
    yield from aligned(_score_cells(standings))
    yield from REMARKS
    yield from (f"failed: {entry}: {why} ({count} runs)" for (entry, why), count in failures(standings).items())
    yield ""
    yield from aligned(_difference_cells(standings.comparisons))
    yield "difference: mean over paired seeds, with its 95% bootstrap interval; p: Wilcoxon's signed-rank test, exact;"
    yield f"Holm: the same, corrected for all {len(standings.comparisons)} comparisons."
    yield ""
    sentences = [claim.sentence for claim in standings.claims]
    if any(claim.made for claim in standings.claims) and not standings.contest.variants:
        sentences.append(CAVEAT)
    for sentence in sentences:
        yield from textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _score_cells(standings: Standings) -> list[Sequence[str]]:
    tasks = standings.tasks
    cells: list[Sequence[str]] = [
        ("rule", "schedule", "steps", "score", "", *tasks, "failed", "ms/step", "s/run", *("to loss" for _ in tasks))
    ]
    for row in rows(standings):
        accuracies = [_share(row.accuracy[task]) for task in tasks]
        reached = [str(row.steps_to[task] or "-") for task in tasks]
        interval = f"[{row.low:.4f}, {row.high:.4f}]"
        cost = f"{row.milliseconds:.2f}", f"{row.seconds:.2f}"
        score = f"{row.score:.4f}", interval
        cells.append(
            (row.rule, row.schedule, str(row.steps), *score, *accuracies, str(row.failed or "-"), *cost, *reached)
        )
    return cells


def _difference_cells(comparisons: Sequence[Comparison]) -> list[Sequence[str]]:
    cells: list[Sequence[str]] = [("rule", "rival", "condition", "difference", "", "wins", "p", "Holm")]
    for c in comparisons:
        interval, wins = f"[{c.low:+.4f}, {c.high:+.4f}]", f"{c.wins}/{c.seeds}"
        cells.append(
            (c.rule, c.rival, c.condition, f"{c.mean:+.4f}", interval, wins, f"{c.p:.2g}", f"{c.adjusted:.2g}")
        )
    return cells


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


# ---------------------------------------------------------------- JSON


def as_json(standings: Standings) -> dict[str, Any]:
    """Everything, for machines: the settings, what tuning found, every seed's score, comparisons and claims."""
    return {
        "config": standings.config.model_dump(),
        "budget": asdict(standings.contest.budget),
        "seeds": standings.contest.seeds,
        "horizons": standings.contest.horizons,
        "tuned": [_tuning(standings, entry) for entry in standings.tuners],
        "scores": [asdict(row) for row in rows(standings)],
        "runs": [
            place._asdict()
            | {"seed": k, "fitness": r.fitness, "accuracy": r.accuracy, "seconds": r.seconds, "failed": r.reason}
            for place, results in standings.results.items()
            for k, r in enumerate(results)
        ],
        "comparisons": [asdict(comparison) for comparison in standings.comparisons],
        "claims": [asdict(claim) for claim in standings.claims],
    }


def _tuning(standings: Standings, entry: Entry) -> dict[str, Any]:
    tuner = standings.tuners[entry]
    out: dict[str, Any] = {"rule": entry.rule, "schedule": entry.schedule, "trials": len(tuner.trials)}
    if tuner.trials:
        out |= {"values": tuner.best.values, "score": tuner.best.score, "widened": tuner.widenings}
        out |= {"on_border": list(tuner.borders())}
    return out
