"""A run's events to a table that stays in place on a terminal: the front, diversity, rejections, pace, time left."""

from __future__ import annotations

from collections import Counter

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...dsl.algebra.canonical import canonical
from ...dsl.checks.check import check
from ..evolve.population import TRIAL, Candidate, Generation, Merit
from ..spaces.measure import complexity, front
from ..spaces.trees import tidied
from ..training.fitness import DIVERGED
from .export import formula
from .progress import Tally, duration

ROWS, REASONS = 5, 4
TRAINING_FAILED = "failed in training"
STOPPED = "stopped at rung {}"
REFRESHES = 2
"""A second. Redrawing is done by a thread, which reads only what is replaced as a whole."""

Entry = tuple[int, float, Candidate]
"""Complexity, fitness and who has them."""


class Board:
    """The live table. Lines of finished generations are left above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tally = Tally(0)
        self.number = 0
        self.front: tuple[Entry, ...] = ()
        self.reasons: Counter[str] = Counter()
        self.skeletons: dict[str, str] = {}
        self.diversity = ""
        self.live = Live(console=console, get_renderable=self.view, refresh_per_second=REFRESHES)

    def started(self, individuals: int, known: int) -> None:
        self.tally = Tally(individuals)
        if known:
            self.console.print(f"going on from {known} recorded training runs", highlight=False)
        self.live.start()

    def scored(self, candidate: Candidate, fitness: float, fresh: bool) -> None:
        self.tally.add(candidate, fitness, fresh)
        self.number = candidate.generation
        failed = [TRAINING_FAILED] if fitness <= DIVERGED else []
        # A resumed run counts again what it was told of the first time, since it breeds again.
        self.reasons = self.reasons + Counter([*(r.reason for r in candidate.refused), *failed])
        if not failed:
            entry = complexity(tidied(candidate.tree)), fitness, candidate
            self.front = tuple(front([*self.front, entry], lambda e: e[0], lambda e: e[1]))

    def stopped(self, candidate: Candidate, merit: Merit) -> None:
        self.tally.add(candidate, None, True)
        self.number = candidate.generation
        why = [] if candidate.operators == TRIAL else [STOPPED.format(merit.rung + 1)]
        self.reasons = self.reasons + Counter([*(r.reason for r in candidate.refused), *why])

    def generation(self, generation: Generation) -> None:
        members = [member.candidate for member in generation.members]
        for new in (c for c in members if c.id not in self.skeletons):
            self.skeletons[new.id] = canonical(check(new.tree)).skeleton
        kinds = len({self.skeletons[c.id] for c in members})
        self.diversity = (
            f"{kinds} different structures among the {len(members)} rules of generation {generation.number}"
        )
        best = generation.best
        line = f"generation {generation.number:>3}  best {best.fitness:.4f}  (born {best.candidate.id})"
        self.console.print(line, highlight=False)

    def finished(self) -> None:
        self.live.stop()

    # ------------------------------------------------------------ drawing

    def view(self) -> Group:
        """What stands on the terminal now."""
        shown: list[RenderableType] = [self._header()]
        if self.front:
            shown += [Text(), self._best()]
        if self.diversity:
            shown += [Text(), Text(self.diversity, style="dim")]
        if self.reasons:
            shown += [Text(), self._rejections()]
        return Group(*shown, Text())  # the terminal's ^C goes there, and wraps no line

    def _header(self) -> Table:
        tally = self.tally
        row = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=tally.individuals, completed=tally.done, width=24)
        done = f"{tally.done}/{tally.individuals} rules"
        pace = f"{tally.pace:.1f} a second" if tally.pace >= 1 else f"{60 * tally.pace:.1f} a minute"
        left = Text(f"{tally.left} left", style="bold")
        row.add_row(f"generation {self.number}", bar, done, pace, f"{duration(tally.seconds)} passed", left)
        return row

    def _best(self) -> Table:
        """The Pareto front's fittest, the fittest first, each simpler than the one above it."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
        for name in ("fitness", "complexity", "born"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("the best rule, and the best of the simpler ones", no_wrap=True, overflow="ellipsis", ratio=1)
        for k, (size, fitness, candidate) in enumerate(self.front[: -ROWS - 1 : -1]):
            score = Text(f"{fitness:.4f}", style="" if k else "bold green")
            table.add_row(score, str(size), candidate.id, Text(formula(candidate.tree)))
        return table

    def _rejections(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
        table.add_column("count", justify="right", no_wrap=True)
        table.add_column("turned away or failed", no_wrap=True, overflow="ellipsis", ratio=1)
        shown = self.reasons.most_common(REASONS)
        for reason, count in shown:
            table.add_row(str(count), Text(reason))
        others = self.reasons.total() - sum(count for _, count in shown)
        if others:
            table.add_row(str(others), Text("for other reasons", style="dim"))
        return table
