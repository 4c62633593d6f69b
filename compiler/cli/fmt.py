"""`optc fmt`: rules in the one style. Imports neither torch nor sympy."""

from __future__ import annotations

from pathlib import Path

import click

from ...dsl.diagnostics import OptError
from .files import STDIN, bytes_of, files_at, put, tree_of


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.option("--expand", is_flag=True, help="Write the short form out as the long form.")
def fmt(paths: tuple[str, ...], only_check: bool, diff: bool, expand: bool) -> int:
    """Rewrite rules in the one style. PATH is a file, a folder, or - for standard input to standard output."""
    from ...dsl.text.expand import expand as expand_file
    from ...dsl.text.format import format_file

    status, changed = 0, 0
    for path in files_at(paths):
        try:
            file = tree_of(path)
            text = format_file(expand_file(file) if expand else file)
        except OptError as error:
            click.echo(str(error), err=True)
            status = 1
            continue
        same = text == (file.span.source.text if path == STDIN else bytes_of(path).decode("utf-8"))
        changed += not same
        if diff:
            _show_diff(path, file.span.source.text, text)
        elif only_check:
            if not same:
                click.echo(f"would reformat {path}")
        elif path == STDIN:
            click.echo(text, nl=False)
        elif not same:
            put(Path(path), text.encode())
            click.echo(f"reformatted {path}")
    return 1 if status or ((only_check or diff) and changed) else 0


def _show_diff(path: str, before: str, after: str) -> None:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), path, f"{path} (formatted)", lineterm="")
    for line in lines:
        click.echo(line)
