"""`optsearch`: the commands that start, continue, show and export a search."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ... import __version__
from .contest import next_folder
from .control import control
from .fair import ablate, compare, test, tune
from .words import in_words

if TYPE_CHECKING:
    from ..config import Config
    from ..runs.store import Store

INTERRUPTED = 130
RUN = click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
POOL = click.option("--pool", type=click.Choice(["processes", "inline", "ray"]), help="Who trains.")


@click.group("optsearch", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optsearch")
def cli() -> None:
    """Breed new optimizers and find out how good they are.

    \b
      optsearch new mine.toml                a configuration to edit
      optsearch run examples/laptop.toml     search, one minute
      optsearch status runs/laptop-1         how far it is, and the best rules
      optsearch resume runs/laptop-1         go on after Ctrl-C or a crash
      optsearch control runs/laptop-1        the same budget without breeding
      optsearch compare runs/laptop-1        its best against tuned baselines, fairly
      optsearch test runs/laptop-1           its best on the test split, once
      optsearch report runs/laptop-1         one page to look at in a browser
      optsearch export runs/laptop-1         the best rules as .opt and .py, everything as CSV and JSON
    """


@cli.command()
@click.argument("config", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: search.population=20.")
@click.option("--seed", type=click.IntRange(0), help="Change the seed, and with it everything random.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: the next free runs/NAME-N]")
@POOL
@click.option("--dry-run", is_flag=True, help="Say what the search would cost, and do not start it.")
@in_words
def run(
    config: Path, overrides: tuple[str, ...], seed: int | None, out: Path | None, pool: str | None, dry_run: bool
) -> None:
    """Start a search."""
    from ..config import read_config
    from ..runs.run import create

    options = {"seed": seed, "machine.pool": pool}
    changes = [f"{key}={value}" for key, value in options.items() if value is not None]
    settings = read_config(config, (*overrides, *changes))
    if dry_run:
        _say_cost(settings)
        return
    store = create(settings, out or next_folder(settings.name))
    search(store, settings)


def _say_cost(config: Config) -> None:
    from ..runs.estimate import cost
    from ..runs.estimate import in_words as lines

    for line in lines(config, cost(config)):
        click.echo(line)


@cli.command()
@click.argument("path", metavar="PATH.toml", type=click.Path(path_type=Path))
@click.option("--space", default="paper", show_default=True, help="Which rules may be born.")
@click.option("--task", "tasks", multiple=True, default=("digits",), show_default=True, help="May be given repeatedly.")
@in_words
def new(path: Path, space: str, tasks: tuple[str, ...]) -> None:
    """Write a configuration that explains itself."""
    from ..runs.new import write_template

    write_template(path, space, tasks)
    click.echo(f"wrote {path}; next: optsearch run {path} --dry-run")


@cli.command()
@RUN
@POOL
@in_words
def resume(run: Path, pool: str | None) -> None:
    """Go on with a search that was interrupted, in whatever way."""
    from ..runs.run import config_of
    from ..runs.store import Store

    store = Store.open(run, write=True)
    config = config_of(store)
    if _edited(store):
        click.echo(f"note: {run}/config.toml was changed; the run goes on as it was started", err=True)
    machine = config.machine.model_copy(update={} if pool is None else {"pool": pool})
    search(store, config.model_copy(update={"machine": machine}))


def _edited(store: Store) -> bool:
    """Whether the copy of the configuration that lies in a run's folder to be read says something else by now."""
    try:
        return (store.folder / "config.toml").read_text(encoding="utf-8") != store.about("config")
    except (OSError, UnicodeDecodeError):
        return False


def search(store: Store, config: Config) -> None:
    """Search to the end or to Ctrl-C, shown on the terminal."""
    from rich.console import Console

    from ..runs.progress import make_listener
    from ..runs.run import run as run_search

    console = Console()
    console.print(f"run folder {store.folder}", highlight=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_search(store, config, make_listener(console))
    except KeyboardInterrupt:
        scored = sum(individual.fitness is not None for individual in store.individuals())
        click.echo(
            f"\nstopped; {scored} scored individuals are kept in {store.folder}.\n"
            f"go on:      optsearch resume {store.folder}\n"
            f"look at it: optsearch status {store.folder}"
        )
        sys.exit(INTERRUPTED)
    _print_hall(store)
    click.echo(f"\nwrote {store.folder / 'best.opt'}; next: optc compile {store.folder / 'best.opt'}")
    store.close()  # which leaves one file, without its log


@cli.command()
@RUN
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many of the best to show.")
@in_words
def status(run: Path, top: int) -> None:
    """Show how far a search is, its best rules, and where its candidates went."""
    from ..runs.ledger import ledger, lines
    from ..runs.run import config_of
    from ..runs.store import Store

    store = Store.open(run)
    config = config_of(store)
    individuals, best = store.individuals(), store.best_by_generation()
    scored = sum(individual.fitness is not None for individual in individuals)
    click.echo(f"{run}: {len(best)} of {config.search.generations} generations done, {scored} individuals scored")
    click.echo(f"training: {store.training_seconds():.0f} s on {', '.join(config.training.tasks)}")
    if best:
        click.echo(f"best fitness: {best[0]:.4f} in the first generation, {max(best):.4f} now")
    _print_hall(store, top)
    click.echo("\n" + "\n".join(lines(ledger(store, config), config)))
    failures = Counter(reason for _, reason in store.failures())
    if failures:
        click.echo("\nwhy training runs failed:")
        for reason, count in failures.most_common(top):
            click.echo(f"  {count:>6,}  {reason}")
    if len(best) < config.search.generations:
        click.echo(f"\ngo on: optsearch resume {run}")


@cli.command()
@RUN
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many of the best to write.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where to.  [default: RUN/export]")
@click.option("--tensorboard", type=click.Path(path_type=Path), help="Also write TensorBoard events into this folder.")
@in_words
def export(run: Path, top: int, out: Path | None, tensorboard: Path | None) -> None:
    """Write the best rules as .opt files and Python modules, and the whole run as CSV and JSON."""
    from ..runs.export import export as write
    from ..runs.store import Store

    store = Store.open(run)
    for path in write(store, out or run / "export", top):
        click.echo(f"wrote {path}")
    if tensorboard:
        from ..runs.tensorboard import write_events

        write_events(store, tensorboard, top)
        click.echo(f"wrote {tensorboard}; look at it: tensorboard --logdir {tensorboard}")


@cli.command()
@RUN
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file to write.  [default: RUN/report.html]")
@in_words
def report(run: Path, out: Path | None) -> None:
    """Write one HTML page that shows what a search found: charts, the rules as mathematics, what may be claimed."""
    from ..report.page import write_page
    from ..runs.store import Store

    path = out or run / "report.html"
    write_page(Store.open(run), path)
    click.echo(f"wrote {path}; open it in a browser, it needs no network")


for command in (control, tune, compare, ablate, test):
    cli.add_command(command)


def main() -> None:
    """The console script. Exit status 0 done, 1 bad input, 2 wrong usage, 125 a fault of ours, 130 interrupted."""
    from ...compiler.cli import run as in_order

    sys.exit(in_order(cli))


def _print_hall(store: Store, top: int = 5) -> None:
    from ..runs.export import hall_lines

    lines = hall_lines(store, top)
    if lines:
        click.echo("\n" + "\n".join(lines))
