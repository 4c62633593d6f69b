"""What the commands that hold contests share: options, settings, the results' folder, what is shown at the end."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import write_whole

if TYPE_CHECKING:
    from ..config import Config
    from ..fair.contest import Standings
    from ..fair.heats import Heats, Referee, Result

INTERRUPTED = 130
SECONDS_BETWEEN_LINES = 30.0

SETTINGS = (
    click.option("--config", type=click.Path(path_type=Path), help="A search's TOML file, for all that is not given."),
    click.option("--tasks", "--task", metavar="TASK,…", help="What to train on.  [default: digits]"),
    click.option("--steps", type=click.IntRange(1), help="Steps of a training run.  [default: 500]"),
    click.option("--batch", type=click.IntRange(1), help="Images in a batch.  [default: 128]"),
    click.option("--seed", type=click.IntRange(0), help="Everything random, the splits too.  [default: 0]"),
    click.option("--workers", type=click.IntRange(0), help="Processes; 0 fills the cores.  [default: 0]"),
    click.option("--device", help="cpu, cuda, or auto.  [default: auto]"),
    click.option(
        "--out", type=click.Path(path_type=Path), help="The results' folder; one that exists is gone on with."
    ),
)
TUNING = (
    click.option("--method", type=click.Choice(["log-random", "cma"]), default="log-random", show_default=True),
    click.option("--tuning-seeds", default=1, show_default=True, type=click.IntRange(1), help="Runs of each trial."),
)


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def settings(rules: Sequence[str], config: Path | None = None, tasks: str | None = None, **given: Any) -> Config:
    """The configuration of a contest: what is given, else that of the file or of the first run among the rules.

    Raises ConfigError, also where a run was bred on another split: its rule would be judged by what it has seen.
    """
    from ..config import Config, ConfigError, checked, read_config

    runs = {rule: read_config(Path(rule, "config.toml")) for rule in rules if Path(rule).is_dir()}
    data = (read_config(config) if config else next(iter(runs.values()), Config())).model_dump()
    wanted = {key: value for key, value in given.items() if value is not None}
    if tasks:
        wanted["tasks"] = tuple(tasks.split(","))
    for key, value in wanted.items():
        section = "machine" if key in ("workers", "device") else "" if key == "seed" else "training"
        (data[section] if section else data)[key] = value
    found = checked(data, "this contest")
    for rule, bred in runs.items():
        if bred.seed != found.seed:
            raise ConfigError(
                f"{rule} was bred on the split of seed {bred.seed}, and this contest has seed {found.seed}: "
                "its rule has seen the data that would judge it"
            )
    return found


def schedule_names(text: str) -> tuple[str, ...]:
    """Schedules from `a,b`. Raises BadParameter."""
    from ..fair.schedules import SCHEDULES

    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in found:
        if name not in SCHEDULES:
            raise click.BadParameter(f"no schedule `{name}`; there is {', '.join(SCHEDULES)}", param_hint="--schedules")
    return found


def numbers(text: str) -> tuple[int, ...]:
    """Horizons from `1,4,16`. Raises BadParameter."""
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise click.BadParameter(f"`{text}` should be whole numbers such as 1,4,16", param_hint="--horizons")
    return found


@contextmanager
def contest_folder(
    out: Path | None, kind: str, config: Config, referee: type[Referee] | None = None, again: str = ""
) -> Iterator[Heats]:
    """The results of a contest in its folder, and the pool that adds to them; Ctrl-C says how to go on."""
    from ..config import to_toml
    from ..fair.heats import Heats, Referee
    from ..tasks.task import splits_of
    from ..training.pool import make_pool

    for task in config.training.tasks:  # data that cannot be had is said at once, not run by run
        splits_of(task, config.seed, config.training.train_images, config.training.validation_images)
    folder = out or next_folder(kind)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    heats = Heats(folder, lambda: make_pool(config, referee or Referee), _progress())
    try:
        click.echo(f"results are kept in {folder}" + (f", {len(heats.known)} runs already" if heats.known else ""))
        write_whole(folder / "config.toml", to_toml(config))
        yield heats
    except KeyboardInterrupt:
        click.echo(f"\nstopped; every finished run is kept. Go on: {again or f'the same command with --out {folder}'}")
        sys.exit(INTERRUPTED)
    finally:
        heats.close()


def next_folder(name: str) -> Path:
    """The first of runs/NAME-1, runs/NAME-2, … that is not there yet."""
    number = 1
    while Path("runs", f"{name}-{number}").exists():
        number += 1
    return Path("runs", f"{name}-{number}")


def show(standings: Standings, folder: Path) -> None:
    """Print the table and write it down, with everything else as JSON. Raises StoreError where all runs failed."""
    from ..fair.scoreboard import as_json, lines

    text = "\n".join(lines(standings)) + "\n"
    click.echo("\n" + text)
    write_whole(folder / "table.txt", text)
    write_whole(folder / "standings.json", json.dumps(as_json(standings), indent=1) + "\n")
    click.echo(f"wrote {folder / 'table.txt'} and {folder / 'standings.json'}")
    check_some_came_through(result for results in standings.results.values() for result in results)


def check_some_came_through(results: Iterable[Result]) -> None:
    """Raises StoreError where every run failed: that is hardly the rules' doing, and says nothing about them."""
    from ..runs.store import StoreError

    reasons = Counter(result.reason for result in results)
    if reasons and "" not in reasons:
        (why, count), *others = reasons.most_common()
        raise StoreError(f"every training run failed: {why} ({count} times)" + (", and others" if others else ""))


def _progress() -> Callable[[int, int], None]:
    """A count that is rewritten on a terminal; elsewhere a line now and then."""
    terminal = sys.stderr.isatty()
    start = spoke = time.monotonic()

    def told(done: int, of: int) -> None:
        nonlocal start, spoke
        now = time.monotonic()
        start = now if done == 0 else start
        left = f", {(now - start) * (of - done) / done:.0f} s left" if done else ""
        if terminal and of:
            click.echo(f"\r  {done}/{of} runs{left}\x1b[K", err=True, nl=done == of)
        elif now - spoke > SECONDS_BETWEEN_LINES:
            click.echo(f"  {done}/{of} runs{left}", err=True)
            spoke = now

    return told
