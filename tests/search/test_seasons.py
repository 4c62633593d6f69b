"""A population that is stuck is set aside for a fresh one, which has time to grow; both meet; nothing good is lost."""

from itertools import pairwise

import pytest

from optc.search.config import checked
from optc.search.evolve.evolve import evolve
from optc.search.evolve.population import Merit
from optc.search.evolve.seasons import ROOM
from optc.search.evolve.selection import SELECTIONS, Breeding
from optc.search.runs.run import create, run
from optc.search.spaces.space import SPACES

from .conftest import contents
from .test_run import Silent

PATIENCE = 2
SIZES = {"aging": {"children": 4}, "islands": {"islands": 3}}


def lived(name="pareto", score=lambda candidate: 0.5, patience=PATIENCE, generations=24):
    """The generations of a search by made-up scores, and after how many of them the gates forgot."""
    breeding = Breeding(12, generations, 1, 3, name, patience=patience, **SIZES.get(name, {}))
    found, forgotten = [], []

    def merits(candidates):
        return [Merit(0, score(candidate)) for candidate in candidates]

    def forget():
        forgotten.append(len(found))

    for generation in evolve(SPACES["expression"], breeding, 0, lambda tree: "", merits, forget=forget):
        found.append(generation)
    return found, forgotten


def fresh(found):
    """The numbers of generations in which a population began."""
    return [g.number for g in found[1:] if all(m.candidate.generation == g.number for m in g.members)]


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_stuck_population_gives_way_to_a_fresh_one_and_they_meet(name):
    found, forgotten = lived(name)
    begun = fresh(found)
    assert begun[0] == PATIENCE + 1 and begun == forgotten
    assert all(m.candidate.operators == ("random",) for number in begun for m in found[number].members)
    together = {m.candidate.generation for m in found[begun[0] + PATIENCE + 2].members}
    assert max(together) >= begun[0] and (name == "aging" or min(together) < begun[0])  # the oldest die, whoever meets


def test_fresh_populations_take_turns_with_what_two_became():
    begun = fresh(lived()[0])
    assert len(begun) > 1 and all(b - a == 2 * PATIENCE + 1 for a, b in pairwise(begun))


def test_the_best_of_both_is_there_when_they_have_met():
    def falling(candidate):
        return 0.9 - 0.01 * candidate.generation - 0.001 * candidate.place

    found, _ = lived(score=falling)
    assert fresh(found)
    assert found[-1].best.candidate.id == "0.0"


def test_no_population_begins_without_time_to_grow_and_to_meet():
    found, _ = lived(generations=ROOM * PATIENCE + PATIENCE)
    assert fresh(found) == []
    found, _ = lived(generations=ROOM * PATIENCE + PATIENCE + 1)
    assert fresh(found) == [PATIENCE + 1]


@pytest.mark.parametrize("patience", [0, PATIENCE])
def test_who_is_patient_or_gets_better_goes_on(patience):
    found, forgotten = lived(score=lambda c: c.generation if patience else 0.5, patience=patience)
    assert fresh(found) == forgotten == []


# ---------------------------------------------------------------- whole runs

SEARCH = {
    "search": {"space": "expression", "population": 5, "generations": 9, "patience": 1, "tune_trials": 2},
    "training": {"tasks": ["imitate:lion"], "steps": 4, "seeds": 1},
    "machine": {"pool": "inline"},
}


class Leaving(Silent):
    """Leaves after so many scores, as Ctrl-C may."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def scored(self, candidate, fitness, fresh):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_search_that_is_interrupted_in_any_season_goes_on_to_the_same_bits(tmp_path):
    config = checked(SEARCH, "here")
    run(create(config, tmp_path / "whole"), config, Silent())
    store = create(config, tmp_path / "parts")
    for after in (7, 20):
        with pytest.raises(KeyboardInterrupt):
            run(store, config, Leaving(after))
    run(store, config, Silent())
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    begun = [i for i in store.individuals() if i.operators == ("random",) and i.generation]
    assert begun
