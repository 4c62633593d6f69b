"""`optsearch tune`, `compare`, `ablate` and `test`: what rules are worth, fairly found out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import write_whole
from .contest import (
    SETTINGS,
    TUNING,
    check_some_came_through,
    contest_folder,
    numbers,
    schedule_names,
    settings,
    show,
    with_options,
)
from .words import in_words

if TYPE_CHECKING:
    from ..fair.tune import Tuner

RULE = "Each RULE is an .opt file, zoo:NAME, torch:NAME, or a run's folder, which stands for its best rule."


@click.command(epilog=RULE)
@click.argument("rule", metavar="RULE")
@click.option("--trials", default=32, show_default=True, type=click.IntRange(1), help="How many to spend.")
@click.option("--schedule", type=click.Choice(["own", "constant", "cosine"]), default="own", show_default=True)
@with_options(*TUNING, *SETTINGS)
@in_words
def tune(rule: str, trials: int, schedule: str, method: str, tuning_seeds: int, out: Path | None, **given: Any) -> None:
    """Find good constants for a rule: the same budget for any.

    Hyperparameters are drawn from the rule's own priors, on the search images. Writes the tuned rule as .opt and every
    trial as JSON.
    """
    from ..fair.entrants import entrant_of
    from ..fair.tune import Budget, Tuner
    from ..fair.tune import tune as spend

    config = settings([rule], **given)
    tuner = Tuner(entrant_of(rule), schedule, Budget(trials, tuning_seeds, method), config.seed)
    with contest_folder(out, "tune", config) as heats:
        spend([tuner], config, heats)
        _write_tuned(tuner, heats.folder)
        check_some_came_through(heats.known.values())


def _write_tuned(tuner: Tuner, folder: Path) -> None:
    best, tuned = tuner.best, tuner.tuned()
    trials = [{"values": trial.values, "score": trial.score} for trial in tuner.trials]
    found = {"rule": tuned.name, "schedule": tuner.schedule, "values": best.values, "score": best.score}
    borders = list(tuner.borders())
    path = folder / f"{tuned.name.replace('.', '_')}.json"
    write_whole(path, json.dumps(found | {"widened": tuner.widenings, "on_border": borders, "trials": trials}))
    click.echo(f"as written: {tuner.trials[0].score:.4f}; best of {len(trials)} trials: {best.score:.4f}, with")
    click.echo("  " + ", ".join(f"{name} = {value:g}" for name, value in best.values.items()))
    for line in tuner.widenings:
        click.echo(f"widened, as the best lay on its border: {line}")
    if borders:
        click.echo(f"still on the border of its prior: {', '.join(borders)}; more trials may find better")
    if not tuned.in_torch:
        write_whole(folder / f"{tuned.name}.opt", tuned.text)
        click.echo(f"wrote {folder / tuned.name}.opt")
    click.echo(f"wrote {path}")


@click.command(epilog=RULE)
@click.argument("rules", metavar="RULE…", nargs=-1, required=True)
@click.option("--against", multiple=True, metavar="RULE", help="A rival, instead of the nine baselines; repeatable.")
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(1), help="Paired seeds of the final runs.")
@click.option(
    "--horizons", default="1", show_default=True, metavar="N,…", help="Lengths of the final runs, in --steps."
)
@click.option("--trials", default=16, show_default=True, type=click.IntRange(0), help="Tuning trials of every rule.")
@click.option(
    "--schedules", default="constant,cosine", show_default=True, metavar="NAME,…", help="own, constant, cosine."
)
@with_options(*TUNING, *SETTINGS)
@in_words
def compare(
    rules: Sequence[str],
    against: Sequence[str],
    seeds: int,
    horizons: str,
    trials: int,
    schedules: str,
    method: str,
    tuning_seeds: int,
    out: Path | None,
    **given: Any,
) -> None:
    """Hold rules against the optimizers of the field, fairly.

    Every rule is tuned alike on the search images, with and without a schedule. The final runs share weights and
    batches seed by seed, and are judged by the selection images. Run again with the same --out, a comparison goes on
    where it stopped; more seeds or rules only add to it.
    """
    from ..fair.compare import BASELINES, comparison
    from ..fair.contest import hold
    from ..fair.tune import Budget

    config = settings(rules, **given)
    budget = Budget(trials, tuning_seeds, method)
    contest = comparison(rules, against or BASELINES, schedule_names(schedules), numbers(horizons), budget, seeds)
    with contest_folder(out, "compare", config) as heats:
        show(hold(contest, config, heats, click.echo), heats.folder)


@click.command(epilog=RULE)
@click.argument("rule", metavar="RULE")
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(1), help="Paired seeds of the runs.")
@click.option("--trials", default=0, show_default=True, type=click.IntRange(0), help="Tuning trials of every variant.")
@click.option("--schedules", metavar="NAME,…", help="own, constant, cosine.  [default: with and without one]")
@with_options(*TUNING, *SETTINGS)
@in_words
def ablate(
    rule: str,
    seeds: int,
    trials: int,
    schedules: str | None,
    method: str,
    tuning_seeds: int,
    out: Path | None,
    **given: Any,
) -> None:
    """Drop each term, schedule factor, decay and correction of a rule in turn.

    Variants keep the rule's constants, unless they are given trials to be tuned anew. The runs share weights and
    batches seed by seed, and are judged by the selection images.
    """
    from ..fair.ablate import ablation, usual_schedules
    from ..fair.contest import hold
    from ..fair.entrants import entrant_of
    from ..fair.tune import Budget

    config, whole = settings([rule], **given), entrant_of(rule)
    wanted = schedule_names(schedules) if schedules else usual_schedules(whole)
    contest = ablation(whole, wanted, Budget(trials, tuning_seeds, method), seeds)
    with contest_folder(out, "ablate", config) as heats:
        show(hold(contest, config, heats, click.echo), heats.folder)


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many of the best may be chosen.")
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(1), help="Fresh seeds of every run.")
@click.option("--against", multiple=True, metavar="RULE", help="A rival to meet on the test split; repeatable.")
@click.option(
    "--trials", default=16, show_default=True, type=click.IntRange(1), help="Tuning trials, where rivals meet."
)
@in_words
def test(run: Path, top: int, seeds: int, against: tuple[str, ...], trials: int) -> None:
    """Read the official test split, once: what a finished search's best rule is worth.

    The best rules are run again on fresh seeds, and the selection images choose one. That one alone is tested. RUN
    keeps a record; asked again, this command shows it and reads nothing.
    """
    from ..fair.final import FOLDER, FinalReferee, Plan
    from ..fair.final import test as read_test
    from ..fair.record import lines, record_of
    from ..runs.run import config_of
    from ..runs.store import Store

    store = Store.open(run)
    record = record_of(run)
    if record and record.get("finished"):
        click.echo(f"the test split was read for this run on {record['begun']}, and is not read again; it said:")
    else:
        config = config_of(store)
        with contest_folder(run / FOLDER, "test", config, FinalReferee, "the same command") as heats:
            record = read_test(store, config, Plan(top, seeds, against, trials), heats, click.echo)
    click.echo("\n".join(lines(record)))
