"""What was loaded before: finds a rule's module in the cache without understanding the rule, and keeps new ones there.

An entry is keyed by everything that a module's text depends on: the rules, the options, and optc's own sources. Modules
are named after what they hold, and bytecode begins with a digest, so nothing that is stale or damaged is ever run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType

from .. import __version__
from ..dsl.cache import cache_folder, put_in_place

HERE = Path(__file__).parent.parent
OURS = ("dsl", "compiler", "grammar")
"""The folders that decide what a rule's module says."""


def key_of(kind: str, target: str, sources: Iterable[object]) -> str | None:
    """The key of rules, texts, paths or checked rules; None if the module may depend on more, or one is not read."""
    texts = [_text(source) for source in sources]
    if not texts or any(text is None for text in texts):
        return None
    words = (__version__, our_sources(), kind, target, *filter(None, texts))
    return _digest("".join(f"{len(word)}:{word}" for word in words).encode())


def _text(source: object) -> str | None:
    """What a rule says, and its file's name, which may name the class; None if it reads files of its user's.

    A checked rule has read all that there is to read, and is data of which `repr` leaves nothing out.
    """
    name = ""
    if isinstance(source, str) and ("\n" in source or not (source.endswith(".opt") or is_file(source))):
        text = source
    elif isinstance(source, str | Path):
        try:
            text, name = Path(source).read_bytes().decode(), Path(source).stem
        except (OSError, ValueError):
            return None
    else:
        return f"checked\0{source!r}"
    return None if not text or ("use" in text and '"' in text) else f"{name}\0{text}"


def is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than any path, or with a NUL
        return False


@cache
def our_sources() -> str:
    """A digest of optc's own files, by their sizes and times of change."""
    found = sorted(entry for folder in OURS for entry in _files(HERE / folder))
    return _digest(repr(found).encode())


def _files(folder: str | Path) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield entry.path, (at := entry.stat()).st_size, at.st_mtime_ns
            elif entry.name != "__pycache__":
                yield from _files(entry.path)


def find(key: str) -> tuple[str, str] | None:
    """The names of the module and of the class that an entry says, if it is whole."""
    try:
        module, name, digest = (cache_folder() / "loaded" / key).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return (module, name) if digest == _digest(f"{key} {module} {name}".encode()) else None


def keep(key: str, module: str, name: str) -> None:
    """Makes an entry, if the cache can be written to."""
    entry = f"{module} {name} {_digest(f'{key} {module} {name}'.encode())}"
    put_in_place(cache_folder() / "loaded" / key, entry.encode())


def module_name(name: str, text: str) -> str:
    """The name of the module that holds a text."""
    return f"{name}_{_digest(text.encode())[:16]}"


def text_of(path: Path) -> str | None:
    """A module's text, if it is there, and is what the name says."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data.decode() if _digest(data)[:16] == re.sub(".*_", "", path.stem) else None


def code_of(path: Path, text: str) -> CodeType:
    """A module's bytecode: what was kept of it, if that is whole, otherwise compiled and kept."""
    kept = path.with_suffix(f".{sys.implementation.cache_tag}.code")
    try:
        data = kept.read_bytes()
    except OSError:
        data = b""
    digest, body = data[:64], data[64:]
    if digest == _signed(text, body):
        return marshal.loads(body)  # type: ignore[no-any-return]
    code: CodeType = compile(text, str(path), "exec", dont_inherit=True)
    body = marshal.dumps(code)
    put_in_place(kept, _signed(text, body) + body)
    return code


def _signed(text: str, body: bytes) -> bytes:
    return _digest(importlib.util.MAGIC_NUMBER + text.encode() + body).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
