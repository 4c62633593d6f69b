"""A run and its controls, runs in its folder, to the sentences that they allow; it claims nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..evolve.control import CONTROLS
from ..training.fitness import DIVERGED
from .run import config_of
from .store import FILE, Store, StoreError


@dataclass(frozen=True)
class Outline:
    """How far a run went: its best fitness, the rules that it judged, and the training steps that those took."""

    finished: bool
    best: float
    judged: int
    steps: int


def control_folder(run: Path, kind: str) -> Path:
    return run / f"control-{kind}"


def outline(folder: Path) -> Outline:
    """Raises StoreError."""
    store = Store.open(folder)
    try:
        config = config_of(store)
        hall = store.hall_of_fame(1)
        judged = len({i.key for i in store.individuals() if i.rung is not None})
        best = DIVERGED if not hall or hall[0].fitness is None else hall[0].fitness
        finished = len(store.populations()) == config.search.generations
        return Outline(finished, best, judged, store.steps())
    finally:
        store.close()


def controls_of(run: Path) -> dict[str, Outline]:
    """The controls that were run, by kind. Raises StoreError."""
    folders = {kind: control_folder(run, kind) for kind in CONTROLS}
    return {kind: outline(folder) for kind, folder in folders.items() if (folder / FILE).exists()}


def sentences(run: Path) -> Iterator[str]:
    """What the controls say, or that there are none."""
    try:
        found, search = controls_of(run), outline(run)
    except StoreError as error:
        yield f"A control cannot be read: {error}"
        return
    for kind, control in found.items():
        if not (control.finished and search.finished):
            yield f"The control `{kind}` or the search is not finished, so they are not compared."
        else:
            yield _compared(run, kind, search, control)
    missing = [kind for kind in CONTROLS if kind not in found]
    if missing:
        commands = " and ".join(f"optsearch control {run} --kind {kind}" for kind in missing)
        yield f"What a search without breeding finds is not known for all controls: {commands}"


def _compared(run: Path, kind: str, search: Outline, control: Outline) -> str:
    gap = search.best - control.best
    how = "better than" if gap > 0 else "worse than" if gap < 0 else "as good as"
    verdict = (
        f"so it takes fresh seeds to tell whether breeding gained anything: optsearch compare {run} "
        f"{control_folder(run, kind)}"
        if gap > 0
        else "so breeding is not shown to have gained anything"
    )
    return (
        f"By search scores the best rule ({search.best:.4f}, of {search.judged:,} rules and {search.steps:,} steps) is "
        f"{how} that of the control `{kind}` ({control.best:.4f}, of {control.judged:,} rules and {control.steps:,} "
        f"steps), {verdict}."
    )
