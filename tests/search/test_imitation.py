"""Imitation: a rule agrees with itself wholly, with others less, whoever computes it; and a search finds it again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optc.dsl.text.format import format_file
from optc.search.config import checked
from optc.search.spaces.expression import founder
from optc.search.tasks.data import DataError
from optc.search.tasks.imitation import Agreement
from optc.search.tasks.task import TASKS, problem
from optc.search.training.build import optimizer_of
from optc.search.training.evaluate import Evaluator, Job
from optc.search.training.train import train

TEACHERS = {
    "sign(m)": "sign(m)",
    "adam": "mhat/(sqrt(vhat) + eps)",
    "blend": "sign(0.9*m + 0.1*g)",
    "exponential": "g*exp(sign(g)*sign(m))",
    "decaying": "m + 0.1*theta",
}


@pytest.fixture
def imitate(tmp_path):
    """A text's agreement with a teacher's text, by training."""

    def trained(text, teacher):
        path = tmp_path / "teacher.opt"
        path.write_text(teacher)
        return train(optimizer_of(text), problem(f"imitate:{path}", 0), steps=12, batch_size=1, seed=3)

    return trained


def text(update):
    return format_file(founder(update))


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_rule_agrees_with_itself_and_less_with_others(imitate, teacher):
    same = imitate(text(TEACHERS[teacher]), text(TEACHERS[teacher]))
    assert same.accuracy > 0.9999 and same.losses.max() < 1e-3 and not same.diverged
    for other in set(TEACHERS) - {teacher}:
        assert imitate(text(TEACHERS[other]), text(TEACHERS[teacher])).accuracy < 0.98


def test_what_moves_the_wrong_way_or_not_at_all_agrees_in_nothing(imitate):
    assert imitate(text("-sign(m)"), text("sign(m)")).accuracy < 0.01
    assert imitate("param lr = 0\nupdate = g", text("sign(m)")).accuracy == 0
    assert imitate(text("sqrt(-1 - abs(g))"), text("sign(m)")).diverged


def test_a_wrong_size_costs_less_than_a_wrong_direction(imitate):
    right = imitate("param lr = 1e-3\nupdate = sign(g)", text("sign(m)")).accuracy
    small = imitate("param lr = 1e-4\nupdate = sign(g)", text("sign(m)")).accuracy
    other = imitate("param lr = 1e-3\nupdate = theta", text("sign(m)")).accuracy
    assert other < small < right


class Trained(Evaluator):
    foresees = False


def test_what_is_foreseen_is_what_training_comes_to_but_for_the_rounding(tmp_path):
    path = tmp_path / "teacher.opt"
    path.write_text(text(TEACHERS["blend"]))
    config = checked({"training": {"tasks": [f"imitate:{path}"]}}, "test")
    scheduled = "param total: int\nstep_size = 1e-3*(1 - t/(total + 1))\nupdate = sign(g) + 0.1*theta"
    for rule in (*map(text, TEACHERS.values()), text("sqrt(-1 - abs(g))"), scheduled, "update = nonsense"):
        job = Job("key", rule, config.training.tasks[0], 0, 12)
        foreseen, trained = Evaluator(config)(job), Trained(config)(job)
        np.testing.assert_allclose(foreseen.losses, trained.losses, atol=1e-5)
        assert foreseen.fitness == pytest.approx(trained.fitness, abs=1e-5) and foreseen.reason == trained.reason


numbers = st.lists(st.floats(-10, 10), min_size=4, max_size=4)


@given(numbers, numbers)
def test_agreement_is_a_share(mine, wanted):
    found = Agreement()
    found.add(np.array(mine), np.array(wanted))
    assert 0 <= found.score <= 1
    found = Agreement()
    found.add(np.array(mine), np.array(mine))
    assert found.score == pytest.approx(1)


def test_right_angles_are_no_agreement_and_half_of_one_is_half():
    for angle, share in ((90, 0.0), (45, 0.5), (9, 0.9), (120, 0.0)):
        found = Agreement()
        found.add(np.array([1.0, 0.0]), np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]))
        assert found.score == pytest.approx(share, abs=1e-12)


def test_rules_of_the_zoo_can_be_imitated_and_seeds_differ():
    lesson = TASKS["imitate:lion"].problem(0, 0, 0, torch.device("cpu"), "search")
    one, other = (next(lesson.batches(1, torch.Generator().manual_seed(seed))) for seed in (1, 2))
    again = next(lesson.batches(1, torch.Generator().manual_seed(1)))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


BAD = {
    "imitate:adm": "no rule `adm`",
    "imitate:none.opt": "none.opt",
    "imitate:sophia": "needs the input `h`",
}


@pytest.mark.parametrize("name", BAD)
def test_teachers_that_cannot_be_had_are_said_in_words(name):
    with pytest.raises(DataError, match=BAD[name]):
        TASKS[name].splits(0, 0, 0)
