"""Whole searches, small ones: the same bits however they are run, nothing lost however they are stopped."""

import os
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from optc.search.config import read_config
from optc.search.runs.run import create, run
from optc.search.runs.store import Store
from optc.search.tasks import sources
from optc.search.training.evaluate import Evaluator

from .conftest import COMMAND, contents


class Silent:
    """A listener that counts."""

    def __init__(self):
        self.fitness = []

    def started(self, individuals, known):
        self.expected = individuals

    def scored(self, candidate, fitness, fresh):
        self.fitness.append(fitness)

    def stopped(self, candidate, merit):
        self.fitness.append(None)

    def generation(self, generation):
        pass

    def finished(self):
        pass


def searched(path, folder, *overrides):
    """A run in this process."""
    config = read_config(path, overrides)
    store = create(config, folder)
    listener = Silent()
    run(store, config, listener)
    store.close()
    return listener


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What the tiny search finds out when nothing disturbs it."""
    from .conftest import TINY

    folder = tmp_path_factory.mktemp("reference")
    (folder / "tiny.toml").write_text(TINY)
    searched(folder / "tiny.toml", folder / "run")
    return contents(folder / "run")


def test_every_individual_is_scored_and_stored_as_text(reference):
    from optc.dsl.load import rule_from_text

    individuals = reference["individuals"]
    assert len(individuals) == 6 + 2 * 4
    for _id, generation, _place, _key, text, _operators, parents, fitness, rung in individuals:
        rule_from_text(text)
        assert -1 <= fitness <= 1.05 and rung == 0
        assert (parents == "[]") == (generation == 0)
    assert len(reference["members"]) == 3 * 6


def test_a_fitness_is_what_its_runs_say(reference):
    for _id, _g, _p, key, *_rest, fitness, _rung in reference["individuals"]:
        runs = [row[4] for row in reference["runs"] if row[0] == key]
        assert len(runs) == 2 and fitness == pytest.approx(np.mean(runs), abs=1e-15)


def test_the_listener_hears_of_everyone(tiny, tmp_path):
    listener = searched(tiny, tmp_path / "run")
    assert len(listener.fitness) == listener.expected == 14


def test_two_processes_give_the_same_bits(tiny, tmp_path, reference):
    searched(tiny, tmp_path / "run", "machine.pool=processes", "machine.workers=2")
    assert contents(tmp_path / "run") == reference


def test_another_seed_is_another_run(tiny, tmp_path, reference):
    searched(tiny, tmp_path / "run", "seed=4")
    assert contents(tmp_path / "run")["runs"] != reference["runs"]


# ---------------------------------------------------------------- interruptions


def interrupted(config, folder, sign, after, pool="inline", workers=1):
    """A run in a process of its own, sent a signal once so many training runs are in; its exit status and output.

    As from a terminal, the signal goes to its workers too.
    """
    arguments = [*COMMAND, "run", str(config), "--out", str(folder), "--set", f"machine.pool={pool}"]
    process = subprocess.Popen(
        [*arguments, "--set", f"machine.workers={workers}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and runs_in(folder) < after:
        time.sleep(0.01)
    os.killpg(process.pid, sign)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def runs_in(folder):
    if not (folder / "run.sqlite").exists():
        return 0
    store = Store.open(folder)
    count = len(store.fitness_of_runs())
    store.close()
    return count


@pytest.mark.parametrize("after", [0, 1, random.Random(1).randint(2, 26)])
def test_kill_9_loses_nothing(tiny, tmp_path, reference, optsearch, after):
    folder = tmp_path / "run"
    code, output = interrupted(tiny, folder, signal.SIGKILL, after)
    assert code == -signal.SIGKILL, output
    if not folder.exists():
        assert after == 0  # it was killed before there was a run
        return
    assert runs_in(folder) >= after
    status, output, _ = optsearch("status", folder)
    assert status == 0 and "generations done" in output
    status, output, _ = optsearch("resume", folder)
    assert status == 0 and "going on from" in output
    assert contents(folder) == reference
    assert optsearch("export", folder)[0] == 0


@pytest.mark.slow
def test_three_workers_killed_in_the_middle_and_resumed_by_one_give_the_same_bits(tiny, tmp_path, reference, optsearch):
    code, output = interrupted(tiny, tmp_path / "run", signal.SIGKILL, 9, "processes", 3)
    assert code == -signal.SIGKILL and 9 <= runs_in(tmp_path / "run") < len(reference["runs"]), output
    assert optsearch("resume", tmp_path / "run", "--pool", "inline")[0] == 0
    assert contents(tmp_path / "run") == reference


def test_ctrl_c_keeps_what_is_evaluated_and_says_how_to_go_on(tiny, tmp_path, reference, optsearch):
    folder = tmp_path / "run"
    code, output = interrupted(tiny, folder, signal.SIGINT, 3, "processes")
    assert code == 130
    assert f"optsearch resume {folder}" in output and "Traceback" not in output
    assert runs_in(folder) >= 3
    assert optsearch("resume", folder)[0] == 0
    assert contents(folder) == reference


def test_resuming_a_finished_run_changes_nothing(tiny, tmp_path, reference, optsearch):
    assert optsearch("run", tiny, "--out", tmp_path / "run")[0] == 0
    assert optsearch("resume", tmp_path / "run")[0] == 0
    assert contents(tmp_path / "run") == reference


def test_a_lost_worker_costs_nothing(tiny, tmp_path, reference):
    from optc.search.training.pool import Processes

    config = read_config(tiny, ["machine.pool=processes", "machine.workers=1"])
    store = create(config, tmp_path / "run")

    class Clumsy(Silent):
        """Kills a worker in the middle of the run."""

        def scored(self, candidate, fitness, fresh):
            super().scored(candidate, fitness, fresh)
            if len(self.fitness) == 3:
                pools[0].workers[0].process.kill()

    pools = []
    original = Processes.__init__

    def remembered(self, *arguments):
        original(self, *arguments)
        pools.append(self)

    Processes.__init__ = remembered
    try:
        run(store, config, Clumsy())
    finally:
        Processes.__init__ = original
    store.close()
    assert contents(tmp_path / "run") == reference


# ---------------------------------------------------------------- what goes wrong


def test_rules_that_diverge_or_raise_cost_their_own_score_only(tiny):
    from optc.search.training.evaluate import Job

    evaluator = Evaluator(read_config(tiny))
    texts = {
        "good": "optimizer Good\nparam lr = 0.01\nupdate = sign(g)",
        "diverges": "optimizer Wild\nparam lr = 1e30\nupdate = g",
        "not finite": "optimizer Broken\nparam lr = 0.01\nupdate = g/0",
        "asks for more": "optimizer Greedy\nparam lr = 0.01\nparam k\nupdate = k*g",
        "no rule": "update = nothing",
        "no task": "optimizer Good\nparam lr = 0.01\nupdate = sign(g)",
    }
    outcomes = {
        name: evaluator(Job(name, text, "none" if name == "no task" else "digits", 0, 6))
        for name, text in texts.items()
    }
    good = outcomes.pop("good")
    assert good.fitness > 0 and good.reason == ""
    for name, outcome in outcomes.items():
        assert outcome.fitness == -1 and outcome.reason, name
        assert outcome.accuracy is None
    assert "k" in outcomes["asks for more"].reason


def test_the_test_split_is_never_touched(tiny, tmp_path, monkeypatch):
    """Two runs on data that differ in the test split alone agree to the bit; the test images are not even read."""
    rng = np.random.default_rng(0)
    monkeypatch.setenv("OPTC_DATA", str(tmp_path))
    train = {"x_train": rng.integers(0, 256, (400, 8, 8), dtype=np.uint8), "y_train": np.arange(400) % 10}
    poisons = [
        {"x_test": rng.integers(0, 256, (50, 8, 8), dtype=np.uint8), "y_test": np.arange(50) % 10},
        {"x_test": np.full((9, 3, 3), np.nan), "y_test": np.full(7, -5)},
    ]
    found = []
    monkeypatch.setattr(sources, "test_examples", None)
    for k, poison in enumerate(poisons):
        np.savez(tmp_path / "digits.npz", **train, **poison)
        searched(tiny, tmp_path / f"run{k}")
        found.append(contents(tmp_path / f"run{k}"))
    assert found[0] == found[1]


# ---------------------------------------------------------------- the command


def test_the_whole_way(tiny, tmp_path, optsearch):
    from optc.dsl.load import rule_from_file

    status, output, errors = optsearch("run", tiny)
    assert (status, errors) == (0, "")
    folder = tmp_path / "runs" / "tiny-1"
    assert "runs/tiny-1" in output and "generation 2 done" in output and "rank" in output
    assert {p.name for p in folder.iterdir()} >= {
        "config.toml",
        "versions.json",
        "splits.npz",
        "best.opt",
        "run.sqlite",
    }
    rule_from_file(folder / "best.opt")
    status, output, _ = optsearch("status", folder, "--top", 2)
    assert status == 0 and "3 of 3 generations" in output and output.count("lr=") == 2
    status, output, _ = optsearch("export", folder, "--top", 2, "-o", tmp_path / "out")
    assert status == 0
    assert {"best1.opt", "best2.opt", "individuals.csv"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert len((tmp_path / "out" / "individuals.csv").read_text().splitlines()) == 15
    rule_from_file(tmp_path / "out" / "best1.opt")
    status, _, _ = optsearch("run", tiny, "--seed", 9)
    assert status == 0 and (tmp_path / "runs" / "tiny-2").is_dir()
    assert "seed = 9" in (tmp_path / "runs" / "tiny-2" / "config.toml").read_text()


def test_what_the_user_can_mend_is_said_in_words(tiny, tmp_path, optsearch):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").write_text("x")
    searched(tiny, tmp_path / "done")
    cases = {
        ("run", "none.toml"): "cannot be read",
        ("run", tiny, "--set", "search.populaton=3"): "did you mean `search.population`?",
        ("run", tiny, "--set", "nonsense"): "section.key=value",
        ("run", tiny, "--out", tmp_path / "done"): "already holds a run",
        ("run", tiny, "--out", tmp_path / "file"): "cannot be written",
        ("status", empty): "holds no run",
        ("export", "nowhere"): "holds no run",
        ("resume", empty): "holds no run",
    }
    for arguments, words in cases.items():
        status, _, errors = optsearch(*arguments)
        assert status == 1 and errors.startswith("error: ") and words in errors, arguments
        assert "Traceback" not in errors


def test_data_that_cannot_be_had_ends_the_run_before_it_begins(tiny, tmp_path, optsearch, monkeypatch):
    (tmp_path / "mnist.npz").write_bytes(b"")
    monkeypatch.setenv("OPTC_DATA", str(tmp_path))
    status, _, errors = optsearch("run", tiny, "--set", 'training.tasks=["mnist"]', "--out", tmp_path / "run")
    assert status == 1 and "not a readable .npz" in errors and "Traceback" not in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["run", "x.toml", "--seed", "one"], ["status"]])
def test_wrong_usage_is_2(arguments, optsearch):
    assert optsearch(*arguments)[0] == 2


def test_help_imports_nothing_heavy():
    code = "import sys; from optc.search.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pydantic", "numpy"} & set(done.stdout.split())
