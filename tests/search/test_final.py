"""The test split: read by one command, once a run, and by nothing else whatever it does."""

import ast
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import optc.search
from optc.search.config import Config, checked
from optc.search.fair import final
from optc.search.fair.record import lines, write_record
from optc.search.runs.store import StoreError
from optc.search.tasks.data import as_images
from optc.search.tasks.sources import training_examples
from optc.search.tasks.task import problem
from optc.search.training.pool import Inline

SOURCES = Path(optc.search.__file__).parent


def images(poisoned):
    """Digits as a user's own data; poisoned, its test split cannot be read without an error."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = (bunch.images * 15).astype(np.uint8)[:600], bunch.target[:600]
    test = (np.zeros((9, 8, 8)), np.zeros(3)) if poisoned else (x[500:], y[500:])
    return {"x_train": x[:500], "y_train": y[:500], "x_test": test[0], "y_test": test[1]}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Puts a data set in place of the digits."""
    monkeypatch.setenv("OPTC_DATA", str(tmp_path))

    def put(poisoned):
        np.savez(tmp_path / "digits.npz", **images(poisoned))

    return put


@pytest.fixture
def searched(data, optsearch, tiny):
    """A finished search, made where the test split is poisoned."""
    data(poisoned=True)
    status, _, err = optsearch("run", tiny, "--out", "run", "--set", "search.generations=2")
    assert status == 0, err
    return "run"


def test_only_final_names_the_reader_of_test_splits():
    readers = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            if "test_examples" in named or (isinstance(node, ast.Attribute) and node.attr == "test_examples"):
                readers.add(path.name)
    assert readers == {"final.py"}


def test_only_the_test_command_imports_final():
    importers = {path.name for path in SOURCES.rglob("*.py") if ".final" in path.read_text()}
    assert importers == {"fair.py"}


CONTEST = ("--steps", 3, "--seeds", 2, "--out")
EVERY_OTHER_COMMAND = {
    "status": ("status", "run"),
    "resume": ("resume", "run"),
    "export": ("export", "run"),
    "control": ("control", "run", "--kind", "constants"),
    "report": ("report", "run"),
    "tune": ("tune", "run", "--trials", 2, "--steps", 3, "--out", "t"),
    "compare": ("compare", "run", "--against", "torch:SGD", "--trials", 2, *CONTEST, "c"),
    "ablate": ("ablate", "zoo:adamw", "--config", "run/config.toml", *CONTEST, "a"),
}


def test_no_other_command_reads_the_test_split(searched, optsearch):
    """With a poisoned split, each of them comes through, and `test` does not."""
    for name, command in EVERY_OTHER_COMMAND.items():
        status, _, err = optsearch(*command)
        assert status == 0, (name, err)
        if name in ("compare", "ablate"):
            runs = json.loads((Path(command[-1]) / "standings.json").read_text())["runs"]
            assert not any(run["failed"] for run in runs), name
    status, _, err = optsearch("test", searched, "--seeds", 2)
    assert status == 1 and "x_test must be bytes" in err


def test_every_command_is_held_to_that():
    from optc.search.cli import cli

    assert set(cli.commands) == {*EVERY_OTHER_COMMAND, "run", "new", "test"}


def test_it_is_read_once_and_the_run_says_so_ever_after(searched, optsearch, data, tmp_path, monkeypatch):
    data(poisoned=False)
    status, out, err = optsearch("test", searched, "--seeds", 3, "--top", 2)
    assert status == 0, err
    record = json.loads((tmp_path / "run" / "test.json").read_text())
    assert record["winner"]["text"].startswith("## Individual") and record["tasks"] == ["digits"]
    assert record["begun"] <= record["finished"] and len(record["candidates"]) == 2
    assert record["selection"]["mean"] == max(c["mean"] for c in record["candidates"])
    shrinkage = record["search"] - record["test"]["mean"]
    assert f"shrinkage        {shrinkage:.4f} from search to test, on 3 fresh seeds" in out

    data(poisoned=True)  # whoever reads it now, fails
    before = (tmp_path / "run" / "test.json").read_bytes()
    status, again, _ = optsearch("test", searched, "--seeds", 3)
    assert status == 0 and f"was read for this run on {record['begun']}, and is not read again" in again
    assert "\n".join(lines(record)) in again
    assert (tmp_path / "run" / "test.json").read_bytes() == before


