"""Whose fault a failure is: rules pay for their own, and a bug in optc stops the search with the rule's text."""

import pytest

from optc.compiler import load
from optc.search.config import checked
from optc.search.fair.heats import Heats, Referee, heat
from optc.search.runs.store import StoreError
from optc.search.training import build
from optc.search.training.evaluate import Evaluator, Job
from optc.search.training.pool import Inline

from .conftest import contents

GOOD = "param lr = 1e-3\nupdate = g"
WORDS = "optc itself failed, which is a bug in it and not in the rule: KeyError: 'lost'"


@pytest.fixture
def bug(monkeypatch):
    """A table of the compiler's lacks a row."""

    def generate(*arguments, **options):
        return {}["lost"]

    monkeypatch.setattr(load, "_in_memory", generate)
    build._compiled.cache_clear()
    yield
    build._compiled.cache_clear()


def outcome(text, task="quadratic_1e2"):
    return Evaluator(checked({"training": {"tasks": [task]}}, "a test"))(Job("k", text, task, 0, 3))


@pytest.fixture
def full(monkeypatch):
    """The disk is full when a rule is compiled."""

    def generate(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(load, "_in_memory", generate)
    build._compiled.cache_clear()
    yield
    build._compiled.cache_clear()


def test_a_full_disk_is_no_rule_s_fault_and_stops_the_search(full, tmp_path):
    config = checked({"training": {"tasks": ["quadratic_1e2"], "steps": 3}, "machine": {"pool": "inline"}}, "a test")
    assert outcome(GOOD).fault == "machine"
    heats = Heats(tmp_path, lambda: Inline(config, Referee))
    with pytest.raises(StoreError, match=r"this machine cannot train: .*No space left"):
        heats.run([heat(config, GOOD, "quadratic_1e2", 0, 3, "own", "search", "tune")])
    heats.close()


def test_a_rule_pays_for_its_own_faults(tmp_path):
    assert outcome(GOOD).fault == "rule" and not outcome(GOOD).reason
    for text in ("update = ", "param lr\nupdate = g"):
        assert outcome(text).fault == "rule" and outcome(text).reason


def test_a_mistake_in_a_task_of_the_user_s_own_is_not_optc_s(tmp_path):
    (tmp_path / "own.py").write_text(
        "from optc.search.tasks.task import TASKS\n"
        "class Wrong:\n"
        "    name = 'wrong'\n"
        "    def splits(self, *a): return {}\n"
        "    def problem(self, *a):\n"
        "        made = TASKS['quadratic_1e2'].problem(*a)\n"
        "        made.loss = lambda model, batch: None + 1\n"
        "        return made\n"
    )
    found = outcome(GOOD, f"{tmp_path / 'own.py'}:Wrong")
    assert "TypeError" in found.reason and found.fault == "rule"


def test_a_bug_in_the_compiler_stops_a_search_with_the_rule_s_text(bug, tiny, optsearch, tmp_path):
    status, _, errors = optsearch("run", tiny, "--out", tmp_path / "run")
    assert status == 1 and WORDS in errors and "update = " in errors and "optsearch resume" in errors
    assert "Traceback" not in errors and not contents(tmp_path / "run")["runs"]


def test_a_bug_in_the_compiler_stops_a_contest_too(bug, tmp_path):
    config = checked({"training": {"tasks": ["quadratic_1e2"]}, "machine": {"pool": "inline"}}, "a test")
    heats = Heats(tmp_path, lambda: Inline(config, Referee))
    with pytest.raises(StoreError, match="bug in it"):
        heats.run([heat(config, GOOD, "quadratic_1e2", 0, 3, "own", "search", "final")])
    heats.close()
