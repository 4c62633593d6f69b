"""Findings to one HTML page that needs nothing but itself: its style, its script and its charts are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ... import __version__
from ...dsl.diagnostics import OptError
from ..config import to_toml
from ..files import write_whole
from ..runs.progress import duration
from ..runs.run import readable
from ..runs.store import Individual, Store, StoreError
from . import charts
from .ancestry import Ancestry, ancestry
from .findings import Findings
from .mathematics import Typeset, typeset_rule
from .verdict import verdict

HALL = 8
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Chart:
    """A chart drawn twice, for a desk and for a phone."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Laureate:
    """A rule of the hall of fame. `typeset` is None where its mathematics cannot be written."""

    rank: int
    individual: Individual
    typeset: Typeset | None
    formula: str
    source: str


def page(store: Store) -> str:
    """The report of a run as HTML. Raises StoreError where no rule is scored yet."""
    found = Findings(store)
    tree = ancestry(found.winner, found.individuals)
    style, script = (HERE / "page.css").read_text(), (HERE / "page.js").read_text()
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            found=found,
            charts=_charts(found, tree),
            verdict=verdict(found),
            hall=[_laureate(found, rank, i) for rank, i in enumerate(found.hall[:HALL], 1)],
            ancestry=tree,
            config=to_toml(found.config),
            version=__version__,
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
            done=len(found.populations),
            trained=duration(found.training_seconds),
            refused=found.refused,
        )
    )


def write_page(store: Store, path: Path) -> None:
    """The report of a run as a file. Raises StoreError."""
    text = page(store)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


def _environment() -> Environment:
    loader = PackageLoader("optc.search", "report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _policy(style: str, script: str) -> str:
    """A content security policy under which nothing is fetched, and no script runs but the page's own."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _charts(found: Findings, tree: Ancestry) -> dict[str, Chart]:
    formulas = {a.individual.id: found.formula(a.individual) for a in tree.members}
    drawn: dict[str, Callable[[float], Markup]] = {
        "fitness": lambda width: charts.fitness_chart(found.spreads, width),
        "seeds": lambda width: charts.seeds_chart(found.tasks, width),
        "pareto": lambda width: charts.pareto_chart(found.scored, found.front, width),
        "family": lambda width: charts.family_chart(tree, formulas, width),
        "shares": lambda width: charts.shares_chart(found.shares, width),
    }
    return {name: Chart(draw(charts.WIDE), draw(charts.NARROW)) for name, draw in drawn.items()}


def _laureate(found: Findings, rank: int, individual: Individual) -> Laureate:
    try:
        typeset = typeset_rule(found.tree(individual))
    except OptError:
        typeset = None
    return Laureate(rank, individual, typeset, found.formula(individual), readable(individual, f"Bred{rank}"))