def test_a_reading_that_was_interrupted_is_on_record_and_goes_on(searched, optsearch, data, tmp_path, monkeypatch):
    data(poisoned=False)
    run_all = Inline.run

    def interrupted(self, jobs):
        for k, pairs in enumerate(run_all(self, jobs)):
            if pairs[0][0].part == "test" and k == 1:
                raise KeyboardInterrupt
            yield pairs

    with monkeypatch.context() as patch:
        patch.setattr(Inline, "run", interrupted)
        status, out, _ = optsearch("test", searched, "--seeds", 3)
    assert status == 130 and out.endswith("Go on: the same command\n")
    record = json.loads((tmp_path / "run" / "test.json").read_text())
    assert record["begun"] and "finished" not in record and "test" not in record
    status, _, err = optsearch("test", searched, "--seeds", 4)
    assert status == 1 and "begun with other options" in err
    status, _, err = optsearch("test", searched, "--seeds", 3)
    assert status == 0, err
    finished = json.loads((tmp_path / "run" / "test.json").read_text())
    assert finished["begun"] == record["begun"] and finished["winner"] == record["winner"]


def test_rivals_are_tuned_alike_and_meet_the_winner_there(searched, optsearch, data, tmp_path):
    data(poisoned=False)
    status, out, err = optsearch("test", searched, "--seeds", 2, "--trials", 2, "--against", "zoo:adamw")
    assert status == 0, err
    standings = json.loads((tmp_path / "run" / "test.json").read_text())["standings"]
    assert {t["rule"] for t in standings["tuned"]} == {"Bred", "AdamW"} and {
        t["trials"] for t in standings["tuned"]
    } == {2}
    assert "No claim about Bred" in out


def test_an_unfinished_search_is_not_tested(data, optsearch, tiny):
    data(poisoned=True)
    from optc.search.config import read_config
    from optc.search.runs.run import create

    create(read_config(tiny), Path("run")).close()
    status, _, err = optsearch("test", "run")
    assert status == 1 and "not finished" in err and "optsearch resume run" in err


def test_the_judged_images_are_the_whole_test_split_and_training_is_as_in_the_search(data):
    import torch

    data(poisoned=False)
    config = checked({"training": {"train_images": 100}}, "a test")
    problem = final.tested(config, "digits", torch.device("cpu"))
    given = images(False)
    np.testing.assert_array_equal(problem.validation[0][:, 0].numpy(), given["x_test"])
    np.testing.assert_array_equal(problem.validation[1].numpy(), given["y_test"])
    assert len(problem.train[1]) == 100 and len(training_examples("digits", as_images)) == 500


def test_what_is_made_up_is_judged_by_a_draw_of_its_own(optsearch, tiny):
    import torch

    config = checked({"training": {"tasks": ["rotated_1e4"]}}, "a test")
    drawn = final.tested(config, "rotated_1e4", torch.device("cpu")).rotation
    for part in ("search", "selection"):
        assert not torch.equal(drawn, problem("rotated_1e4", config.seed, part=part).rotation)
    changes = ("--set", "search.generations=1", "--set", 'training.tasks=["saddle"]')
    assert optsearch("run", tiny, "--out", "run", *changes)[0] == 0
    status, out, err = optsearch("test", "run", "--seeds", 2)
    assert status == 0 and "shrinkage" in out, err


def test_whoever_asks_a_split_that_was_read_is_not_read_again(tmp_path):
    """Not by the command alone, which shows what was found: the code that reads refuses too."""
    write_record(tmp_path, {"begun": "yesterday", "finished": "today", "plan": asdict(final.Plan()) | {"against": []}})
    store = SimpleNamespace(folder=tmp_path)
    with pytest.raises(StoreError, match="was read on yesterday"):
        final.test(store, Config(), final.Plan(), None, lambda line: None)
