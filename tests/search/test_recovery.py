"""A rule that is hidden behind its agreement with others is found again from known ones, and not by chance.

One seed is searched here; how often rules are found is measured by examples/hidden_rules.py.
"""

from dataclasses import replace

import pytest
import torch

from optc.dsl.meaning.interpret import settings
from optc.dsl.text.format import format_file
from optc.search.evolve.control import controlled
from optc.search.evolve.evolve import evolve
from optc.search.evolve.population import Merit
from optc.search.evolve.selection import Breeding
from optc.search.spaces.expression import founder
from optc.search.spaces.gates import NAMES, Gatekeeper
from optc.search.spaces.keys import rule_of
from optc.search.spaces.space import FREE, SPACES
from optc.search.tasks.task import problem

STEPS, FOUND = 10, 0.99
BREEDING = Breeding(**{**FREE, "generations": 20}, elites=0)
HIDDEN = "m*abs(g)"


@pytest.fixture
def agreement(tmp_path):
    """Trees to how far they agree with the hidden rule, as the task has it."""
    path = tmp_path / "hidden.opt"
    path.write_text(format_file(founder(HIDDEN)))
    lesson = problem(f"imitate:{path}", 0, device=torch.device("cpu"))

    def judged(tree):
        rule = rule_of(tree)
        _, score = lesson.foresee(rule, settings(rule), STEPS, 0)
        return score if score == score else -1.0

    return judged


def best(agreement, seed, control=""):
    """The best agreement of a search that begins with the founders of the space, or of its control."""
    space = controlled(SPACES["expression"], control)
    breeding = replace(BREEDING, crossover=0.0) if control else BREEDING
    found = []

    def score(candidates):
        merits = [Merit(0, agreement(candidate.tree)) for candidate in candidates]
        found.extend(merit.fitness for merit in merits)
        return merits

    gates = Gatekeeper(NAMES, STEPS)
    for _ in evolve(space, breeding, seed, gates, score, traits=gates.traits):
        if max(found) >= FOUND:
            break
    return max(found), len(found)


def test_a_hidden_rule_is_found_and_not_by_chance(agreement):
    there, births = best(agreement, 0)
    assert there >= FOUND
    chance, drawn = best(agreement, 0, "random")
    assert drawn > births and chance < FOUND
