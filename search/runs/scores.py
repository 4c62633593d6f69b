"""Outcomes of training runs ⇄ a SQLite file that a user's searches share: what one has trained, none trains again.

The key of an outcome holds everything that its bits depend on: the rule's text, the task and its data, steps, seeds,
batch, precision, threads, the processor, torch, and optc's own source. So a search with these scores gives what it
would give without them. A file that is of no use (damaged, locked, foreign, on a full disk) is left alone, in words.
"""

from __future__ import annotations

import logging
import platform
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ...dsl.cache import cache_folder
from ..config import Config
from ..tasks.layers import in_c
from ..tasks.task import digest_of
from ..training.evaluate import Job, Outcome
from .database import seal

FILE = "scores.sqlite"
APPLICATION = 0x6F707473
"""`opts` in ASCII: SQLite's application_id, by which a foreign file is told apart."""
VERSION = 1
SCHEMA = """
CREATE TABLE scores (key TEXT PRIMARY KEY, fitness REAL NOT NULL, accuracy REAL, losses BLOB NOT NULL,
    reason TEXT NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID;
"""
SECONDS_TO_WAIT = 10.0
ELSEWHERE = {"tasks", "seeds", "steps", "rungs", "hurdle"}
"""Settings of training that are a job's own, or say only which jobs there are."""

log = logging.getLogger(__name__)


class Scores:
    """Looks up and keeps outcomes, where a configuration asks for that. Never raises: at worst it knows nothing."""

    def __init__(self, config: Config) -> None:
        self.database: sqlite3.Connection | None = None
        self.path = cache_folder() / FILE
        if not config.machine.cache:
            return
        try:
            self.database = _connected(self.path)
        except (sqlite3.Error, OSError, ValueError) as error:
            self._give_up(error)
        self.circumstances = _circumstances(config)
        self.data = {name: digest_of(name) for name in config.training.tasks}

    def find(self, job: Job) -> Outcome | None:
        """The outcome of an equal training run; its seconds are 0, for it takes none."""
        if self.database is None:
            return None
        try:
            row = self.database.execute("SELECT * FROM scores WHERE key = ?", (self._key(job),)).fetchone()
            return None if row is None else _outcome(row)
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._give_up(error)
            return None

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Remember what would come again: not the outcome of a run that raised, was given up, or lost its worker."""
        if self.database is None or not len(outcome.losses):
            return
        losses = np.asarray(outcome.losses, np.float32).tobytes()
        row = self._key(job), outcome.fitness, outcome.accuracy, losses, outcome.reason
        try:
            with self.database:
                self.database.execute("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?)", (*row, seal(*row)))
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        if self.database is not None:
            self.database.close()

    def _key(self, job: Job) -> str:
        parts = self.circumstances, self.data[job.task], job.task, job.text, job.replicate, job.steps
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def _give_up(self, error: Exception) -> None:
        if self.database is not None:
            self.database.close()
        self.database = None
        log.warning("scores of other searches are not used: %s: %s. The search goes on without them.", self.path, error)


def _connected(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.Error, OSError, or ValueError for a file that is not ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=SECONDS_TO_WAIT)
    try:
        with database:
            database.execute("BEGIN IMMEDIATE")  # else a file that another process is just making looks foreign
            _claim(database)
        with suppress(sqlite3.OperationalError):  # no one waits to switch: who is first does it, or a later search
            database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
    except (sqlite3.Error, ValueError):
        database.close()
        raise
    return database


def _claim(database: sqlite3.Connection) -> None:
    """Makes an empty file ours. Raises ValueError for one that is another's."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if not tables:
        database.execute(f"PRAGMA application_id={APPLICATION}")
        database.execute(f"PRAGMA user_version={VERSION}")
        database.execute(SCHEMA)
    elif (application, found) != (APPLICATION, VERSION):
        raise ValueError("it is another program's file, or another version's")


def _outcome(row: tuple[object, ...]) -> Outcome:
    """Raises ValueError for a row that is not as it was written."""
    *values, found = row
    if found != seal(*values):
        raise ValueError("a score in it is damaged")
    _, fitness, accuracy, losses, reason = values
    curve = np.frombuffer(losses, np.float32)  # type: ignore[call-overload]
    return Outcome(fitness, accuracy, curve, 0.0, reason)  # type: ignore[arg-type]


# ---------------------------------------------------------------- what a score depends on


def _circumstances(config: Config) -> Mapping[str, object]:
    """All that a configuration, this machine and the installed packages bring to a score."""
    machine = config.machine
    device = machine.device if machine.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "training": {k: v for k, v in config.training.model_dump().items() if k not in ELSEWHERE},
        "seed": config.seed,
        "threads": machine.threads,
        "blocks": in_c(),
        "processor": torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        "versions": [platform.python_version(), *(version(name) for name in ("torch", "torchvision", "numpy"))],
        "source": _source(),
    }


def _processor() -> str:
    """The instructions that torch uses and the model of the processor: both can change the last bits."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


@cache
def _source() -> str:
    """A digest of optc's own source, data files included."""
    root = Path(__file__).parents[2]
    folders = (root / name for name in ("grammar", "dsl", "compiler", "search"))
    files = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".opt", ".lark", ".c", ".h")
    )
    digest = blake2b(digest_size=16)
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
