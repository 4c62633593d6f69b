"""Contests: paired runs, results that outlive a kill, standings and what is claimed of them."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest

from optc.search.config import checked
from optc.search.fair.compare import BASELINES, comparison
from optc.search.fair.contest import BEST_SCHEDULE, Contest, Entry, Place, Standings
from optc.search.fair.entrants import from_text
from optc.search.fair.heats import Result
from optc.search.fair.scoreboard import lines, rows
from optc.search.fair.tune import Budget, Tuner

from .conftest import COMMAND

CONFIG = checked({"training": {"steps": 10}}, "a test")
PLAIN = "optimizer A\nparam lr = 1e-2 in (0, inf) ~ loguniform(1e-4, 1)\nupdate = g\n"


def standings(scores, schedules=("own",), tuned=None, trials=1):
    """Standings of rules whose scores (rules, schedules, seeds) are given."""
    rules = [from_text(PLAIN.replace("A\n", f"R{k}\n", 1)) for k in range(len(scores))]
    entries = tuple((rule, schedule) for rule in rules for schedule in schedules)
    pairs = tuple(("R0", rule.name) for rule in rules[1:])
    contest = Contest(entries, pairs, Budget(trials), len(scores[0][0]))
    tuners = {}
    for k, (rule, schedule) in enumerate(entries):
        tuner = tuners[Entry(rule.name, schedule)] = Tuner(rule, schedule, contest.budget, 0)
        if tuner.ask():
            tuner.tell([tuned[k] if tuned else 0.5])
    results = {
        Place(rule.name, schedule, 1, "digits"): tuple(Result(x, x, 0.1, (2.0, 1.0)) for x in scores[k][j])
        for k, rule in enumerate(rules)
        for j, schedule in enumerate(schedules)
    }
    return Standings(contest, CONFIG, tuners, results)


def test_comparisons_are_paired_by_seed():
    """A constant lead that is tiny beside the spread between seeds is found all the same."""
    luck = np.random.default_rng(0).normal(0.8, 0.2, 12)
    found = standings([[luck + 0.01], [luck]])
    (row,) = found.comparisons
    assert row.mean == pytest.approx(0.01) and row.wins == 12 and row.low > 0.009
    (made,) = found.claims
    assert made.made and "R0 (digits, 10 steps, own) scores higher than R1 by 0.0100" in made.sentence


def test_each_at_its_better_schedule_is_chosen_by_tuning_and_not_by_the_final_runs():
    """R0 is better tuned without a schedule, although its final runs are worse so."""
    scores = np.full((2, 2, 8), 0.5)
    scores[0, 0] = 0.1
    found = standings(scores, ("constant", "cosine"), tuned=[0.9, 0.8, 0.7, 0.9])
    assert found.better_schedule("R0") == "constant" and found.better_schedule("R1") == "cosine"
    best = [c for c in found.comparisons if c.condition.endswith(BEST_SCHEDULE)]
    assert [c.mean for c in best] == [pytest.approx(-0.4)] and len(found.comparisons) == 3


def test_all_comparisons_are_one_family():
    rng = np.random.default_rng(1)
    found = standings(rng.normal(0.8, 0.02, (4, 2, 10)), ("constant", "cosine"))
    least = min(found.comparisons, key=lambda c: c.p)
    assert len(found.comparisons) == 9
    assert least.adjusted == pytest.approx(min(1, 9 * least.p))


def test_a_contest_of_equals_makes_a_claim_no_more_often_than_once_in_twenty():
    rng = np.random.default_rng(2)
    runs = 60
    false = sum(
        any(claim.made for claim in standings(rng.normal(0.8, 0.02, (4, 2, 20)), ("constant", "cosine")).claims)
        for _ in range(runs)
    )
    assert false / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_the_table_ranks_and_counts():
    scores = np.array([[[0.2, 0.4, 0.3]], [[0.8, 0.9, -1.0]]])
    found = standings(scores)
    found.results[Place("R1", "own", 1, "digits")] = (
        *found.results[Place("R1", "own", 1, "digits")][:2],
        Result(-1.0, None, 0.3, (60.0,), "the loss rose over 50"),
    )
    first, second = rows(found)
    assert (first.rule, first.score) == ("R0", pytest.approx(0.3)) and first.milliseconds == pytest.approx(10)
    assert second.failed == 1 and second.accuracy["digits"] == pytest.approx(0.85)
    assert first.steps_to["digits"] == 10 and second.steps_to["digits"] == 10
    text = "\n".join(lines(found))
    assert "failed: R1, own: the loss rose over 50 (1 runs)" in text
    assert "No claim about R0" in text and len({len(x) for x in text.split("\n")[1:3]}) <= 2


def test_who_meets_whom():
    contest = comparison(["zoo:lion", "zoo:adamw"], BASELINES, ("constant", "cosine"), (1, 4), Budget(2), 3)
    names = {entrant.name for entrant, _ in contest.entries}
    assert len(names) == 9 and len(contest.entries) == 18
    assert len(contest.pairs) == 1 + 2 * 7 and ("Lion", "AdamW") in contest.pairs


# ---------------------------------------------------------------- the command

SMALL = ("--steps", 4, "--batch", 16, "--seeds", 3, "--trials", 2)
RIVALS = ("--against", "torch:SGD", "--against", "zoo:signum")


def kept(folder):
    """What a contest found, without the seconds it took."""
    found = json.loads((folder / "standings.json").read_text())
    runs = [{k: v for k, v in run.items() if k != "seconds"} for run in found["runs"]]
    return runs, found["tuned"], found["comparisons"], found["claims"]


@pytest.fixture
def inline(tiny):
    return ("--config", tiny)


def test_a_comparison_end_to_end(optsearch, inline, tmp_path):
    status, out, err = optsearch("compare", "zoo:adamw", *RIVALS, *SMALL, *inline, "--horizons", "1,2", "--out", "c")
    assert status == 0, err
    found = json.loads((tmp_path / "c" / "standings.json").read_text())
    assert len(found["runs"]) == 3 * 2 * 2 * 3 and len(found["comparisons"]) == 2 * 2 * 3
    assert {t["trials"] for t in found["tuned"]} == {2}
    assert "No claim about AdamW" in out and not any(claim["made"] for claim in found["claims"])
    assert (tmp_path / "c" / "table.txt").read_text() in out


def test_rules_share_weights_and_batches_and_tuning_sees_neither(optsearch, inline, tmp_path):
    optsearch("compare", "zoo:adamw", *RIVALS, *SMALL, *inline, "--schedules", "own", "--out", "c")
    entries = [json.loads(line) for line in (tmp_path / "c" / "heats.jsonl").read_text().splitlines()]
    final = [e for e in entries if e["heat"]["purpose"] == "final"]
    tuning = [e for e in entries if e["heat"]["purpose"] == "tune"]
    assert {e["heat"]["part"] for e in final} == {"selection"} and {e["heat"]["part"] for e in tuning} == {"search"}
    first = {}
    for e in final:  # with four steps, a curve is every loss; the first depends on weights and batch alone
        first.setdefault(e["heat"]["replicate"], set()).add(e["result"]["curve"][0])
    assert all(len(losses) == 1 for losses in first.values()) and len(set.union(*first.values())) == 3
    assert not {e["result"]["curve"][0] for e in tuning} & set.union(*first.values())


def test_more_seeds_only_add(optsearch, inline, tmp_path):
    command = ("compare", "zoo:adamw", *RIVALS, "--steps", 4, "--trials", 2, *inline, "--out", "c", "--seeds")
    optsearch(*command, 2)
    before = (tmp_path / "c" / "heats.jsonl").read_text()
    status, _, _ = optsearch(*command, 3)
    after = (tmp_path / "c" / "heats.jsonl").read_text()
    assert status == 0 and after.startswith(before) and after.count("\n") == before.count("\n") + 6


@pytest.mark.slow
def test_a_killed_comparison_goes_on_to_the_same_end(optsearch, tiny, tmp_path):
    arguments = ["compare", "zoo:adamw", *RIVALS, *SMALL, "--config", tiny, "--out"]
    optsearch(*arguments, "whole")
    command = [*COMMAND, *map(str, arguments), "killed"]
    file = tmp_path / "killed" / "heats.jsonl"
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not file.exists() or file.read_text().count("\n") < 9):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < file.read_text().count("\n") < 30
    status, out, err = optsearch(*arguments, "killed")
    assert status == 0 and "runs already" in out, err
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")


def test_wrong_options_are_refused_in_words(optsearch):
    status, _, err = optsearch("compare", "zoo:adamw", "--schedules", "cosin", "--out", "c")
    assert status == 2 and "no schedule `cosin`" in err
    status, _, err = optsearch("compare", "zoo:adamw", "--horizons", "1,x", "--out", "c")
    assert status == 2 and "whole numbers" in err
