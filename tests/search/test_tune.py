"""Tuning: axes and priors, the evolution strategy, equal budgets, borders that are widened, the command."""

import json

import numpy as np
import pytest

from optc.dsl.load import rule_from_file, zoo
from optc.dsl.rule import Interval, Param, Prior
from optc.search.config import ConfigError, checked
from optc.search.evolve.strategy import Evolution
from optc.search.fair.entrants import entrant_of, entrants, from_text, maker, torch_names
from optc.search.fair.schedules import under
from optc.search.fair.tune import METHODS, Budget, Trial, Tuner
from optc.search.spaces.axes import Axis, axes_of, prior_text

POSITIVE, SHARE = Interval(0, float("inf"), True, True), Interval(0, 1, False, True)
RATE = Axis("lr", Prior("loguniform", (1e-5, 1e-1)), POSITIVE)
AVERAGE = Axis("beta", Prior("loguniform", (1e-3, 0.5), 1.0), SHARE)
WEIGHT = Axis("a", Prior("uniform", (-5.0, 5.0)))
NORMAL = Axis("b", Prior("normal", (1.0, 2.0)))


# ---------------------------------------------------------------- axes


@pytest.mark.parametrize("axis", [RATE, AVERAGE, WEIGHT, NORMAL], ids=lambda a: a.name)
def test_value_and_position_are_inverse(axis):
    for position in np.linspace(-0.1 if axis is not AVERAGE else 0, 1, 7):
        assert axis.position(axis.value(position)) == pytest.approx(position, abs=1e-5)


def test_an_axis_runs_along_its_prior():
    assert RATE.value(0) == 1e-5 and RATE.value(1) == 0.1 and RATE.value(0.5) == pytest.approx(1e-3)
    assert AVERAGE.value(0) == 0.999 and AVERAGE.value(1) == 0.5
    assert WEIGHT.value(0.25) == -2.5
    assert NORMAL.value(0.5) == 1 and NORMAL.value(1) == 5


@pytest.mark.parametrize("axis", [RATE, AVERAGE, WEIGHT, NORMAL], ids=lambda a: a.name)
def test_draws_follow_the_prior(axis):
    rng = np.random.default_rng(0)
    positions = np.array([axis.draw(rng) for _ in range(4000)])
    spread = 0.25 if axis is NORMAL else np.sqrt(1 / 12)
    assert positions.mean() == pytest.approx(0.5, abs=4 * spread / np.sqrt(4000))
    assert positions.std() == pytest.approx(spread, rel=0.05)


def test_values_stay_valid_however_far_a_position_is():
    whole = Axis("n", Prior("uniform", (1.0, 8.0)), Interval(1, 10, False, False), whole=True)
    for axis in (RATE, AVERAGE, whole):
        for position in (-1e6, -3.0, 0.3, 3.0, 1e6):
            assert axis.value(position) in axis.interval, (axis, position)
    assert isinstance(whole.value(0.4), int) and whole.value(9.0) == 10


def test_a_border_is_moved_by_a_decade_or_half_a_width():
    assert RATE.side(0.09) == "high" and RATE.side(1.1e-5) == "low" and RATE.side(1e-3) is None
    assert RATE.side(0.09, [0.095]) is None and RATE.side(0.11, [0.2]) == "high" and RATE.side(0.09, [0.01]) == "high"
    assert RATE.widened("high").prior.args == (1e-5, 1.0)
    assert RATE.widened("low").prior.args == (1e-6, 0.1)
    assert WEIGHT.widened("low").prior.args == (-10.0, 5.0)
    assert prior_text(AVERAGE.widened("low").prior) == "1 - loguniform(0.0001, 0.5)"


def test_a_border_goes_no_further_than_what_is_valid():
    assert AVERAGE.widened("high").prior.args == (1e-3, 1.0)  # beta = 0 and no less
    assert AVERAGE.widened("high").widened("high") == AVERAGE.widened("high")
    assert NORMAL.widened("high") == NORMAL


