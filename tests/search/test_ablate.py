"""Ablations: each part dropped for itself, and nothing else; the variants meet the whole on paired seeds."""

import json

import numpy as np
import pytest

from optc.dsl.load import rule_from_text, zoo
from optc.dsl.meaning.interpret import initial_states, settings, step
from optc.search.config import ConfigError
from optc.search.fair.ablate import ablation, usual_schedules, variants
from optc.search.fair.entrants import entrant_of, from_text
from optc.search.fair.tune import Budget

LENGTH = {"total": 50}


def path(rule, steps=6, **given):
    """theta after each step of the interpreter, with the gradients of a fixed seed."""
    known = {p.name for p in rule.params}
    values = settings(rule, **{k: v for k, v in (LENGTH | given).items() if k in known})
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(4)
    states, out = initial_states(rule, values, theta), []
    for t in range(1, steps + 1):
        theta, states = step(rule, values, theta, rng.standard_normal(4), states, t)
        out.append(theta)
    return np.array(out)


def variant(source, part):
    (found,) = [v for v in variants(entrant_of(source)) if v.name == f"without {part}"]
    return rule_from_text(found.text)


def test_a_rule_falls_into_its_parts():
    names = [v.name.removeprefix("without ") for v in variants(entrant_of("zoo:evolved"))]
    assert names == [
        "a_sign*sign(g)",
        "a_adam*m/(sqrt(v) + eps)",
        "schedule min(1, t/warmup)",
        "schedule 1 + cos(pi*(t - 1)/total)",
        "decay",
    ]
    names = [v.name.removeprefix("without ") for v in variants(entrant_of("zoo:adamw"))]
    assert names == ["decay", "correction 1 - beta1^t", "correction 1 - beta2^t", "all corrections"]


KNOBS = {
    ("zoo:evolved", "a_sign*sign(g)"): {"a_sign": 0},
    ("zoo:evolved", "a_adam*m/(sqrt(v) + eps)"): {"a_adam": 0},
    ("zoo:evolved", "decay"): {"wd": 0},
    ("zoo:evolved", "schedule min(1, t/warmup)"): {"warmup": 1},
    ("zoo:adamw", "decay"): {"wd": 0},
    ("zoo:lamb", "g <- g/max(1, norm(g per model)/max_norm)"): {"max_norm": 1e300},
}


@pytest.mark.parametrize("case", KNOBS, ids=lambda case: case[1][:12])
def test_what_is_dropped_is_what_a_knob_can_turn_off(case):
    """The variant takes the steps of the whole rule with that part's knob at nought, and not the whole rule's."""
    source, part = case
    whole = zoo(source.removeprefix("zoo:"))
    np.testing.assert_allclose(path(variant(source, part)), path(whole, **KNOBS[case]), rtol=1e-14)
    assert abs(path(variant(source, part)) - path(whole)).max() > 1e-8


WRITTEN = {
    ("zoo:adamw", "correction 1 - beta1^t"): ("mhat = m/(1 - beta1^t)", "mhat = m"),
    ("zoo:adamw", "correction 1 - beta2^t"): ("vhat = v/(1 - beta2^t)", "vhat = v"),
    ("zoo:evolved", "schedule 1 + cos(pi*(t - 1)/total)"): ("*0.5*(1 + cos(pi*(t - 1)/total))", ""),
}


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case[1])
def test_what_is_dropped_is_what_one_would_delete_by_hand(case):
    source, part = case
    before, after = WRITTEN[case]
    text = entrant_of(source).text
    assert before in text
    by_hand = rule_from_text(text.replace(before, after))
    np.testing.assert_array_equal(path(variant(source, part)), path(by_hand))


def test_all_corrections_are_dropped_together():
    text = entrant_of("zoo:adamw").text.replace("/(1 - beta1^t)", "").replace("/(1 - beta2^t)", "")
    np.testing.assert_array_equal(path(variant("zoo:adamw", "all corrections")), path(rule_from_text(text)))


def test_signs_of_the_terms_that_stay_are_kept():
    rule = from_text("param lr = 0.1\nparam a = 2\nlet u = a*g - sign(g) + g^3\nupdate = u")
    found = {v.name: rule_from_text(v.text) for v in variants(rule)}
    assert list(found) == ["without a*g", "without sign(g)", "without g^3"]
    by_hand = rule_from_text("param lr = 0.1\nupdate = -sign(g) + g^3")
    np.testing.assert_array_equal(path(found["without a*g"]), path(by_hand))


def test_a_variant_keeps_no_memory_that_it_does_not_need():
    assert not variant("zoo:evolved", "a_adam*m/(sqrt(v) + eps)").states


def test_a_variant_keeps_what_says_which_parameters_it_serves():
    text = "param lr = 1\nparam least : int = 2\napplies when ndim >= least\nupdate = g + sign(g)"
    found = [rule_from_text(v.text) for v in variants(from_text(text))]
    assert [[p.name for p in rule.params] for rule in found] == [["lr", "least"]] * 2


def test_what_has_no_parts_is_refused_in_words():
    with pytest.raises(ConfigError, match="no part that can be dropped"):
        variants(from_text("param lr = 1\nupdate = g"))
    with pytest.raises(ConfigError, match="torch's own code"):
        variants(entrant_of("torch:AdamW"))
    with pytest.raises(ConfigError, match="`otherwise`"):
        variants(entrant_of("zoo:muon"))


def test_with_and_without_a_schedule():
    """A variant that lacks part of the schedule is the whole rule once the schedule is out: it is not run again."""
    evolved = entrant_of("zoo:evolved")
    assert usual_schedules(evolved) == ("own", "constant")
    assert usual_schedules(entrant_of("zoo:adamw")) == ("constant", "cosine")
    contest = ablation(evolved, ("own", "constant"), Budget(0), 3)
    entered = {(entrant.name, schedule) for entrant, schedule in contest.entries}
    assert ("without decay", "constant") in entered and ("without schedule min(1, t/warmup)", "own") in entered
    assert ("without schedule min(1, t/warmup)", "constant") not in entered and len(entered) == 2 + 3 * 2 + 2
    assert all(rival == "Evolved" for _, rival in contest.pairs) and contest.variants


def test_an_ablation_end_to_end(optsearch, tiny, tmp_path):
    status, out, err = optsearch("ablate", "zoo:adamw", "--seeds", 3, "--config", tiny, "--steps", 4, "--out", "a")
    assert status == 0, err
    found = json.loads((tmp_path / "a" / "standings.json").read_text())
    assert len(found["comparisons"]) == 2 * 4 and not any(claim["made"] for claim in found["claims"])
    assert "without all corrections" in out and "No claim about without decay" in out
    status, _, err = optsearch("ablate", "torch:AdamW", "--out", "b")
    assert status == 1 and "torch's own code" in err
