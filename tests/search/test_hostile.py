"""What may befall a run from outside: full disks, damaged rows, killed creations, things where files should be."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from optc.search.config import read_config
from optc.search.runs.database import FILE, LOCK
from optc.search.runs.run import config_of, create, run
from optc.search.runs.store import Store, StoreError

from .conftest import COMMAND, contents
from .test_run import Silent, searched

SMALL = """
seed = 4
[search]
population = 5
generations = 3
elites = 1
[training]
tasks = ["quadratic_1e2"]
steps = 50
seeds = 2
[machine]
pool = "inline"
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(SMALL)
    searched(folder / "small.toml", folder / "run")
    return folder


@pytest.fixture
def spoilt(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


def limited(size, *arguments):
    """The command where no file may grow beyond so many bytes, as on a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, preexec_fn=limit)


def test_a_disk_that_fills_up_loses_nothing(finished, tmp_path, optsearch):
    folder = tmp_path / "run"
    done = limited(200_000, "run", finished / "small.toml", "--out", folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "optsearch resume" in done.stderr and "Traceback" not in done.stderr
    store = Store.open(folder)
    known = len(store.fitness_of_runs())
    store.close()
    assert 0 < known < len(contents(finished / "run")["runs"]), done.stderr
    assert optsearch("resume", folder)[0] == 0
    assert contents(folder) == contents(finished / "run")


def test_a_disk_that_is_full_at_once_leaves_no_half_run(finished, tmp_path, optsearch):
    folder = tmp_path / "run"
    done = limited(100, "run", finished / "small.toml", "--out", folder)
    assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert not (folder / FILE).exists()
    done = limited(20_000, "run", finished / "small.toml", "--out", folder)
    assert done.returncode == 1 and "begin again" in done.stderr and "resume" not in done.stderr
    assert optsearch("run", finished / "small.toml", "--out", folder)[0] == 0
    assert contents(folder) == contents(finished / "run")


DAMAGES = {
    "UPDATE about SET value = replace(value, 'steps = 50', 'steps = 60') WHERE key = 'config'": "a row of its about",
    "UPDATE about SET value = CAST(x'ff' AS TEXT) WHERE key = 'config'": "no UTF-8",
    "DELETE FROM about WHERE key = 'config'": "does not say its config",
    "DELETE FROM about WHERE key = 'data'": "does not say its data",
    "UPDATE runs SET fitness = fitness + 0.1 WHERE replicate = 1": "a row of its runs is not as it was written",
    "UPDATE individuals SET fitness = NULL WHERE id = '0.1'": "a row of its individuals is not as it was written",
    "UPDATE individuals SET generation = 'x', place = 'y' WHERE id = '0.1'": "damaged",
    "UPDATE members SET individual = '9.9' WHERE rank = 1": "a row of its members is not as it was written",
    "DROP TABLE runs": "tables are missing",
    "ALTER TABLE runs RENAME COLUMN fitness TO fit": "no such column",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_rows_are_said_in_words(spoilt, optsearch, damage):
    with sqlite3.connect(spoilt / FILE) as database:
        database.execute(damage)
    database.close()
    said = [optsearch(command, spoilt) for command in ("resume", "status", "report", "export")]
    assert any(status == 1 and DAMAGES[damage] in errors for status, _, errors in said)
    assert all(status in (0, 1) and "Traceback" not in errors for status, _, errors in said)


def test_a_configuration_that_was_changed_is_said_to_be_unread(spoilt, optsearch):
    path = spoilt / "config.toml"
    path.write_text(path.read_text().replace("generations = 3", "generations = 9"))
    status, output, errors = optsearch("resume", spoilt)
    assert status == 0 and "config.toml was changed" in errors
    assert "generation 2 done" in output and "generation 3" not in output


def test_a_lost_page_is_said_in_words(spoilt, optsearch):
    path = spoilt / FILE
    whole = bytearray(path.read_bytes())
    for start in range(4096, len(whole), 8192):
        whole[start : start + 4096] = bytes(4096)
    path.write_bytes(whole)
    for command in ("resume", "status", "report", "export"):
        status, _, errors = optsearch(command, spoilt)
        assert status == 1 and "damaged" in errors


def test_a_creation_that_was_killed_is_begun_again(finished, tmp_path):
    """A process that is killed in the middle of writing the draft leaves it and its log behind."""
    code = (
        "import os, signal, sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('CREATE TABLE about (x)');"
        "d.execute('INSERT INTO about VALUES (1)'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", code, str(folder / f".{FILE}.new")], check=False)
    assert (folder / f".{FILE}.new-journal").exists()
    config = read_config(finished / "small.toml")
    store = create(config, folder)
    run(store, config_of(store), Silent())
    store.close()
    assert contents(folder) == contents(finished / "run")


@pytest.mark.parametrize(("name", "words"), [(LOCK, "cannot be written"), ("best.opt", "the run itself is safe")])
def test_a_folder_where_a_file_should_be(spoilt, optsearch, name, words):
    (spoilt / name).unlink()
    (spoilt / name).mkdir()
    status, _, errors = optsearch("resume", spoilt)
    assert status == 1 and words in errors


def test_a_run_whose_folder_goes_away_ends_in_words(finished, tmp_path):
    config = read_config(finished / "small.toml")
    store = create(config, tmp_path / "run")

    class Vandal(Silent):
        def generation(self, generation):
            shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with pytest.raises(StoreError):
        run(store, config, Vandal())


def test_a_run_that_may_not_be_written_is_looked_at(spoilt, tmp_path, optsearch, monkeypatch):
    spoilt.chmod(0o555)
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)  # root may write to what nobody may
    there = sorted(spoilt.iterdir())
    for command in (["status"], ["report", "-o", tmp_path / "page.html"], ["export", "-o", tmp_path / "out"]):
        status, _, errors = optsearch(command[0], spoilt, *command[1:])
        assert status == 0, errors
        assert sorted(spoilt.iterdir()) == there
    spoilt.chmod(0o755)


OWN = """
from optc.search.tasks.task import TASKS

class Own:
    name, splits, problem = "own", TASKS["saddle"].splits, TASKS["saddle"].problem

    def digest(self):
        return "{}"
"""


def test_a_run_whose_task_has_changed_is_not_continued(finished, tmp_path, optsearch):
    from optc.search.tasks import own

    (tmp_path / "own.py").write_text(OWN.format("one"))
    options = ["--set", 'training.tasks=["own.py:Own"]', "--set", "search.generations=1", "--out", "run"]
    assert optsearch("run", finished / "small.toml", *options)[0] == 0
    assert optsearch("resume", "run")[0] == 0
    (tmp_path / "own.py").write_text(OWN.format("other"))
    own._module.cache_clear()
    status, _, errors = optsearch("resume", "run")
    assert status == 1 and "has changed since the run began" in errors


GREEDY = "optimizer Greedy\nparam lr = 1e-3\nstate L : per row_pair = 0\nL <- L + g @ g.T\nupdate = L @ g"
TALL = """
import torch

class Tall:
    \"\"\"A parameter of 60,000 rows: a value for each pair of them takes 14 GB.\"\"\"

    name = "tall"
    device = torch.device("cpu")

    def problem(self, seed, train_images, validation_images, device, part):
        return self

    def splits(self, seed, train_images, validation_images):
        return {}

    def model(self):
        model = torch.nn.Module()
        model.theta = torch.nn.Parameter(torch.ones(60_000, 1))
        return model

    def batches(self, size, draw):
        while True:
            yield None

    def loss(self, model, batch):
        return model.theta.square().mean()

    def accuracy(self, model):
        return 0.5
"""


def test_a_rule_that_eats_memory_costs_its_own_score(tmp_path):
    from optc.search.config import Config
    from optc.search.training.evaluate import Job
    from optc.search.training.pool import make_pool

    (tmp_path / "tall.py").write_text(TALL)
    task = f"{tmp_path / 'tall.py'}:Tall"
    machine = {"workers": 1, "memory": 3.0, "device": "cpu"}
    pool = make_pool(Config.model_validate({"training": {"tasks": [task]}, "machine": machine}))
    jobs = [Job(str(k), text, task, 0, 3) for k, text in enumerate([GREEDY, "param lr = 1e-3\nupdate = sign(g)"])]
    outcomes = {job.key: outcome for results in pool.run(jobs) for job, outcome in results}
    pool.close()
    assert outcomes["0"].fitness == -1 and "memory" in outcomes["0"].reason and outcomes["0"].fault == "rule"
    assert outcomes["1"].fitness > 0.5 and not outcomes["1"].reason
