"""Constants tuned inside a skeleton: what moves and what does not, the budget, the record, and who gets whose place."""

from collections import Counter
from itertools import pairwise
from math import log10

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optc.dsl.algebra.canonical import canonical
from optc.dsl.checks.check import check
from optc.dsl.text.expressions import Number
from optc.dsl.text.syntax import ParamDecl
from optc.search.evolve.evolve import evolve
from optc.search.evolve.population import TRIAL, Merit
from optc.search.evolve.selection import Breeding
from optc.search.runs.ledger import ledger
from optc.search.runs.run import config_of
from optc.search.runs.store import Store
from optc.search.spaces.dials import Dials
from optc.search.spaces.expression import founder
from optc.search.spaces.sites import parts, sites
from optc.search.spaces.space import SPACES
from optc.search.spaces.trees import number_of, tidied

TUNED = Breeding(8, 4, 2, 2, tune_every=2, tune_top=2, tune_trials=25)


def values(tree):
    return {item.name: number_of(item.default) for item in tree.items if isinstance(item, ParamDecl) and item.default}


def literals(tree):
    return [p.value for site in sites(tree, whole_program=False) for _, p in parts(site.value) if isinstance(p, Number)]


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
@settings(deadline=None)
def test_turning_changes_what_is_read_and_keeps_the_skeleton(steps):
    tree = founder("0.5*m + 2*sign(g)")
    dials = Dials.of(tree, literals=True)
    turned = dials.turned(steps[: len(dials)])
    assert len(dials) == 5  # lr, beta1, wd; 0.5 and 2
    assert canonical(check(turned)).skeleton == canonical(check(tree)).skeleton
    assert all(values(turned)[unread] == values(tree)[unread] for unread in ("beta2", "eps"))
    assert 1e-5 <= values(turned)["lr"] <= 0.1 and 0.5 <= values(turned)["beta1"] <= 0.999
    assert literals(turned) == pytest.approx([0.5 * np.exp(5 * steps[3]), 2 * np.exp(5 * steps[4])], rel=1e-5)


def test_no_step_is_no_change():
    tree = founder("0.5*m + 2*sign(g)")
    assert Dials.of(tree, literals=True).turned([0.0] * 5).items == tree.items


def test_the_papers_weights_are_dials_and_its_literals_are_not():
    tree = SPACES["paper"].founders["adam"]
    dials = Dials.of(tree, literals=SPACES["paper"].literals)
    assert not dials.literals and len(dials) == len(
        [i for i in tidied(tree).items if isinstance(i, ParamDecl) and i.prior and i.default]
    )


# ---------------------------------------------------------------- in the loop


def nearness(candidates):
    """Best at a learning rate of 0.02 and a beta1 of 0.6, whatever the rule."""
    return [
        Merit(0, 1 - abs(log10(values(c.tree)["lr"] / 0.02)) / 5 - abs(values(c.tree)["beta1"] - 0.6) / 5)
        for c in candidates
    ]


def admit_all(tree):
    return ""


def searched(breeding=TUNED, admit=admit_all, space="expression", score=nearness, rehearse=None):
    """The generations, and everyone who was born, once each."""
    born = {}

    def noted(judge):
        def judged(candidates):
            born.update((c.id, c) for c in candidates)
            return judge(candidates)

        return judged

    found = list(evolve(SPACES[space], breeding, 3, admit, noted(score), noted(rehearse) if rehearse else None))
    return found, list(born.values())


@pytest.mark.parametrize("space", SPACES)
def test_it_finds_better_constants_within_its_budget(space):
    found, born = searched(space=space)
    tuned = [c for c in born if c.operators == ("tuned",)]
    assert {c.generation for c in tuned} == {1, 3} and len(born) <= TUNED.individuals
    best = {k: max(m.fitness for m in nearness([c for c in tuned if c.generation == k])) for k in (1, 3)}
    before = max(m.fitness for m in nearness([c for c in born if c.generation == 0]))
    assert best[1] > before + 0.02
    assert found[1].best.fitness == best[1]


def test_a_trial_has_its_rules_skeleton_and_takes_its_place_if_better():
    found, born = searched()
    trees = {c.id: c.tree for c in born}
    for c in born:
        if c.operators == ("tuned",):
            (parent,) = c.parents
            assert canonical(check(c.tree)).skeleton == canonical(check(trees[parent])).skeleton
    members = {m.candidate.id for m in found[1].members}
    winner = found[1].best.candidate
    assert winner.operators == ("tuned",) and not members & set(winner.parents)
    assert len(found[1].members) == 8


