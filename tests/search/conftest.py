"""A search small enough to run in seconds, and what it leaves behind as plain values."""

import sqlite3
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from optc.search.cli import cli

TINY = """
seed = 3
[search]
population = 6
generations = 3
elites = 2
tournament = 2
[training]
tasks = ["digits"]
steps = 6
batch = 32
seeds = 2
train_images = 200
validation_images = 50
[machine]
pool = "inline"
"""

COMMAND = [sys.executable, "-c", "from optc.search.cli import main; main()"]


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a search that is done, for tests that only read it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(TINY)
    done = CliRunner().invoke(cli, ["run", str(folder / "tiny.toml"), "--out", str(folder / "run")])
    assert done.exit_code == 0, done.output
    return folder / "run"


@pytest.fixture
def optsearch(tmp_path, monkeypatch):
    """Runs the command in an empty folder; (exit status, stdout, stderr). An exception is the test's failure."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(cli, list(map(str, arguments)))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    return run


def contents(folder: Path) -> dict[str, list[tuple]]:
    """Everything a run found out, without the seconds it took and the rows' seals."""
    with sqlite3.connect(folder / "run.sqlite") as database:

        def rows(table: str) -> list[tuple]:
            return [tuple(row) for *row, _ in database.execute(f"SELECT * FROM {table}")]

        return {
            "individuals": rows("individuals ORDER BY id"),
            "members": rows("members ORDER BY generation, rank"),
            "refusals": rows("refusals ORDER BY individual, attempt"),
            "runs": database.execute(
                "SELECT key, task, replicate, steps, fitness, accuracy, losses, reason FROM runs "
                "ORDER BY key, task, replicate, steps"
            ).fetchall(),
        }
