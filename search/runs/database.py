"""A run's SQLite file: made whole, opened, locked, its rows sealed; what goes wrong with it is said in words.

It knows no results.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

FILE = "run.sqlite"
LOCK = "run.lock"
APPLICATION = 0x6F707463
"""`optc` in ASCII: SQLite's application_id, by which a foreign file is told apart."""
VERSION = 4

SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE individuals (
    id TEXT PRIMARY KEY, generation INTEGER NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL,
    operators TEXT NOT NULL, parents TEXT NOT NULL, fitness REAL, rung INTEGER, seal BLOB NOT NULL);
CREATE TABLE refusals (individual TEXT NOT NULL, attempt INTEGER NOT NULL, text TEXT NOT NULL, reason TEXT NOT NULL,
    seal BLOB NOT NULL, PRIMARY KEY (individual, attempt)) WITHOUT ROWID;
CREATE TABLE runs (
    key TEXT NOT NULL, task TEXT NOT NULL, replicate INTEGER NOT NULL, steps INTEGER NOT NULL, fitness REAL NOT NULL,
    accuracy REAL, losses BLOB NOT NULL, seconds REAL NOT NULL, reason TEXT NOT NULL, cached INTEGER NOT NULL,
    seal BLOB NOT NULL, PRIMARY KEY (key, task, replicate, steps));
CREATE TABLE members (generation INTEGER NOT NULL, rank INTEGER NOT NULL, individual TEXT NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (generation, rank)) WITHOUT ROWID;
CREATE INDEX individuals_by_fitness ON individuals (fitness DESC);
CREATE INDEX individuals_by_key ON individuals (key);
"""
COLUMNS = {"about": 2, "individuals": 9, "refusals": 4, "runs": 10, "members": 3}
"""Of each table, without the seal that every row ends with."""


class StoreError(Exception):
    """A run's folder that cannot be used, in the user's terms."""


def make(folder: Path, about: Mapping[str, str]) -> None:
    """The whole file at once, under another name first, so that half a run is never seen.

    It has no write-ahead log: what a full disk left in one would be lost with the draft's name.
    """
    draft = folder / f".{FILE}.new"
    for suffix in ("", "-journal"):  # a creation that was killed may have left them
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    database = _sealing(draft)
    with database:
        database.executescript(f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; {SCHEMA}")
        database.executemany(inserting("about"), about.items())
    database.close()
    draft.replace(folder / FILE)


def connected(path: Path) -> sqlite3.Connection:
    if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return _connected_to_read(path)
    database = _sealing(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")  # a power cut, too, loses only what is being evaluated
    return database


def _sealing(path: Path) -> sqlite3.Connection:
    """Statements that add rows have need of `seal`."""
    database = sqlite3.connect(path, timeout=30)
    database.create_function("seal", -1, seal, deterministic=True)
    return database


def _connected_to_read(path: Path) -> sqlite3.Connection:
    """Another's run, or an archived one. Its log is read too; where there is none, nobody writes to it now."""
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", timeout=30, uri=True)


def seal(*row: object) -> bytes:
    """What a row ends with, by which one that was damaged is told. Numbers count as SQLite gives them back."""
    values = [float(value) + 0.0 if isinstance(value, int | float) else value for value in row]
    return blake2b(repr(values).encode(), digest_size=8).digest()


def inserting(table: str, otherwise: str = "ABORT") -> str:
    """The statement that adds a row under its seal; `otherwise` is what becomes of one that is there already."""
    values = ", ".join(f"?{number}" for number in range(1, COLUMNS[table] + 1))
    return f"INSERT OR {otherwise} INTO {table} VALUES ({values}, seal({values}))"


def check(database: sqlite3.Connection, folder: Path) -> None:
    """Raises StoreError for a file that is another's, or not as it was written; to be called `speaking_of` it."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise StoreError(f"{folder / FILE} was not written by optsearch")
    if version != VERSION:
        raise StoreError(f"{folder / FILE} has format {version}; this optsearch reads format {VERSION}")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if not COLUMNS.keys() <= tables:
        raise StoreError(f"{folder / FILE} is damaged: tables are missing")
    (fault,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if fault != "ok":
        raise StoreError(f"{folder / FILE} is damaged: {fault}")
    for table in COLUMNS:
        for *row, found in database.execute(f"SELECT * FROM {table}"):
            if found != seal(*row):
                raise StoreError(f"{folder / FILE} is damaged: a row of its {table} is not as it was written")


def locked(folder: Path) -> IO[str]:
    """The lock of a run's folder. Raises StoreError."""
    return held((folder / LOCK).open("w"), folder)


def held(file: IO[str], folder: Path) -> IO[str]:
    """The file, locked until it is closed, or this process ends however it ends. Raises StoreError."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreError(f"{folder} is being written by another optsearch; wait for it, or stop it first") from None
    return file


@contextmanager
def speaking_of(folder: Path) -> Iterator[None]:
    """SQLite's errors in words that say what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "decode" in str(error):  # and the error holds the whole text
            raise StoreError(f"{folder / FILE} is damaged: a text in it is no UTF-8") from error
        safe = f"What is recorded is safe; once that is mended, go on with: optsearch resume {folder}"
        none = "Nothing is recorded yet; once that is mended, begin again"
        raise StoreError(
            f"{folder / FILE} cannot be used: {error}. {safe if (folder / FILE).exists() else none}"
        ) from error
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        raise StoreError(f"{folder / FILE} is damaged or no run: {error}") from error