def test_a_skeleton_is_tuned_once_a_turn_and_a_rule_that_is_not_bettered_four_times_ever_finer():
    def only_births(candidates):
        merits = nearness(candidates)
        return [Merit(0, 0.0 if "tuned" in c.operators else m.fitness) for c, m in zip(candidates, merits, strict=True)]

    for score, most in ((nearness, 9), (only_births, 4)):
        _, born = searched(Breeding(8, 9, 2, 2, tune_every=1, tune_top=2, tune_trials=9), score=score)
        trees = {c.id: c.tree for c in born}
        turns = {(c.generation, c.parents[0]) for c in born if c.operators == ("tuned",)}
        skeletons = [(generation, canonical(check(trees[parent])).skeleton) for generation, parent in turns]
        assert len(set(skeletons)) == len(skeletons) > 1
        assert max(Counter(parent for _, parent in turns).values()) <= most

    distances = {generation: [] for generation, _ in turns}
    first = next(c.parents[0] for c in born if c.operators == ("tuned",))
    for c in born:
        if c.operators == ("tuned",) and c.parents[0] == first:
            distances[c.generation].append(abs(log10(values(c.tree)["lr"] / values(trees[first])["lr"])))
    means = [np.mean(found) for _, found in sorted(distances.items()) if found]
    assert len(means) == 4 and all(finer < coarser / 1.5 for coarser, finer in pairwise(means))


def test_gates_are_asked_of_every_trial_and_refusals_recorded():
    def no_large_steps(tree):
        return "too large" if values(tree)["lr"] > 0.01 else ""

    _, born = searched(admit=no_large_steps)
    tuned = [c for c in born if c.operators == ("tuned",)]
    refused = [r for c in tuned for r in c.refused]
    assert refused and all(r.reason == "too large" and values(r.tree)["lr"] > 0.01 for r in refused)
    assert all(values(c.tree)["lr"] <= 0.01 for c in tuned if len(c.refused) < 9)


def test_worse_trials_replace_no_one():
    def first_is_best(candidates):
        return [Merit(0, 0.0 if c.operators == ("tuned",) else 0.5) for c in candidates]

    found, born = searched(score=first_is_best)
    assert any(c.operators == ("tuned",) for c in born)
    assert not any(m.candidate.operators == ("tuned",) for g in found for m in g.members)


def test_what_pays_on_the_seeds_of_tuning_alone_replaces_no_one():
    """On those, the more the better up to divergence; on all others, a larger rate is worse."""

    def overfitted(candidates):
        return [Merit(0, log10(values(c.tree)["lr"])) for c in candidates]

    def honest(candidates):
        return [Merit(0, -log10(values(c.tree)["lr"])) for c in candidates]

    found, born = searched(score=honest, rehearse=overfitted)
    assert any(c.operators == ("tuned",) for c in born)
    assert not any(m.candidate.operators == ("tuned",) for g in found for m in g.members)
    found, _ = searched(score=honest, rehearse=honest)
    assert any(m.candidate.operators == ("tuned",) for g in found for m in g.members)


def test_without_being_asked_nothing_is_tuned():
    _, born = searched(Breeding(8, 4, 2, 2))
    assert len(born) == 8 + 3 * 6 and not any(c.operators == ("tuned",) for c in born)


RUN = """
seed = 2
[search]
space = "expression"
population = 6
generations = 3
tune_every = 1
tune_top = 1
tune_trials = 9
[training]
tasks = ["imitate:lion"]
steps = 6
seeds = 2
rungs = [0.5]
[machine]
pool = "inline"
"""


def test_trials_have_seeds_of_their_own_and_a_fitness_only_once_they_are_judged(tmp_path, optsearch):
    (tmp_path / "tuned.toml").write_text(RUN)
    assert optsearch("run", "tuned.toml", "--out", "run")[0] == 0
    store = Store.open(tmp_path / "run")
    ran = {key: set() for key, *_ in store.fitness_of_runs()}
    for key, _, replicate, _ in store.fitness_of_runs():
        ran[key].add(replicate)
    trials = [i for i in store.individuals() if i.operators == TRIAL]
    assert len(trials) == 27 and all(i.fitness is None or i.fitness <= -1 or ran[i.key] == {0, 1, 2, 3} for i in trials)
    assert any(ran[i.key] == {2, 3} for i in trials) and any(i.fitness is not None for i in trials)
    untuned = [i for i in store.individuals() if i.operators != TRIAL]
    assert all(ran[i.key] >= {0, 1} for i in untuned)
    found = ledger(store, config_of(store))
    assert found.tried == len({i.key for i in trials if i.fitness is None}) > 0
    assert found.waiting == 0 and found.tried + found.failed + found.whole + sum(found.stopped) == len(ran)
    store.close()
