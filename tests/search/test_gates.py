"""Gates: each refuses what it is for, with its reason, and lets known optimizers through."""

import numpy as np
import pytest

from optc.dsl.checks.check import check
from optc.dsl.load import ZOO, file_at
from optc.dsl.text.parser import parse
from optc.search.seeds import generator
from optc.search.spaces.gates import GATES, NAMES, STEPS, Gatekeeper, Probe
from optc.search.spaces.vary import random_tree

HOPELESS = {
    "finite": ("update = sqrt(g)", "not finite"),
    "moves": ("update = 0*g", "do not move"),
    "small": ("update = 1e6*sign(g)", "too large"),
    "descends": ("update = -g", "ascends"),
    "listens": ("update = theta", "deaf"),
}


def tree(update):
    return parse(f"param lr = 1e-3\n{update}")


@pytest.mark.parametrize("gate", HOPELESS)
def test_each_gate_refuses_what_it_is_for_and_nothing_else(gate):
    update, reason = HOPELESS[gate]
    assert reason in Gatekeeper([gate], 100)(tree(update))
    others = [name for name in GATES if name not in (gate, "descends", "moves")]
    assert Gatekeeper(others, 100)(tree("update = g")) == ""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("update", ["1e200*sign(g)", "1e308*sign(g)*sign(theta)", "g/0", "exp(1e5*g)", "1e308*theta"])
def test_numbers_out_of_range_are_refused_without_a_warning(update):
    for gate in ("small", "descends"):
        Gatekeeper([gate], 100)(tree(f"update = {update}"))
    assert Gatekeeper(NAMES, 100)(tree(f"update = {update}"))


def test_every_gate_is_tried():
    assert set(HOPELESS) == set(GATES)


UNFIT = {"sgld": "ascends", "sophia": "needs the input `h`"}
"""Noise larger than a made-up gradient; a rule that wants more than a gradient."""


@pytest.mark.parametrize("path", sorted(ZOO.glob("*.opt")), ids=lambda path: path.stem)
def test_known_optimizers_pass(path):
    reason = Gatekeeper(NAMES, 100)(file_at(path))
    assert UNFIT[path.stem] in reason if path.stem in UNFIT else not reason


def test_a_repeat_is_refused_however_it_is_written():
    keeper = Gatekeeper(["new"], 100)
    assert keeper(tree("update = 2*g + sign(g)")) == ""
    assert "repeats" in keeper(tree("update = sign(g) + g + g"))
    assert keeper(tree("update = 2*g - sign(g)")) == ""


def test_what_is_no_rule_is_refused_in_words():
    assert "no rule" in Gatekeeper(["finite"], 100)(tree("update = nothing"))
    assert "no rule" in Gatekeeper(["finite"], 100)(tree("param k\nupdate = k*g"))


def test_no_gates_let_everything_through():
    assert Gatekeeper([], 100)(tree("update = sqrt(g)")) == ""


def test_a_schedule_knows_the_length_of_the_run():
    rule = parse("param lr = 1\nparam total : int\nstep_size = lr/total\nupdate = g")
    short, long = (Probe(check(rule), length).moves for length in (10, 1000))
    np.testing.assert_allclose(short, 100 * long, rtol=1e-9)
    assert short.shape[0] == STEPS


def test_about_half_of_the_papers_random_genomes_do_not_descend():
    keeper = Gatekeeper(["descends"], 500)
    refused = np.mean([bool(keeper(random_tree(generator("gate", k)))) for k in range(300)])
    assert 0.38 < refused < 0.58
