"""Paths on a command line to texts of rules, and texts back into files; `-` is standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from ...dsl.load import decode, read_bytes
from ...dsl.rule import Rule
from ...dsl.text.parser import parse
from ...dsl.text.syntax import File
from ...dsl.text.tokens import MAX_BYTES

STDIN = "-"


def files_at(paths: tuple[str, ...]) -> Iterator[str]:
    """The `.opt` files that paths name: a file is itself, a folder all that lie below it, `-` standard input."""
    for path in paths:
        if path not in ("", STDIN) and Path(path).is_dir():
            found = sorted(str(p) for p in Path(path).rglob("*.opt") if p.is_file())
            if not found:
                raise click.ClickException(f"there are no .opt files in {path}")
            yield from found
        else:
            yield path


def name_of(path: str) -> str:
    """What messages call it."""
    return "<stdin>" if path == STDIN else path


def base_of(path: str) -> Path | None:
    """The folder that `use "./lib.opt"` starts from."""
    return None if path == STDIN else Path(path).parent


def bytes_of(path: str) -> bytes:
    """What a file, or standard input, holds; at most one byte more than a rule may have. Raises OptError."""
    return sys.stdin.buffer.read(MAX_BYTES + 1) if path == STDIN else read_bytes(path)


def text_of(path: str) -> str:
    """The text of a file or of standard input, line ends as newlines. Raises OptError."""
    return decode(bytes_of(path), name_of(path))


def tree_of(path: str) -> File:
    """The parse tree of a file or of standard input. Raises OptError."""
    return parse(text_of(path), name_of(path))


def rule_of(source: str) -> Rule:
    """The rule in a file or in standard input, or the one of the zoo by this name. Raises OptError."""
    from ...dsl.checks.check import check
    from ...dsl.load import zoo, zoo_names

    if source in zoo_names() and not Path(source).exists():
        return zoo(source)
    return check(tree_of(source), base_of(source))


def put(path: Path, data: bytes) -> None:
    """Write beside a file, new or old, then put in its place: a full disk or a kill leaves what was there whole."""
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise click.ClickException(f"cannot write {path}: {error.strerror or error}") from None