def test_only_numbers_with_a_prior_and_a_default_are_tuned():
    params = (
        Param("lr", "real", 1e-3, POSITIVE, RATE.prior),
        Param("total", "int", None, None, WEIGHT.prior),
        Param("flag", "bool", True, None, WEIGHT.prior),
        Param("mu", "real", 0.9),
    )
    assert [axis.name for axis in axes_of(params)] == ["lr"]


# ---------------------------------------------------------------- the evolution strategy


def generations_needed(curvatures, seed):
    """How many generations the strategy takes to the minimum of a bowl that is stretched, turned and moved."""
    n, rng = len(curvatures), np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((n, n)))
    goal = rng.standard_normal(n)

    def height(x):
        return float(np.sum(curvatures * (turn @ (x - goal)) ** 2))

    strategy = Evolution(np.zeros(n), 0.5, rng)
    for generation in range(1500):
        if height(strategy.mean) < 1e-10:
            return generation
        positions = strategy.ask()
        strategy.tell(positions, [-height(x) for x in positions])
    return 1500


@pytest.mark.parametrize(("n", "condition", "most"), [(1, 1, 50), (5, 1, 115), (5, 1e6, 315), (10, 1e6, 680)])
def test_the_strategy_is_as_quick_as_cma_should_be(n, condition, most):
    """Without its weights, its paths or either update of the covariance it takes a quarter more, or twice as long."""
    curvatures = np.logspace(0, np.log10(condition), n)
    assert np.mean([generations_needed(curvatures, seed) for seed in range(6)]) < most


def test_the_strategy_only_hears_of_ranks():
    means = []
    for transform in (lambda s: s, lambda s: np.exp(3 * s)):
        strategy = Evolution([0.0, 0.0], 0.3, np.random.default_rng(1))
        for _ in range(5):
            positions = strategy.ask()
            strategy.tell(positions, [transform(-np.sum((x - 1) ** 2)) for x in positions])
        means.append(strategy.mean)
    np.testing.assert_array_equal(*means)


# ---------------------------------------------------------------- entrants


def test_what_can_be_named(tmp_path):
    path = tmp_path / "short.opt"
    path.write_text("sign(g)*(1 + eps)\n")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "best.opt").write_text(path.read_text())
    for source, name in [("zoo:adamw", "AdamW"), ("torch:SGD", "torch.SGD"), (path, "Short"), (folder, "Best")]:
        assert entrant_of(str(source)).name == name
    assert [e.name for e in entrants(["zoo:adamw", "zoo:adamw", "torch:AdamW"])] == ["AdamW", "torch.AdamW"]


def test_two_rules_of_one_name_get_names_of_their_own():
    one, two = from_text("optimizer A\nparam lr = 1\nupdate = g"), from_text("optimizer A\nparam lr = 1\nupdate = 2*g")
    assert [e.name for e in entrants([one, two, one])] == ["A", "A-2"]


def test_a_rule_that_uses_files_beside_it_stands_alone(tmp_path):
    (tmp_path / "lib.opt").write_text("def twice(x) = 2*x\n")
    (tmp_path / "rule.opt").write_text('optimizer R\nuse "./lib.opt": twice\nparam lr = 1e-3\nupdate = twice(g)\n')
    assert from_text(entrant_of(str(tmp_path / "rule.opt")).text).name == "R"


def test_unknown_rules_are_refused_in_words():
    with pytest.raises(ConfigError, match="did you mean `Adagrad`"):
        entrant_of("torch:Adagrab")
    with pytest.raises(ConfigError, match="no `LBFGS`"):
        entrant_of("torch:LBFGS")


@pytest.mark.parametrize("name", torch_names())
def test_torchs_own_optimizers_take_their_tuned_values(name):
    import torch

    entrant = entrant_of(f"torch:{name}")
    values = {axis.name: axis.value(0.4) for axis in axes_of(entrant.params)}
    (group,) = maker(entrant.with_values(values).text)([torch.zeros(2, 2, requires_grad=True)], 10).param_groups
    for key, value in values.items():
        found = group["betas"][int(key[-1]) - 1] if key.startswith("beta") else group[key]
        assert found == pytest.approx(value)


