"""Whole searches under every strategy: the same bits with one worker or two, and after kills at random instants."""

import multiprocessing
import random
import time

import pytest

from optc.search.runs.run import config_of, run
from optc.search.runs.store import Store

from .conftest import contents
from .test_run import Silent, runs_in, searched

SMALL = """
seed = 7
[search]
space = "expression"
population = 8
generations = 4
elites = 1
tournament = 2
{settings}
[training]
tasks = ["quadratic_1e2", "saddle"]
steps = 12
seeds = 1
rungs = [0.5]
[machine]
pool = "inline"
"""

STRATEGIES = {
    "aging": 'selection = "aging"\nchildren = 3',
    "islands": 'selection = "islands"\nislands = 2\nrestart = 1',
    "pareto": 'selection = "pareto"\ntune_every = 2\ntune_trials = 7',
}


RUN = """
from pathlib import Path
from optc.search.config import read_config
from optc.search.runs.run import config_of, create, run
from optc.search.runs.store import Store, FILE
from optc.search.runs.progress import Lines
folder = Path(folder)
store = Store.open(folder, write=True) if (folder / FILE).exists() else create(read_config(Path(config)), folder)
run(store, config_of(store), Lines())
"""


@pytest.fixture(scope="module")
def quick_start():
    """Processes that start without importing torch again, forked from one that has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optc.search.runs.run", "torch._dynamo"])
    return context


def configured(tmp_path, strategy):
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(settings=STRATEGIES[strategy]))
    return path


def resumed(folder):
    store = Store.open(folder, write=True)
    run(store, config_of(store), Silent())
    store.close()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_kills_change_nothing(strategy, tmp_path, quick_start):
    """A run that is killed again and again, a random moment after each new result, ends as one that never was."""
    small, folder = configured(tmp_path, strategy), tmp_path / "killed"
    searched(small, tmp_path / "reference")
    reference = contents(tmp_path / "reference")
    chance = random.Random()
    for after in sorted(chance.sample(range(len(reference["runs"])), 2)):
        process = quick_start.Process(target=exec, args=(RUN, {"folder": str(folder), "config": str(small)}))
        process.start()
        while process.is_alive() and runs_in(folder) <= after:
            time.sleep(0.002)
        time.sleep(chance.random() / 100)
        process.kill()
        process.join()
        assert runs_in(folder) > after
    resumed(folder)
    assert contents(folder) == reference


def test_workers_change_nothing(tmp_path):
    small = configured(tmp_path, "islands")
    searched(small, tmp_path / "reference")
    searched(small, tmp_path / "two", "machine.pool=processes", "machine.workers=2")
    assert contents(tmp_path / "two") == contents(tmp_path / "reference")
