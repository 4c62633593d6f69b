"""A run's findings to what may be claimed of its winner, in sentences; it never claims more than was measured."""

from __future__ import annotations

from .findings import Findings


def claims(found: Findings) -> tuple[str, list[str]]:
    """The verdict in a sentence, and its reasons."""
    rules, best = len(found.scored), found.winner
    shown = f"{best.fitness:.4f}" if best.fitness is not None else "none"
    reasons = [
        f"Search scores are optimistic: {shown} is the best of {rules} rules on the very images that chose it. "
        "Scored afresh, the best of many falls back.",
        "The rules that the search began with were not tuned, and the winner's numbers were. A search over a superset "
        "of Adam beats an untuned Adam by construction.",
    ]
    return "No claim is made. These are search scores, good for choosing what to examine next.", [
        *reasons,
        *_schedule(found),
        *_seeds(found),
    ]


def _schedule(found: Findings) -> list[str]:
    scheduled = "step_size" in found.outputs(found.winner)
    return (
        ["The winner has a learning-rate schedule of its own; constant-rate founders have none."] if scheduled else []
    )


def _seeds(found: Findings) -> list[str]:
    seeds = found.config.training.seeds
    few = "One seed says" if seeds == 1 else f"{seeds} seeds say"
    return [f"{few} little about chance: see the intervals by task and seed below."] if seeds < 20 else []
