"""Rungs: hurdles that stand still while a generation is trained, short schedules that are whole, what status says."""

import numpy as np
import pytest

from optc.search.config import Config, ConfigError, checked, read_config
from optc.search.evolve.rungs import Ladder
from optc.search.runs.ledger import ledger, lines
from optc.search.runs.store import Store

from .conftest import contents
from .test_run import Silent, searched

CLIMB = """
seed = 5
[search]
population = 8
generations = 4
elites = 2
[training]
tasks = ["rosenbrock"]
steps = 30
seeds = 2
rungs = [0.1, 0.4]
[machine]
pool = "inline"
"""


def ladder(**training):
    return Ladder(Config.model_validate({"search": {"population": 6}, "training": {"steps": 100, **training}}))


def test_lengths_are_whole_schedules_the_full_one_last():
    assert ladder(rungs=[0.111, 1 / 3]).lengths == (11, 33, 100)
    assert ladder().lengths == (100,) and ladder().top == 0
    assert ladder(rungs=[0.001]).lengths == (1, 100)


def test_hurdles_stand_still_until_a_generation_is_over_and_roll_then():
    found = ladder(rungs=[0.5], hurdle=0.75)
    assert found.passes(0, -0.9) and not found.passes(0, -1.0) and not found.passes(1, 9.0)
    found.learn([[0.1, 0.2, 0.3, 0.4, 0.5]])
    assert found.hurdles == [pytest.approx(0.4)]
    assert found.passes(0, 0.4) and not found.passes(0, 0.39)
    found.learn([[0.9] * 6])
    assert found.hurdles == [pytest.approx(0.9)]


@pytest.mark.parametrize("rungs", [[0.5, 0.1], [0.0], [1.0], [0.2, 0.2]])
def test_rungs_that_do_not_rise_are_refused(rungs):
    with pytest.raises(ConfigError, match="larger than the one before"):
        checked({"training": {"rungs": rungs}}, "here")


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("climbed")
    (folder / "climb.toml").write_text(CLIMB)
    listener = searched(folder / "climb.toml", folder / "run")
    return folder, listener


def test_who_is_stopped_has_no_fitness_and_no_longer_runs(climbed):
    folder, listener = climbed
    store = Store.open(folder / "run")
    individuals = store.individuals()
    stopped = [i for i in individuals if i.fitness is None]
    assert stopped and all(i.rung in (0, 1) for i in stopped)
    assert listener.fitness.count(None) == len(stopped) and len(listener.fitness) == len(individuals)
    for i in individuals:
        lengths = {job.steps for job, _ in store.outcomes(i.key)}
        assert lengths == set((3, 12, 30)[: i.rung + 1])
        assert all(len(outcome.losses) == job.steps for job, outcome in store.outcomes(i.key) if not outcome.reason)
    store.close()


def test_hurdles_are_the_quantiles_of_what_was_there_before(climbed):
    folder, _ = climbed
    found = contents(folder / "run")
    runs = {}
    for key, _task, _replicate, steps, fitness, *_ in found["runs"]:
        runs.setdefault((key, steps), []).append(fitness)
    lately = []
    for generation in range(4):
        born = sorted((i for i in found["individuals"] if i[1] == generation), key=lambda i: i[2])
        scores = [np.mean(runs[i[3], 3]) for i in born]
        if generation:
            hurdle = np.quantile(lately[-8:], 0.5)
            assert [i[8] > 0 for i in born] == [score >= hurdle for score in scores]
        lately += scores


def test_no_one_stopped_is_ranked_before_one_trained_whole(climbed):
    folder, _ = climbed
    store = Store.open(folder / "run")
    rung = {i.id: i.rung for i in store.individuals()}
    for members in store.populations():
        assert [rung[i] for i in members] == sorted((rung[i] for i in members), reverse=True)
    assert all(i.rung == 2 for i in store.hall_of_fame(99) if i.fitness > -1)
    store.close()


def test_a_shared_cache_changes_nothing_but_what_is_trained(climbed, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path / "cache"))
    folder, _ = climbed
    reference = contents(folder / "run")
    for name in ("first", "second"):
        searched(folder / "climb.toml", tmp_path / name, "machine.cache=true")
        assert contents(tmp_path / name) == reference
    runs, cached = Store.open(tmp_path / "first").runs()
    assert cached == 0
    again, cached = Store.open(tmp_path / "second").runs()
    failed = sum(row[5] is None and not row[6] for row in reference["runs"])
    assert again == runs and cached == runs - failed


def test_status_says_where_candidates_went(climbed, optsearch):
    folder, _ = climbed
    store, config = Store.open(folder / "run"), read_config(folder / "climb.toml")
    found = ledger(store, config)
    whole = found.repeated + sum(found.stopped) + found.failed + found.whole
    assert found.candidates == whole + sum(found.refused.values()) and found.waiting == 0
    assert sum(found.stopped) > 0 and found.whole >= 8
    status, output, _ = optsearch("status", folder / "run")
    assert status == 0
    for line in lines(found, config):
        assert line in output
    assert "stopped at rung 1, after 3 steps" in output and "trained for all 30 steps" in output


def test_a_listener_is_told_of_everyone(climbed):
    assert isinstance(climbed[1], Silent) and climbed[1].expected == len(climbed[1].fitness)
