"""A run's store to TensorBoard's event files: fitness by generation, and the loss curves of the best rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .store import Individual, Store, StoreError


def write_events(store: Store, folder: Path, top: int) -> None:
    """Write `fitness/best` and `fitness/median` by generation, and `loss/TASK` by step for the `top` best rules.

    Each rule has a folder of its own, named by its rank and id, so that TensorBoard lays their curves over each other;
    a rule's losses are the means over its seeds. Raises StoreError without TensorBoard, or where nothing is scored.
    """
    writer = _writer_class()
    hall = store.hall_of_fame(top)
    if not hall:
        raise StoreError(f"{store.folder} has no scored individual yet")
    try:
        _write_generations(store, writer(folder / "search"))
        for rank, individual in enumerate(hall, 1):
            _write_losses(store, individual, writer(folder / f"{rank}-rule-{individual.id}"))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from None


def _writer_class() -> type[Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise StoreError(f"TensorBoard is not usable here ({error}): pip install tensorboard") from None
    return SummaryWriter


def _write_generations(store: Store, writer: Any) -> None:
    fitness = {i.id: i.fitness for i in store.individuals()}
    for number, members in enumerate(store.populations()):
        values = [value for one in members if (value := fitness[one]) is not None]
        writer.add_scalar("fitness/best", max(values), number)
        writer.add_scalar("fitness/median", float(np.median(values)), number)
    writer.close()


def _write_losses(store: Store, individual: Individual, writer: Any) -> None:
    """A diverged run's curve is shorter than the others and is left out."""
    curves: dict[str, list[Any]] = {}
    outcomes = store.outcomes(individual.key)
    longest = max(job.steps for job, _ in outcomes)
    for job, outcome in outcomes:
        if job.steps == longest and not outcome.reason:
            curves.setdefault(job.task, []).append(outcome.losses)
    for task, losses in curves.items():
        for step, loss in enumerate(np.mean(losses, axis=0), 1):
            writer.add_scalar(f"loss/{task}", float(loss), step)
    writer.close()
