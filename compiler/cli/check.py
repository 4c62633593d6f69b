"""`optc check`: everything that is wrong with rules, once or on every change. Imports neither torch nor sympy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from ...dsl.checks.review import review
from ...dsl.diagnostics import Diagnostic, OptError, render_all
from ...dsl.load import decode
from ...dsl.report import Found
from .files import STDIN, base_of, bytes_of, files_at, name_of, put

POLL = 0.2
"""Seconds between two looks at the files that are watched."""


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--format", "format_", type=click.Choice(["text", "json", "github", "sarif"]), default="text",
              show_default=True, help="How to report.")  # fmt: skip
@click.option("--fix", "fix", is_flag=True, help="Apply the fixes that are safe; - goes to standard output.")
@click.option("--deny-warnings", is_flag=True, help="Exit with 1 if there are warnings.")
@click.option("--pedantic", is_flag=True, help="Warn of matters of style too.")
@click.option("--watch", is_flag=True, help="Check again whenever a file changes, until interrupted.")
def check(paths: tuple[str, ...], format_: str, fix: bool, deny_warnings: bool, pedantic: bool, watch: bool) -> int:
    """Find everything that is wrong with rules. PATH is a file, a folder, or - for standard input."""
    if watch and STDIN in paths:
        raise click.UsageError("standard input cannot be watched")

    def once() -> int:
        found = {path: _look(path, fix, pedantic) for path in files_at(paths)}
        _report(found, format_, aside=fix and STDIN in paths)
        worst = {d.severity for ds in found.values() for d in ds}
        return int("error" in worst or (deny_warnings and "warning" in worst))

    return _watch(paths, once) if watch else once()


def _look(path: str, fix: bool, pedantic: bool) -> tuple[Diagnostic, ...]:
    try:
        data = bytes_of(path)
        text = decode(data, name_of(path))
    except OptError as error:
        return error.diagnostics
    if fix:
        text = _fixed(path, data, text, pedantic)
    return review(text, name_of(path), base_of(path), pedantic)


def _fixed(path: str, data: bytes, text: str, pedantic: bool) -> str:
    from ...dsl.checks.fix import fixed

    better, count = fixed(text, name_of(path), base_of(path), pedantic)
    if path == STDIN:
        click.echo(better, nl=False)
    elif count:
        put(Path(path), (better.replace("\n", "\r\n") if b"\r\n" in data else better).encode())
        click.echo(f"fixed {count} problem{'s' * (count != 1)} in {path}", err=True)
    return better


def _watch(paths: tuple[str, ...], once: Callable[[], int]) -> int:
    """Ctrl-C is how a watch ends, so it ends well."""
    seen: dict[str, tuple[int, int]] | None = None
    try:
        while True:
            now = _stamps(paths)
            if now != seen:
                once()
            seen = now  # taken before the check, so that a change during it is not missed
            time.sleep(POLL)
    except KeyboardInterrupt:
        return 0


def _stamps(paths: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """When each file last changed, and its size; a file that is not there is left out."""
    out = {}
    for path in files_at(paths):
        try:
            stat = Path(path).stat()
        except OSError:
            continue
        out[path] = (stat.st_mtime_ns, stat.st_size)
    return out


def _report(found: Found, format_: str, aside: bool) -> None:
    """`aside` keeps the standard output for the fixed text."""
    problems = [d for ds in found.values() for d in ds]
    if format_ == "text":
        if problems:
            click.echo(render_all(problems), err=True)
        _summary(len(found), problems, aside)
        return
    from ...dsl import report

    if format_ == "sarif":
        from ... import __version__
        from ...dsl.insight.pages import titles

        click.echo(report.as_sarif(found, __version__, titles()), err=aside)
    elif format_ == "github":
        click.echo(report.as_github(found), nl=bool(problems), err=aside)
    else:
        click.echo(report.as_json(found), err=aside)


def _summary(files: int, problems: list[Diagnostic], aside: bool) -> None:
    errors = sum(d.severity == "error" for d in problems)
    checked = f"{files} rule{'s' * (files != 1)}"
    if not problems:
        click.echo(f"{checked}: no problems", err=aside)
        return
    parts = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (len(problems) - errors, "warning")) if n]
    click.echo(f"\n{checked}: {', '.join(parts)}", err=True)