def test_every_rule_of_the_zoo_takes_its_tuned_values():
    for name in ("adamw", "evolved", "muon", "rmsprop", "sgd"):
        entrant = entrant_of(f"zoo:{name}")
        values = {axis.name: axis.value(0.4) for axis in axes_of(entrant.params)}
        priors = {"lr": Prior("loguniform", (1e-6, 1.0))}
        tuned = from_text(entrant.with_values(values, priors).text)
        assert values.items() <= tuned.defaults().items()
        assert {p.name: p.prior for p in tuned.params}["lr"] == priors["lr"]
        assert [p.name for p in tuned.params] == [p.name for p in zoo(name).params]


# ---------------------------------------------------------------- tuners


def spent(entrant, budget, score, schedule="own", seed=0):
    """A tuner whose trials are scored by a function of the values."""
    tuner = Tuner(entrant, schedule, budget, seed)
    while asked := tuner.ask():
        tuner.tell([score(values) for values in asked])
    return tuner


def nearness(**goal):
    """How near values are to a goal, in decades."""
    return lambda values: -sum(abs(np.log10(values[k]) - np.log10(x)) for k, x in goal.items())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trials", [1, 2, 5, 16, 33])
def test_the_budget_is_spent_exactly_and_begins_with_the_authors_values(method, trials):
    entrant = entrant_of("zoo:adamw")
    tuner = spent(entrant, Budget(trials, 1, method), nearness(lr=1e-2))
    assert len(tuner.trials) == trials
    assert {**tuner.trials[0].values, "amsgrad": False} == entrant.defaults()  # a switch is not tuned
    assert tuner.ask() == []


def test_every_other_draw_is_of_the_rate_alone():
    """However many hyperparameters there are, sixteen trials come near the best rate."""
    tuner = spent(entrant_of("zoo:sgd"), Budget(16), nearness(lr=0.2))
    author, *drawn = tuner.trials
    changed = [{name for name, value in trial.values.items() if value != author.values[name]} for trial in drawn]
    assert changed[0::2] == [{"lr"}] * 8 and all(names == {"lr", "mu", "wd"} for names in changed[1::2])
    assert tuner.best.score > -0.2
    assert not any(name in text for name in ("mu", "wd") for text in tuner.widenings)


@pytest.mark.parametrize("method", METHODS)
def test_tuning_comes_near_the_optimum_and_is_the_same_every_time(method):
    score = nearness(lr=3e-2, wd=1e-3)
    tuner = spent(entrant_of("zoo:adamw"), Budget(80, 1, method), score)
    assert tuner.best.score > -1.2 > score(tuner.trials[0].values)
    assert tuner.trials == spent(entrant_of("zoo:adamw"), Budget(80, 1, method), score).trials
    assert tuner.trials != spent(entrant_of("zoo:adamw"), Budget(80, 1, method), score, seed=1).trials


@pytest.mark.parametrize("method", METHODS)
def test_an_optimum_beyond_the_prior_widens_it_and_that_is_recorded(method):
    tuner = spent(entrant_of("zoo:adamw"), Budget(60, 1, method), nearness(lr=5.0))
    assert "lr: loguniform(1e-05, 0.1) became loguniform(1e-05, 1)" in tuner.widenings
    assert tuner.best.values["lr"] > 0.1
    tuned = tuner.tuned()
    (prior,) = (p.prior for p in tuned.params if p.name == "lr")
    assert prior.args[1] >= 1.0 and tuned.defaults()["lr"] == tuner.best.values["lr"]


@pytest.mark.parametrize("method", METHODS)
def test_equal_rules_are_tuned_to_equal_constants(method):
    """Whatever they are called, and whatever else is compared: their difference is then nothing at all."""
    entrant = entrant_of("zoo:adamw")
    other = from_text(entrant.text.replace("optimizer AdamW", "optimizer Other"))
    score = nearness(lr=3e-2)
    assert spent(entrant, Budget(12, 1, method), score).trials == spent(other, Budget(12, 1, method), score).trials


