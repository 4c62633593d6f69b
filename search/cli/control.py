"""`optsearch control`: what a search with the same budget finds without breeding structures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .words import in_words

if TYPE_CHECKING:
    from ..config import Config
    from ..runs.store import Store


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["random", "constants"]),
    default="random",
    show_default=True,
    help="random: children are drawn from the space; constants: the founders' structures, with other numbers.",
)
@in_words
def control(run: Path, kind: str) -> None:
    """Run a control of a search, and say how they compare.

    It has the search's space, seed, gates and number of births, but children that owe nothing to selection, or nothing
    to structure. It is a run of its own, RUN/control-KIND; asked again, it is gone on with.
    """
    from ..runs.controls import control_folder, sentences
    from ..runs.run import config_of
    from ..runs.store import FILE, Store
    from . import search

    store = Store.open(run)
    folder = control_folder(run, kind)
    if (folder / FILE).exists():
        own = Store.open(folder, write=True)
        search(own, config_of(own))
    else:
        search(*_begun(store, folder, kind))
    click.echo("\n" + "\n".join(sentences(run)))


def _begun(store: Store, folder: Path, kind: str) -> tuple[Store, Config]:
    """The control's run, with the founders that the search recorded."""
    from ..runs.run import config_of, create

    config = config_of(store)
    name = f"{config.name}-{kind}"
    ours = config.model_copy(
        update={"name": name, "search": config.search.model_copy(update={"control": kind, "crossover": 0.0})}
    )
    return create(ours, folder, store.about("founders")), ours
