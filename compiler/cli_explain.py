"""`optc explain`: the page about a diagnostic's code, or what a rule is, as mathematics with its properties."""

from __future__ import annotations

import click

from ..dsl.pages import is_code, page


@click.command()
@click.argument("subject", metavar="CODE")
def explain(subject: str) -> None:
    """Show what a diagnostic means, CODE being E101, say."""
    if is_code(subject):
        click.echo(page(subject.upper()), nl=False)
        return
    raise click.UsageError(f"`{subject}` is no code, such as E101")
