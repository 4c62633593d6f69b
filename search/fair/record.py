"""What a run's test found out ⇄ `test.json` in its folder, and that in words; it reads no data and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_whole
from ..runs.store import StoreError
from .statistics import Floats, bootstrap_interval

RECORD = "test.json"


@dataclass(frozen=True)
class Scored:
    """A mean over seeds with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


def scored(scores: Sequence[float] | Floats) -> Scored:
    return Scored(float(np.mean(scores)), *bootstrap_interval(scores))


def record_of(run: Path) -> dict[str, Any] | None:
    """What is written of a run's test, if it has had one. Raises StoreError where that cannot be read."""
    path = run / RECORD
    try:
        return dict(json.loads(path.read_text())) if path.exists() else None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); it says whether the test split was read") from None


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    try:
        write_whole(run / RECORD, json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise StoreError(f"{run / RECORD} cannot be written: {error.strerror}") from None


def lines(record: Mapping[str, Any]) -> list[str]:
    """A record in words: how much of the search's score was left."""
    search, selection, final, winner = record["search"], record["selection"], record["test"], record["winner"]
    lost = f"{search - final['mean']:.4f} from search to test, on {record['plan']['seeds']} fresh seeds"
    out = [
        f"individual {winner['individual']}, number {winner['rank']} of the search, chosen by the selection images",
        f"  search score     {search:.4f}",
        f"  selection score  {selection['mean']:.4f}  [{selection['low']:.4f}, {selection['high']:.4f}]",
        f"  test score       {final['mean']:.4f}  [{final['low']:.4f}, {final['high']:.4f}]",
        f"  shrinkage        {lost}",
    ]
    out += [
        f"  test accuracy    {share:.4f}  {task}" for task, share in record["accuracy"].items() if share is not None
    ]
    claims = record.get("standings", {}).get("claims", [])
    return out + [claim["sentence"] for claim in claims]
