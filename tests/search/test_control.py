"""Controls: runs with a search's budget and gates whose children are not bred, kept beside it and compared in words."""

import pytest

from optc.dsl.algebra.canonical import canonical
from optc.dsl.checks.check import check
from optc.dsl.text.parser import parse
from optc.search.evolve.control import CONTROLS, controlled
from optc.search.evolve.evolve import evolve
from optc.search.evolve.selection import Breeding
from optc.search.runs.controls import controls_of, outline, sentences
from optc.search.runs.run import config_of
from optc.search.runs.store import Store
from optc.search.spaces.space import SPACES

from .test_polish import admit_all, nearness

SMALL = """
seed = 2
[search]
space = "expression"
population = 6
generations = 3
elites = 2
tournament = 2
[training]
tasks = ["quadratic_1e2"]
steps = 5
seeds = 1
[machine]
pool = "inline"
"""
BREEDING = Breeding(10, 4, 2, 3, crossover=0.0)


def born(kind, space="expression"):
    found = evolve(controlled(SPACES[space], kind), BREEDING, 1, admit_all, nearness)
    return {m.candidate.id: m.candidate for g in found for m in g.members}.values()


@pytest.mark.parametrize("space", SPACES)
def test_random_children_have_no_parents(space):
    later = [c for c in born("random", space) if c.generation]
    assert later and all(c.operators == ("random",) and not c.parents for c in later)
    assert len({canonical(check(c.tree)).skeleton for c in later}) > len(later) / 3


@pytest.mark.parametrize("space", SPACES)
def test_constants_move_and_structures_stay_the_founders(space):
    skeletons = {canonical(check(tree)).skeleton for tree in SPACES[space].founders.values()}
    everyone = born("constants", space)
    assert {canonical(check(c.tree)).skeleton for c in everyone} <= skeletons
    later = [c for c in everyone if c.generation]
    assert later and all(len(c.parents) == 1 and set(c.operators) <= {"constants"} for c in later)
    assert len({str(c.tree) for c in later}) > len(later) / 2


def test_without_a_control_the_space_is_itself():
    assert controlled(SPACES["paper"], "") is SPACES["paper"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with both its controls."""
    from click.testing import CliRunner

    from optc.search.cli import cli

    folder = tmp_path_factory.mktemp("control")
    (folder / "small.toml").write_text(SMALL)
    run = str(folder / "run")
    controls = [["control", run, "--kind", kind] for kind in CONTROLS]
    for arguments in (["run", str(folder / "small.toml"), "--out", run], *controls):
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, done.output
    assert "By search scores the best rule" in done.output
    return folder / "run"


def test_a_control_is_a_run_of_the_same_size(folder):
    for kind in CONTROLS:
        store, own = Store.open(folder), Store.open(folder / f"control-{kind}")
        ours, theirs = config_of(store), config_of(own)
        assert theirs.search.control == kind and theirs.training == ours.training and theirs.seed == ours.seed
        assert theirs.search.gates == ours.search.gates
        assert len(own.individuals()) == len(store.individuals())
        assert own.about("founders") == store.about("founders")


def test_what_is_said_of_them(folder):
    said = list(sentences(folder))
    assert len(said) == 2 and all(kind in line for kind, line in zip(CONTROLS, said, strict=True))
    search, controls = outline(folder), controls_of(folder)
    for line, control in zip(said, controls.values(), strict=True):
        assert f"({search.best:.4f}, of {search.judged:,} rules and {search.steps:,} steps)" in line
        better = search.best > control.best
        assert ("optsearch compare" in line) == better and ("not shown to have gained" in line) == (not better)


def test_the_report_says_it_too(folder, optsearch):
    status, _, _ = optsearch("report", folder)
    assert status == 0
    text = (folder / "report.html").read_text()
    assert "of the control `random`" in text or "of the control &#96;random&#96;" in text


def test_a_finished_control_is_not_run_again(folder, optsearch):
    before = (folder / "control-random" / "run.sqlite").read_bytes()
    status, output, _ = optsearch("control", folder)
    assert status == 0 and "control `random`" in output
    rows = Store.open(folder / "control-random").individuals()
    assert before and len(rows) == len(Store.open(folder).individuals())


def test_missing_controls_are_asked_for(finished_run):
    (line,) = sentences(finished_run)
    assert "--kind random" in line and "--kind constants" in line


def test_a_bred_text_is_still_a_rule(folder):
    for kind in CONTROLS:
        for individual in Store.open(folder / f"control-{kind}").individuals():
            check(parse(individual.text))
