"""Forecasts order what was never scored, and hope for what is not known; tuning gets further by them."""

import numpy as np
import pytest

from optc.search.evolve.evolve import evolve
from optc.search.evolve.forecast import Forecast
from optc.search.evolve.population import Candidate, Member, Merit
from optc.search.evolve.selection import Breeding
from optc.search.seeds import generator
from optc.search.spaces.expression import founder
from optc.search.spaces.gates import Gatekeeper
from optc.search.spaces.paper import read
from optc.search.spaces.space import SPACES


def member(place, tree, merit):
    return Member(Candidate(0, place, tree, ("random",)), merit)


def taught(points, merits):
    """A forecast of things that are their own traits."""
    forecast = Forecast(lambda point: point)
    forecast.learn([member(k, point, merit) for k, (point, merit) in enumerate(zip(points, merits, strict=True))])
    return forecast


def test_what_is_near_something_hidden_is_chosen():
    rng = generator("forecast")
    hidden, points, others = rng.standard_normal(6), rng.standard_normal((80, 6)), rng.standard_normal((200, 8, 6))
    forecast = taught(points, [Merit(0, -np.linalg.norm(point - hidden)) for point in points])
    places = []
    for drafts in others:
        far = np.linalg.norm(drafts - hidden, axis=1)
        places.append((far < far[forecast.best(drafts)]).sum())
    assert np.mean(places) < 1  # of 8; chance is 3.5


def test_scores_are_told_apart_by_rank_and_rungs_before_fitness():
    points = [np.array([float(k)]) for k in range(4)]
    scores = taught(points, [Merit(1, f) for f in (0.0, 0.1, 0.2, 0.3)])
    others = taught(points, [Merit(0, 0.9), Merit(1, -1.0), Merit(1, 1e3), Merit(1, 1e9)])
    for drafts, best in (((0.2, 2.8, 1.1), 1), ((1.1, 0.2, 0.3), 0)):
        assert scores.best([np.array([x]) for x in drafts]) == others.best([np.array([x]) for x in drafts]) == best


def test_of_two_that_are_expected_alike_the_less_known_is_chosen():
    forecast = taught([np.array([x, 0.0]) for x in (-1.0, 1.0)], [Merit(0, 0.5), Merit(0, 0.5001)])
    assert forecast.best([np.array([0.0, 0.1]), np.array([0.0, 5.0])]) == 1


def test_what_cannot_be_run_is_not_chosen_and_of_equals_the_first_is():
    near, far = np.array([0.9]), np.array([0.1])
    forecast = taught([np.array([0.0]), np.array([1.0]), None], [Merit(0, 0.0), Merit(0, 1.0), Merit(0, 2.0)])
    assert forecast.best([None, far, near, None, near]) == 2
    assert forecast.best([None, None]) == 0
    for nothing in (taught([], []), taught([None], [Merit(0, 1.0)])):
        assert nothing.best([None, far, near]) == 1


# ---------------------------------------------------------------- in the loop


def nearness(candidates):
    """High near a sum of weights of 2 and a beta1 of 0.5."""
    genomes = [read(c.tree) for c in candidates]
    return [Merit(0, -abs(sum(t.weight for t in g.terms) - 2) - abs(g.values["beta1"] - 0.5)) for g in genomes]


def what_counts(tree):
    genome = read(tree)
    return np.array([sum(term.weight for term in genome.terms), genome.values["beta1"]])


def tuned(drafts, seed, traits=what_counts):
    """The best of a search that little but tuning moves."""
    breeding = Breeding(8, 5, 2, 4, tune_every=1, tune_top=2, tune_trials=12, tune_drafts=drafts)
    return list(evolve(SPACES["paper"], breeding, seed, lambda tree: "", nearness, traits=traits))[-1].best


def test_the_most_promising_drafts_are_tried_and_tuning_gets_further():
    gains = [tuned(6, seed).fitness - tuned(1, seed).fitness for seed in range(6)]
    assert np.median(gains) > 0 and tuned(6, 0) == tuned(6, 0)


def test_without_traits_the_first_draft_is_as_good_as_any():
    assert Forecast(lambda tree: None).best([founder("g"), founder("m")]) == 0
    assert tuned(1, 0, traits=lambda tree: None) == tuned(1, 0)


def test_traits_are_of_what_a_rule_does():
    keeper = Gatekeeper([], 10)
    point = {
        text: keeper.traits(founder(text))
        for text in ("sign(m)", "m/abs(m)", "2*sign(m)", "g/(abs(g) + 1e-3)", "-sign(m)")
    }
    apart = {text: np.linalg.norm(p - point["sign(m)"]) for text, p in point.items()}
    assert apart["m/abs(m)"] < 1e-9 < apart["2*sign(m)"] < apart["g/(abs(g) + 1e-3)"] < apart["-sign(m)"]
    assert apart["2*sign(m)"] == pytest.approx(0.1 * np.log(2) * np.sqrt(2), rel=1e-4)  # weight decay is a thousandth
    for text in ("g/0*g", "nothing"):
        assert keeper.traits(founder(text)) is None
