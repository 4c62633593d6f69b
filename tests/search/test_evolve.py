"""The loop on scores that are computed: it improves, keeps its elites, and depends on nothing but the scores."""

from itertools import pairwise

import pytest

from optc.search.evolve.evolve import ATTEMPTS, evolve
from optc.search.evolve.population import Merit
from optc.search.evolve.selection import Breeding
from optc.search.spaces.paper import read
from optc.search.spaces.space import SPACES

SPACE = SPACES["paper"]
SMALL = Breeding(population=12, generations=8, elites=2, tournament=4)


def nearness(candidates):
    """High near a sum of weights of 2 and a beta1 of 0.5."""
    genomes = [read(c.tree) for c in candidates]
    return [-abs(sum(t.weight for t in g.terms) - 2) - abs(g.values["beta1"] - 0.5) for g in genomes]


def admit_all(tree):
    return ""


def generations(breeding=SMALL, seed=0, admit=admit_all, score=nearness):
    def merits(candidates):
        return [Merit(0, fitness) for fitness in score(candidates)]

    return list(evolve(SPACE, breeding, seed, admit, merits))


def test_it_improves_on_its_first_generation():
    found = generations()
    assert len(found) == 8
    assert found[-1].best.fitness > found[0].best.fitness + 0.1


def test_the_best_is_never_lost_and_elites_live_on():
    found = generations()
    for before, after in pairwise(found):
        assert after.best.fitness >= before.best.fitness
        assert set(before.members[:2]) <= set(after.members)


def test_populations_are_ranked_and_full():
    for generation in generations():
        scores = [m.fitness for m in generation.members]
        assert scores == sorted(scores, reverse=True)
        assert len({m.candidate.id for m in generation.members}) == 12


def test_parents_are_members_of_the_generation_before():
    found = generations()
    for before, after in pairwise(found):
        ids = {m.candidate.id for m in before.members}
        born = [m.candidate for m in after.members if m.candidate.generation == after.number]
        assert born and all(set(c.parents) <= ids for c in born)


def test_equal_seeds_give_equal_runs_and_others_do_not():
    assert generations(seed=5) == generations(seed=5)
    assert generations(seed=5) != generations(seed=6)


def test_a_birth_does_not_depend_on_the_population_around_it():
    births = {}

    def watch(candidates):
        births.update({c.id: c.tree for c in candidates})
        return nearness(candidates)

    generations(Breeding(6, 1, 1, 4), score=watch)
    few = dict(births)
    generations(Breeding(12, 1, 1, 4), score=watch)
    assert all(births[k] == tree for k, tree in few.items())


def test_tournaments_prefer_the_fit():
    def by_place(candidates):
        return [-float(c.place) for c in candidates]

    born = [m.candidate for m in generations(Breeding(50, 2, 0, 4), score=by_place)[1].members]
    places = [int(p.split(".")[1]) for c in born for p in c.parents]
    assert sum(places) / len(places) < 15  # the expected best of 4 out of 50 is 9; a fair draw's is 24.5


def test_refused_children_are_replaced_and_recorded():
    calls = []

    def every_second(tree):
        calls.append(tree)
        return "" if len(calls) % 2 == 0 else "odd"

    candidates = [m.candidate for m in generations(Breeding(8, 2, 1, 2), admit=every_second)[1].members]
    refused = [c for c in candidates if c.refused]
    assert refused and all(c.refused[0].reason == "odd" and c.refused[0].tree != c.tree for c in refused)


def test_a_gate_that_refuses_all_does_not_hang():
    members = generations(Breeding(8, 1, 1, 2), admit=lambda tree: "never")[0].members
    born = [m.candidate for m in members if m.candidate.operators == ("random",)]
    assert len(born) == 4
    assert all(len(c.refused) == ATTEMPTS - 1 for c in born)


def test_founders_come_first():
    first = sorted((m.candidate for m in generations()[0].members), key=lambda c: c.place)
    assert [c.operators for c in first[:4]] == [(f"founder {name}",) for name in SPACE.founders]


@pytest.mark.parametrize("score", [-1.0, 0.5])
def test_equal_scores_rank_by_age(score):
    members = generations(score=lambda candidates: [score] * len(candidates))[-1].members
    order = [(m.candidate.generation, m.candidate.place) for m in members]
    assert order == sorted(order)
