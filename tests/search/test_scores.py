"""Scores shared between searches: equal keys only for equal bits, and a file of no use is left alone, in words."""

import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from optc.search.config import Config
from optc.search.runs.scores import FILE, Scores
from optc.search.tasks import own
from optc.search.training.evaluate import Job, Outcome, failure

CURVE = Outcome(0.5, 0.25, np.array([2.0, 1.5], np.float32), 3.0)
JOB = Job("key", "text", "digits", 0, 100)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path))
    return tmp_path


def opened(**changes):
    settings = {"training": {"tasks": ["digits", "saddle"]}, "machine": {"cache": True, "device": "cpu"}}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            settings[section] = settings.get(section, {}) | {key: value}
        else:
            settings[section] = value
    return Scores(Config.model_validate(settings))


def kept(**changes):
    scores = opened(**changes)
    scores.keep(JOB, CURVE)
    return scores


def test_what_is_kept_is_found_by_others():
    kept()
    found = opened().find(JOB)
    assert (found.fitness, found.accuracy, found.reason, found.seconds) == (0.5, 0.25, "", 0.0)
    np.testing.assert_array_equal(found.losses, CURVE.losses)


def test_a_zero_with_a_sign_is_found_too():
    """A landscape's accuracy is -0.0 where nothing fell, and SQLite keeps no sign of a zero."""
    scores = opened()
    scores.keep(JOB, Outcome(-0.0, -0.0, CURVE.losses, 3.0))
    found = opened().find(JOB)
    assert found is not None and (found.fitness, found.accuracy) == (0.0, 0.0)


OTHER_JOBS = {
    "text": Job("key", "text ", "digits", 0, 100),
    "task": Job("key", "text", "saddle", 0, 100),
    "replicate": Job("key", "text", "digits", 1, 100),
    "steps": Job("key", "text", "digits", 0, 101),
}
OTHER_SETTINGS = {
    "seed": 1,
    "training__batch": 64,
    "training__precision": "bfloat16",
    "training__train_images": 100,
    "training__validation_images": 100,
    "machine__threads": 2,
}


@pytest.mark.parametrize("what", OTHER_JOBS)
def test_another_job_is_not_found(what):
    assert kept().find(OTHER_JOBS[what]) is None


@pytest.mark.parametrize("what", OTHER_SETTINGS)
def test_another_setting_is_another_score(what):
    kept()
    assert opened(**{what: OTHER_SETTINGS[what]}).find(JOB) is None


def test_what_no_score_depends_on_is_no_part_of_the_key():
    kept()
    for same in ({"training__seeds": 7}, {"training__rungs": [0.5]}, {"machine__workers": 8}, {"name": "other"}):
        assert opened(**same).find(JOB) is not None


def test_every_setting_of_training_is_decided_upon():
    """A new setting is part of the key unless someone says otherwise."""
    from optc.search.config import Training
    from optc.search.runs.scores import ELSEWHERE

    assert set(Training.model_fields) >= ELSEWHERE


def test_other_data_under_the_same_name_is_another_score(folder, monkeypatch):
    kept()
    monkeypatch.setenv("OPTC_DATA", str(folder))
    images = np.zeros((40, 8, 8), np.uint8)
    labels = np.arange(40) % 10
    np.savez(folder / "digits.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert opened().find(JOB) is None


TASK = """
from optc.search.tasks.task import TASKS

class Mine:
    name, splits, problem = "mine", TASKS["saddle"].splits, TASKS["saddle"].problem
"""
DIGEST = """
    def digest(self):
        return "other data"
"""


def test_scores_of_a_task_of_one_s_own_are_kept_until_its_file_changes(folder):
    path, job = folder / "mine.py", Job("key", "text", f"{folder / 'mine.py'}:Mine", 0, 100)
    for text in (TASK, TASK + "# another\n", TASK + DIGEST):
        path.write_text(text)
        own._module.cache_clear()
        scores = opened(training={"tasks": [job.task]})
        assert scores.find(job) is None
        scores.keep(job, CURVE)
        assert opened(training={"tasks": [job.task]}).find(job) is not None


def test_scores_of_the_pole_are_kept_for_the_version_of_its_package(monkeypatch):
    pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'optc[rl]'")
    job = Job("key", "text", "cartpole", 0, 100)
    opened(training={"tasks": ["cartpole"]}).keep(job, CURVE)
    assert opened(training={"tasks": ["cartpole"]}).find(job) is not None
    monkeypatch.setattr("optc.search.tasks.cartpole.version", lambda package: "0")
    assert opened(training={"tasks": ["cartpole"]}).find(job) is None


def test_what_a_rule_did_to_its_process_is_not_kept():
    scores = opened()
    scores.keep(JOB, failure("its process died 2 times"))
    assert scores.find(JOB) is None


def test_it_is_off_unless_asked_for(folder):
    scores = Scores(Config())
    scores.keep(JOB, CURVE)
    assert scores.find(JOB) is None and not (folder / FILE).exists()


# ---------------------------------------------------------------- a file of no use


def spoil_header(path):
    path.write_bytes(b"no database" * 1000)


def spoil_middle(path):
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[:100] + b"\x5a" * (len(whole) - 100))


def foreign(path):
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")


def newer(path):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")


def wrong_score(path):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE scores SET fitness = 0.9")


def table_gone(path):
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE scores RENAME TO others")
        database.execute("CREATE TABLE scores (x)")


def folder_instead(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [spoil_header, spoil_middle, foreign, newer, wrong_score, table_gone, folder_instead]
)
def test_it_is_left_alone_in_words(folder, damage, caplog):
    kept().close()
    for extra in folder.glob(f"{FILE}-*"):
        extra.unlink()
    damage(folder / FILE)
    scores = opened()
    assert scores.find(JOB) is None
    scores.keep(JOB, CURVE)
    assert scores.find(JOB) is None
    assert len(caplog.records) == 1
    assert "goes on without" in caplog.text and FILE in caplog.text and "Traceback" not in caplog.text


def test_a_folder_that_cannot_be_made_is_no_trouble(folder, monkeypatch, caplog):
    (folder / "file").write_text("")
    monkeypatch.setenv("OPTC_CACHE", str(folder / "file" / "below"))
    assert opened().find(JOB) is None
    assert "goes on without" in caplog.text


def test_many_writers(folder):
    def write(number):
        scores = opened()
        for k in range(20):
            scores.keep(Job("key", f"text {number} {k}", "digits", 0, 100), CURVE)
        scores.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = opened()
    assert all(found.find(Job("", f"text {n} {k}", "digits", 0, 100)) for n in range(4) for k in range(20))


def test_a_full_disk_costs_no_search(folder):
    """The file may not grow beyond 64 KiB, as if the disk were full."""
    code = """
import resource, signal, numpy as np
from optc.search.config import Config
from optc.search.training.evaluate import Job, Outcome
from optc.search.runs.scores import Scores
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
scores = Scores(Config.model_validate({"machine": {"cache": True}}))
for k in range(40):
    scores.keep(Job("key", str(k), "digits", 0, 100), Outcome(0.5, 0.5, np.zeros(5000, np.float32), 1.0))
print("still here")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "still here" in done.stdout, done.stderr
    assert "goes on without" in done.stderr and "Traceback" not in done.stderr
