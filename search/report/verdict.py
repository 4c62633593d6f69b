"""A run's findings and its test's record to what may be claimed, in sentences; the claims themselves are the test's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..fair.record import Scored, record_of
from ..runs.controls import sentences as controls
from .findings import Findings

ENOUGH_SEEDS = 20
"""What the fair protocol asks of final figures."""


@dataclass(frozen=True)
class Verdict:
    """The sentences that may be said, the scores of the tested rule from search to test, and what forbids more."""

    made: bool
    sentences: tuple[str, ...]
    scores: Mapping[str, Scored]
    tested: str
    reasons: tuple[str, ...]


def verdict(found: Findings) -> Verdict:
    """What a run allows to be claimed. Raises StoreError where the record of its test cannot be read."""
    record = record_of(found.folder)
    if record is None:
        reasons = (*_optimism(found), *_schedule(found), *_seeds(found), *controls(found.folder))
        return Verdict(False, (_untested(found),), {}, "", reasons)
    if "finished" not in record:
        begun = f"No claim is made: the test of this run was begun on {record['begun']}, and is not finished."
        return Verdict(False, (begun,), {}, "", tuple(_optimism(found)))
    return _tested(found, record)


def _untested(found: Findings) -> str:
    if len(found.populations) < found.config.search.generations:
        return "No claim is made: the search is not finished, and these are search scores."
    return (
        "No claim is made. These are search scores, good for choosing what to examine next: "
        f"optsearch test {found.folder}"
    )


def _tested(found: Findings, record: Mapping[str, Any]) -> Verdict:
    claims = record.get("standings", {}).get("claims", [])
    alone = "No claim over other rules is made: the winner was tested alone. Meeting them: optsearch compare"
    sentences = [claim["sentence"] for claim in claims] or [alone]
    search = record["search"]
    scores = {"search": Scored(search, search, search)}
    scores |= {part: Scored(**record[part]) for part in ("selection", "test")}
    winner, seeds = record["winner"], record["plan"]["seeds"]
    tested = (
        f"Rule {winner['individual']}, number {winner['rank']} of the search, was chosen by the selection images and "
        f"tested once, on {seeds} fresh seeds. From search to test it lost {search - record['test']['mean']:.4f}."
    )
    reasons = (*_optimism(found), *controls(found.folder))
    return Verdict(any(claim["made"] for claim in claims), tuple(sentences), scores, tested, reasons)


def _optimism(found: Findings) -> list[str]:
    best = found.hall[0].fitness or 0.0
    return [
        f"Search scores are optimistic: {best:.4f} is the best of {len(found.scored)} rules on the very images that "
        "chose it. Scored afresh, the best of many falls back.",
        "The rules that the search began with were not tuned, and the winner's numbers were. A search over a superset "
        "of Adam beats an untuned Adam by construction.",
    ]


def _schedule(found: Findings) -> list[str]:
    scheduled = "step_size" in found.outputs(found.winner)
    return (
        ["The winner has a learning-rate schedule of its own; constant-rate founders have none."] if scheduled else []
    )


def _seeds(found: Findings) -> list[str]:
    seeds = found.config.training.seeds
    few = "One seed says" if seeds == 1 else f"{seeds} seeds say"
    return [f"{few} little about chance: see the intervals by task and seed."] if seeds < ENOUGH_SEEDS else []
