"""`optc check` and `optc fmt`: rules as text. Imports neither torch nor sympy."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from ..dsl.check import check as check_file
from ..dsl.diagnostics import Diagnostic, OptError, render_all, to_json
from ..dsl.load import decode, file_at
from ..dsl.parser import parse
from ..dsl.syntax import File
from ..dsl.tokens import MAX_BYTES

STDIN = "-"


def files_at(paths: tuple[str, ...]) -> Iterator[str]:
    """The `.opt` files that paths name: a file is itself, a folder all that lie below it, `-` standard input."""
    for path in paths:
        if path != STDIN and Path(path).is_dir():
            found = sorted(str(p) for p in Path(path).rglob("*.opt"))
            if not found:
                raise click.ClickException(f"there are no .opt files in {path}")
            yield from found
        else:
            yield path


def read(path: str) -> File:
    """The parse tree of a file or of standard input. Raises OptError."""
    if path == STDIN:
        return parse(decode(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>"), "<stdin>")
    return file_at(path)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="How to report.")
def check(paths: tuple[str, ...], format_: str) -> int:
    """Find everything that is wrong with rules. PATH is a file, a folder, or - for standard input."""
    found = {path: _problems(path) for path in files_at(paths)}
    problems = [d for ds in found.values() for d in ds]
    failed = any(d.severity == "error" for d in problems)
    if format_ == "json":
        report = [{"file": path, "ok": not ds, "diagnostics": list(map(to_json, ds))} for path, ds in found.items()]
        click.echo(json.dumps(report, indent=2))
        return int(failed)
    if problems:
        click.echo(render_all(problems), err=True)
    _summary(len(found), problems)
    return int(failed)


def _problems(path: str) -> tuple[Diagnostic, ...]:
    try:
        check_file(read(path), None if path == STDIN else Path(path).parent)
    except OptError as error:
        return error.diagnostics
    return ()


def _summary(files: int, problems: list[Diagnostic]) -> None:
    errors = sum(d.severity == "error" for d in problems)
    checked = f"{files} rule{'s' * (files != 1)}"
    if not problems:
        click.echo(f"{checked}: no problems")
        return
    parts = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (len(problems) - errors, "warning")) if n]
    click.echo(f"\n{checked}: {', '.join(parts)}", err=True)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.option("--expand", is_flag=True, help="Write the short form out as the long form.")
def fmt(paths: tuple[str, ...], only_check: bool, diff: bool, expand: bool) -> int:
    """Rewrite rules in the one style. PATH is a file, a folder, or - for standard input to standard output."""
    from ..dsl.expand import expand as expand_file
    from ..dsl.format import format_file

    status, changed = 0, 0
    for path in files_at(paths):
        try:
            file = read(path)
            text = format_file(expand_file(file) if expand else file)
        except OptError as error:
            click.echo(str(error), err=True)
            status = 1
            continue
        same = text == (file.span.source.text if path == STDIN else _raw(path))
        changed += not same
        if diff:
            _show_diff(path, file.span.source.text, text)
        elif only_check:
            if not same:
                click.echo(f"would reformat {path}")
        elif path == STDIN:
            click.echo(text, nl=False)
        elif not same:
            _replace(Path(path), text)
            click.echo(f"reformatted {path}")
    return 1 if status or ((only_check or diff) and changed) else 0


def _raw(path: str) -> str:
    """The file as it stands, so that a BOM or CRLF line ends count as a difference."""
    return Path(path).read_bytes().decode("utf-8")


def _show_diff(path: str, before: str, after: str) -> None:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), path, f"{path} (formatted)", lineterm="")
    for line in lines:
        click.echo(line)


def _replace(path: Path, text: str) -> None:
    """Write beside the file, then put in its place: a full disk or a kill leaves the old one whole."""
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        Path(temporary).chmod(target.stat().st_mode & 0o7777)
        Path(temporary).replace(target)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
