"""The store: one writer, transactions, and refusal in words of whatever is not a run."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from optc.search.runs.store import FILE, Individual, Rejected, Store, StoreError
from optc.search.training.evaluate import Job, Outcome, failure

ABOUT = {"config": "seed = 0\n"}


@pytest.fixture
def store(tmp_path):
    made = Store.create(tmp_path / "run", ABOUT)
    yield made
    made.close()


def individual(name, key="k", generation=0, place=0):
    return Individual(name, generation, place, key, f"text of {name}", ("random",), ("a", "b"))


def test_what_is_written_is_read(store):
    people = [individual("0.0", "x"), individual("0.1", "y", place=1)]
    store.born(people, [Rejected("0.1", 0, "worse", "ascends")])
    outcome = Outcome(0.5, 0.4, np.array([2.0, 1.5], np.float32), 3.0)
    store.record([(Job("x", "", "digits", 0, 9), outcome)])
    store.record([(Job("y", "", "digits", 0, 9), failure("NaN"))])
    store.judge([("x", 0, 0.5)])
    store.generation(0, ["0.0", "0.1"])
    assert store.individuals()[1] == people[1]
    assert store.individuals()[0].fitness == 0.5
    assert store.fitness_of_runs() == {("x", "digits", 0, 9): 0.5, ("y", "digits", 0, 9): -1.0}
    ((_, read),) = store.outcomes("x")
    np.testing.assert_array_equal(read.losses, outcome.losses)
    assert (read.fitness, read.accuracy, read.seconds, read.reason) == (0.5, 0.4, 3.0, "")
    assert store.reasons() == {"ascends": 1, "training: NaN": 1}
    assert store.best_by_generation() == [0.5]
    assert store.about("config") == ABOUT["config"]


def test_the_hall_of_fame_has_one_of_a_kind_and_the_older_of_equals(store):
    store.born([individual(f"0.{k}", key, place=k) for k, key in enumerate("aabcd")])
    for key, fitness in (("a", 0.5), ("b", 0.9), ("c", 0.5)):
        store.judge([(key, 0, fitness)])
    assert [i.id for i in store.hall_of_fame(9)] == ["0.2", "0.0", "0.3"]
    assert [i.id for i in store.hall_of_fame(1)] == ["0.2"]


def test_births_may_be_repeated_but_not_changed(store):
    store.born([individual("0.0")])
    store.born([individual("0.0"), individual("0.1", place=1)])
    assert len(store.individuals()) == 2
    other = Individual("0.0", 0, 0, "k", "another text", (), ())
    with pytest.raises(StoreError, match=r"cannot be continued: individual 0\.0 differs"):
        store.born([other])


def test_a_result_survives_its_writer(tmp_path):
    """A process that is killed right after a result has come in leaves it behind."""
    code = (
        "import os, signal, sys; from pathlib import Path; import numpy as np;"
        "from optc.search.runs.store import Store; from optc.search.training.evaluate import Job, failure;"
        "s = Store.create(Path(sys.argv[1]), {}); s.record([(Job('k', '', 'digits', 0, 9), failure('why'))]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    reader = Store.open(tmp_path / "run", write=True)
    assert reader.fitness_of_runs() == {("k", "digits", 0, 9): -1.0}
    reader.close()


def test_a_second_writer_is_kept_out_and_readers_are_not(store):
    with pytest.raises(StoreError, match="another optsearch"):
        Store.open(store.folder, write=True)
    reader = Store.open(store.folder)
    store.record([(Job("k", "", "digits", 0, 9), failure("why"))])
    assert len(reader.fitness_of_runs()) == 1
    reader.close()
    store.close()
    Store.open(store.folder, write=True).close()


def test_a_folder_is_used_once(store):
    with pytest.raises(StoreError, match="already holds a run"):
        Store.create(store.folder, ABOUT)


def test_a_full_disk_is_said_in_words_and_loses_nothing(store):
    store.record([(Job("k", "", "digits", 0, 9), failure("why"))])
    store._database.execute("PRAGMA max_page_count = 1")
    large = Outcome(0.5, 0.4, np.zeros(10**6, np.float32), 1.0)
    with pytest.raises(StoreError, match=r"full.*optsearch resume"):
        store.record([(Job("l", "", "digits", 0, 9), large)])
    assert len(store.fitness_of_runs()) == 1


def spoil_header(path):
    path.write_bytes(b"no database" * 1000)


def spoil_middle(path):
    whole = bytearray(path.read_bytes())
    whole[100:] = b"\x5a" * (len(whole) - 100)
    path.write_bytes(whole)


def foreign(path):
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")


def empty(path):
    path.write_bytes(b"")


def newer(path):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")


def tables_gone(path):
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE runs")


DAMAGES = {
    spoil_header: "damaged or no run",
    spoil_middle: "damaged",
    foreign: "not written by optsearch",
    empty: "not written by optsearch",
    newer: "format 99",
    tables_gone: "tables are missing",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_or_foreign_store_is_refused_in_words(store, damage):
    store.close()
    damage(store.folder / FILE)
    with pytest.raises(StoreError, match=DAMAGES[damage]):
        Store.open(store.folder)


def test_a_byte_that_flipped_anywhere_is_found_or_changes_nothing(store):
    store.born([individual(f"0.{k}", f"k{k}", place=k) for k in range(9)], [Rejected("0.1", 0, "worse", "ascends")])
    for k in range(9):
        store.record([(Job(f"k{k}", "", "digits", 0, 9), Outcome(0.1 * k, 0.1, np.ones(300, np.float32), 1.0))])
        store.judge([(f"k{k}", 0, 0.1 * k)])
    store.generation(0, [f"0.{k}" for k in range(9)])

    def read(run):
        return run.individuals(), run.refusals(), run.fitness_of_runs(), run.populations(), run.about("config")

    wanted, path = read(store), store.folder / FILE
    store.close()
    whole, found = path.read_bytes(), 0
    for place in range(50, len(whole), 397):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            reader = Store.open(store.folder)
        except StoreError:
            found += 1
        else:
            assert read(reader) == wanted
            reader.close()
    assert found > 30
