"""`optc explain` and `optc diff`: what a code means, what a rule is and costs, whether two rules are the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ...dsl.insight.pages import codes, is_code, page
from .files import rule_of
from .zoo import names

if TYPE_CHECKING:
    from ...dsl.insight.explain import Explanation

DTYPES = ("float32", "bfloat16", "float16", "float64")


def subjects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a code, or the name of a rule of the zoo."""
    known = [CompletionItem(code) for code in codes() if code.startswith(incomplete.upper())] if incomplete else []
    return [*known, *names(ctx, param, incomplete)]


def speed(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A bandwidth that can be read, or a usage error."""
    from ...dsl.insight.traffic import bytes_per_second

    try:
        bytes_per_second(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.command()
@click.argument("subject", metavar="RULE|CODE", shell_complete=subjects)
@click.option("--format", "format_", type=click.Choice(["unicode", "latex", "mathml", "html", "json"]),
              default="unicode", show_default=True, help="How to write the mathematics.")  # fmt: skip
@click.option("--bandwidth", default="H200", show_default=True, metavar="SPEED", callback=speed,
              help="The memory to find the least time for: a device's name, or 4.8TB/s.")  # fmt: skip
@click.option("--dtype", type=click.Choice([*DTYPES]), default="float32", show_default=True, help="Of the parameters.")
def explain(subject: str, format_: str, bandwidth: str, dtype: str) -> None:
    """Show RULE as mathematics, with its costs and what can be proven of it; or what a diagnostic's CODE means.

    RULE is a file, a name of the zoo, or - for standard input; CODE is E101, say.
    """
    if is_code(subject):
        click.echo(page(subject.upper()), nl=False)
        return
    from ...dsl.insight.explain import explain as explanation
    from ...dsl.meaning.dtypes import CODE_BYTES

    known = explanation(rule_of(subject), CODE_BYTES[dtype])
    click.echo(_written(known, format_, bandwidth))


def _written(known: Explanation, format_: str, bandwidth: str) -> str:
    if format_ == "unicode":
        return known.text(bandwidth)
    if format_ == "html":
        return known.html(bandwidth)
    if format_ == "json":
        return json.dumps(known.data(), indent=2)
    return known.formulas[format_]


@click.command()
@click.argument("left", shell_complete=names)
@click.argument("right", shell_complete=names)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the gradients that both are run on.")
def diff(left: str, right: str, format_: str, seed: int) -> int:
    """Say whether two rules are the same: proven equal, or where their runs part and how far.

    LEFT and RIGHT are files, names of the zoo, or one of them - for standard input. Exits with 0 where no difference
    was found, with 1 where one was.
    """
    from dataclasses import asdict

    from ...dsl.insight.compare import compare

    found = compare(rule_of(left), rule_of(right), seed)
    click.echo(json.dumps(asdict(found), indent=2) if format_ == "json" else found.text())
    return int(found.verdict not in ("equal", "agree"))