def test_what_stays_on_a_border_is_said():
    tuner = Tuner(entrant_of("zoo:adamw"), "own", Budget(3), 0)
    inside = {name: axis.value(0.5) for name, axis in tuner.axes.items()}
    tuner.trials = [Trial(inside | {"lr": rate}, score) for rate, score in ((1e-3, 0.0), (0.09, 0.5), (1e-3, 0.1))]
    assert tuner.borders() == {"lr": "high"}
    tuner.trials[2] = Trial(tuner.trials[2].values | {"lr": 0.095}, 0.4)  # further out, and worse
    assert tuner.borders() == {}
    written = spent(entrant_of("zoo:adamw"), Budget(4), lambda values: -abs(values["lr"] - 1e-3))
    assert written.best is written.trials[0] and not written.borders() and not written.widenings


def test_a_rule_without_priors_cannot_be_tuned():
    plain = from_text("optimizer Plain\nparam lr = 1e-3\nupdate = g")
    with pytest.raises(ConfigError, match="declares no priors"):
        Tuner(plain, "own", Budget(4), 0)
    for method in METHODS:
        assert len(spent(plain, Budget(1, 1, method), lambda values: 0.5).trials) == 1


def test_a_rule_that_needs_what_nobody_gives_is_refused_in_words():
    needy = from_text("optimizer Needy\nparam lr = 1 ~ loguniform(1e-4, 1)\nparam k\nupdate = k*g")
    with pytest.raises(ConfigError, match="Needy cannot be trained: no default for k"):
        Tuner(needy, "own", Budget(2), 0)


def test_genes_that_sleep_without_a_schedule_are_not_tuned():
    assert "warmup" not in {p.name for p in under(entrant_of("zoo:evolved"), "constant").params}


# ---------------------------------------------------------------- the command


def test_tune_writes_a_rule_and_every_trial(optsearch, tiny, tmp_path):
    status, out, err = optsearch("tune", "zoo:adamw", "--trials", 5, "--out", "t", "--config", tiny)
    assert status == 0, err
    found = json.loads((tmp_path / "t" / "AdamW.json").read_text())
    assert len(found["trials"]) == 5 and found["score"] == max(t["score"] for t in found["trials"])
    rule = rule_from_file(tmp_path / "t" / "AdamW.opt")
    assert found["values"].items() <= {p.name: p.default for p in rule.params}.items()
    assert f"best of 5 trials: {found['score']:.4f}" in out


def test_tuning_again_in_the_same_folder_runs_nothing_again(optsearch, tiny, tmp_path):
    for _ in range(2):
        status, out, _ = optsearch("tune", "torch:SGD", "--trials", 3, "--out", "t", "--config", tiny)
        assert status == 0
        lines = (tmp_path / "t" / "heats.jsonl").read_text().splitlines()
        assert len(lines) == 3
    assert "3 runs already" in out and not list((tmp_path / "t").glob("*.opt"))


def test_wrong_options_are_refused_in_words(optsearch):
    status, _, err = optsearch("tune", "zoo:adamw", "--task", "digit", "--out", "t")
    assert status == 1 and "did you mean `digits`" in err
    status, _, err = optsearch("tune", "missing.opt", "--out", "t")
    assert status == 1 and "cannot read missing.opt" in err


def test_settings_of_a_run_are_its_own(tmp_path):
    from optc.search.cli.contest import settings
    from optc.search.config import to_toml

    config = checked({"seed": 9, "training": {"steps": 7, "train_images": 300}}, "a run")
    (tmp_path / "config.toml").write_text(to_toml(config))
    found = settings(["zoo:adamw", str(tmp_path)], steps=8, tasks="digits,mnist", seed=None, workers=1)
    assert found.seed == 9 and found.training.train_images == 300
    with pytest.raises(ConfigError, match="seed 9, and this contest has seed 1"):
        settings([str(tmp_path)], seed=1)
    assert found.training.steps == 8 and found.training.tasks == ("digits", "mnist") and found.machine.workers == 1
