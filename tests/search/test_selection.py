"""Strategies of selection: each does what its source says, keeps to its budget, and goes by merits and names alone."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optc.search.config import Config, ConfigError, checked
from optc.search.evolve.pareto import by_merit, crowding, ranks
from optc.search.evolve.population import Candidate, Member, Merit, ranked
from optc.search.evolve.selection import SELECTIONS, Breeding
from optc.search.spaces.expression import founder
from optc.search.spaces.measure import complexity, state_bytes
from optc.search.spaces.space import SPACES
from optc.search.spaces.trees import tidied

from .test_evolve import generations, nearness

SMALL = {
    "tournament": Breeding(12, 9, 2, 3),
    "aging": Breeding(12, 9, 0, 3, "aging", children=4),
    "islands": Breeding(12, 9, 1, 3, "islands", islands=3, restart=3),
    "pareto": Breeding(12, 9, 0, 3, "pareto"),
}
seeds = st.integers(0, 2**32)


def test_every_strategy_is_tried():
    assert set(SMALL) == set(SELECTIONS)


@pytest.mark.parametrize("name", SMALL)
def test_it_keeps_to_its_budget_and_improves(name):
    breeding, born = SMALL[name], []

    def score(candidates):
        born.append(len(candidates))
        return nearness(candidates)

    found = generations(breeding, score=score)
    assert born == [breeding.population, *[breeding.births] * 8] and sum(born) == breeding.individuals
    best = [max(m.fitness for m in generation.members) for generation in found]
    assert max(best) > best[0] + 0.1
    assert [g.best.fitness for g in found] == best


@pytest.mark.parametrize("name", SMALL)
def test_equal_seeds_give_equal_runs(name):
    assert generations(SMALL[name], seed=5) == generations(SMALL[name], seed=5)
    assert generations(SMALL[name], seed=5) != generations(SMALL[name], seed=6)


def test_the_oldest_die_however_good_they_are():
    def by_age(candidates):
        return [-10.0 * c.generation - c.place / 100 for c in candidates]

    found = generations(SMALL["aging"], score=by_age)
    for before, after in pairwise(found):
        assert len(after.members) == 12
        gone = {m.candidate.age for m in before.members} - {m.candidate.age for m in after.members}
        assert len(gone) == 4 and max(gone) < min(m.candidate.age for m in after.members)
    assert found[-1].best.candidate.generation == 6


def test_parents_come_from_their_childs_island():
    found = generations(SMALL["islands"])
    for before, after in pairwise(found):
        home = {}
        for member in before.members:
            home.setdefault(member.candidate.id, set()).add(member.island)
        for member in after.members:
            c = member.candidate
            if c.generation == after.number and after.number % 3:
                assert member.island == c.place % 3 and all(member.island in home[p] for p in c.parents)


def test_the_worse_islands_begin_again_with_a_rule_of_the_better():
    found = generations(SMALL["islands"])
    sizes = [sorted(sum(m.island == k for m in g.members) for k in range(3)) for g in found]
    assert sizes[3] == sizes[6] == [1, 4, 4] and sizes[2] == sizes[5] == [4, 4, 4]
    for number in (3, 6):
        islands = [[m for m in found[number].members if m.island == k] for k in range(3)]
        (alone,) = (island for island in islands if len(island) == 1)
        others = [island for island in islands if len(island) > 1]
        assert any(alone[0].candidate == island[0].candidate for island in others)
        assert max(m.fitness for m in found[number - 1].members) <= found[number].best.fitness
    assert sizes[8] == [4, 4, 4]


def test_crossover_can_be_left_out():
    breeding = Breeding(12, 4, 2, 3, crossover=0.0)
    born = [m.candidate for g in generations(breeding)[1:] for m in g.members if m.candidate.generation]
    assert born and all(len(c.parents) == 1 and "cross" not in c.operators for c in born)


# ---------------------------------------------------------------- fronts


points = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=14)


def dominates(a, b):
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


@given(points)
def test_a_front_is_what_no_one_left_dominates(found):
    rank = ranks(np.array(found, float))
    for k, point in enumerate(found):
        beaten_by = [rank[j] for j, other in enumerate(found) if dominates(other, point)]
        assert rank[k] == (max(beaten_by) + 1 if beaten_by else 0)


def test_crowding_is_the_room_between_neighbours():
    room = crowding(np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]]))
    assert room[0] == room[3] == float("inf")
    assert room[1:3] == pytest.approx([3 / 4 + 3 / 4, 3 / 4 + 2 / 4])
    assert crowding(np.zeros((1, 3))) == [float("inf")]


@given(points)
def test_merit_puts_fronts_first_and_ends_of_fronts_before_their_middles(found):
    order = by_merit(np.array(found, float))
    assert sorted(order) == list(range(len(found)))
    rank = ranks(np.array(found, float))
    assert [rank[k] for k in order] == sorted(rank)


def test_pareto_keeps_small_rules_that_single_selection_loses():
    found = generations(SMALL["pareto"])[-1].members
    trees = [tidied(m.candidate.tree) for m in found]
    values = [(m.fitness, -complexity(t), -state_bytes(t)) for m, t in zip(found, trees, strict=True)]
    assert len({size for (_, size, _), rank in zip(values, ranks(np.array(values)), strict=True) if rank == 0}) > 1


def test_what_failed_is_last_however_small():
    tree = SPACES["paper"].founders["adam"]
    members = [
        Member(Candidate(0, k, tree, ()), Merit(*merit)) for k, merit in enumerate([(1, 0.2), (1, -1), (0, 0.9)])
    ]
    kept = SELECTIONS["pareto"](Breeding(2, 2, 0, 2, "pareto")).next((), ranked(members), 0, 0)
    assert [m.candidate.place for m in kept] == [0, 1]


def test_what_differs_in_constants_alone_does_not_crowd_a_front():
    updates = ["sign(m)", "2*m + g", "3*m + g", "4*m + g", "mhat + vhat*g*g*g*g"]
    found = ranked(
        Member(Candidate(0, k, founder(text), ()), Merit(0, 0.9 - k / 100)) for k, text in enumerate(updates)
    )
    kept = SELECTIONS["pareto"](Breeding(3, 2, 0, 2, "pareto", objectives=("fitness",))).next((), found, 0, 0)
    assert [m.candidate.place for m in kept] == [0, 1, 4]


# ---------------------------------------------------------------- configuration


def test_every_strategy_can_be_configured():
    for name in SELECTIONS:
        config = Config.model_validate({"search": {"selection": name, "population": 20}})
        assert Breeding.of(config.search).selection == name
        assert Breeding.of(config.search).births >= 1


FAULTS = {
    "selection='agng'": "did you mean `aging`",
    "selection='islands', elites=15": "need a population of 64",
    "children=3": "all but the elites are children",
    "selection='aging', children=51": "cannot be more than the population",
    "objectives=('memory',)": "one of them must be fitness",
    "objectives=('fitness', 'memry')": "did you mean `memory`",
    "crossover=2": "should be at most 1",
}


@pytest.mark.parametrize("settings", FAULTS)
def test_faults_in_words(settings):
    with pytest.raises(ConfigError, match=FAULTS[settings]):
        checked({"search": eval(f"dict({settings})")}, "here")
