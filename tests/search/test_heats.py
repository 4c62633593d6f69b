"""Results of training runs: kept as they come, never run twice, keyed by all that they depend on."""

import json

import numpy as np
import pytest

from optc.search.config import checked
from optc.search.fair.heats import Heats, curve_of, heat
from optc.search.runs.store import StoreError

CONFIG = checked({"training": {"steps": 10}}, "a test")
TEXT = "optimizer A\nparam lr = 1e-2\nupdate = g\n"


class Counting:
    """A pool whose results are a function of the job, and which counts."""

    def __init__(self, fitness=lambda job: 0.5, after=None):
        self.jobs, self.fitness, self.after = [], fitness, after

    def run(self, jobs):
        from optc.search.training.evaluate import Outcome

        for job in jobs:
            if len(self.jobs) == self.after:
                raise KeyboardInterrupt
            self.jobs.append(job)
            yield [(job, Outcome(self.fitness(job), 0.5, np.linspace(2, 1, 250, dtype=np.float32), 0.1))]

    def close(self):
        pass


def some_heats(count=4, text=TEXT):
    return [heat(CONFIG, text, "digits", k, 10, "own", "selection", "final") for k in range(count)]


def test_nothing_is_run_twice(tmp_path):
    pool = Counting(lambda job: job.replicate / 8)
    heats = Heats(tmp_path, lambda: pool)
    first = heats.run(some_heats())
    assert heats.run([*some_heats(), *some_heats()]) == [*first, *first]
    heats.close()
    again = Heats(tmp_path, lambda: pool)
    assert again.run(some_heats()) == first and [r.fitness for r in first] == [0, 0.125, 0.25, 0.375]
    assert len(pool.jobs) == 4
    again.run(some_heats(6))
    assert len(pool.jobs) == 6
    again.close()


def test_what_was_done_before_an_interruption_is_kept(tmp_path):
    heats = Heats(tmp_path, lambda: Counting(after=3))
    with pytest.raises(KeyboardInterrupt):
        heats.run(some_heats(5))
    heats.close()
    assert len(Heats(tmp_path, Counting).known) == 3


def test_half_a_line_is_dropped_and_a_damaged_file_refused(tmp_path):
    heats = Heats(tmp_path, Counting)
    heats.run(some_heats(2))
    heats.close()
    path = tmp_path / "heats.jsonl"
    path.write_text(path.read_text() + '{"heat": {"key": "a"')
    heats = Heats(tmp_path, Counting)
    assert len(heats.known) == 2
    heats.run(some_heats(3))
    heats.close()
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3
    whole = path.read_bytes()
    for damaged in (b"hello\n", whole.replace(b'"steps": ', b'"steps": 1', 1), whole.replace(b"heat", b"h\xffat", 1)):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="line 1 is not a result"):
            Heats(tmp_path, Counting)


def test_a_second_writer_is_kept_out(tmp_path):
    heats = Heats(tmp_path, Counting)
    with pytest.raises(StoreError, match="being written by another"):
        Heats(tmp_path, Counting)
    heats.close()
    Heats(tmp_path, Counting).close()


def test_a_key_holds_all_that_a_result_depends_on():
    base = ("t", "digits", 0, 10, "own", "search", "tune")
    others = ("u", "wine", 1, 11, "cosine", "selection", "final")
    keys = {heat(CONFIG, *base).key, *(heat(CONFIG, *base[:k], x, *base[k + 1 :]).key for k, x in enumerate(others))}
    for section, key, value in [
        ("training", "batch", 64),
        ("training", "precision", "bfloat16"),
        ("machine", "threads", 2),
    ]:
        keys.add(heat(checked({section: {key: value}}, "x"), *base).key)
    keys.add(heat(checked({"seed": 1}, "x"), *base).key)
    assert len(keys) == 12
    assert heat(checked({"machine": {"workers": 5}}, "x"), *base).key == heat(CONFIG, *base).key


def test_a_key_holds_the_data(tmp_path, monkeypatch):
    keys = set()
    for name, step in (("a", 1), ("b", 2)):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("OPTC_DATA", str(folder))
        labels = np.arange(40) % 10 // step
        np.savez(
            folder / "mine.npz", x_train=np.ones((40, 3)), y_train=labels, x_test=np.ones((4, 3)), y_test=labels[:4]
        )
        keys.add(heat(CONFIG, TEXT, "mine", 0, 10, "own", "selection", "final").key)
    assert len(keys) == 2


def test_a_curve_is_the_losses_in_a_hundred_stretches():
    losses = np.arange(1000, dtype=np.float32)
    assert curve_of(losses) == tuple(float(10 * k + 4.5) for k in range(100))
    assert curve_of(losses[:3]) == (0, 1, 2) and curve_of(losses[:0]) == ()
