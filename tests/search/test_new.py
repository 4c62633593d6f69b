"""`optsearch new` and `--dry-run`: a file that explains itself and is the default; a cost that adds up."""

from pathlib import Path

import pytest

from optc.search.config import Config, ConfigError, read_config
from optc.search.runs.estimate import cost, in_words
from optc.search.runs.new import template
from optc.search.spaces.space import SPACES
from optc.search.tasks.task import TASKS
from optc.search.training.pool import worker_count


@pytest.mark.parametrize("space", SPACES)
def test_the_template_is_the_default_configuration(tmp_path, space):
    path = tmp_path / "mine.toml"
    path.write_text(template(path, space, ["digits"]))
    assert read_config(path) == Config.model_validate({"name": "mine", "search": {"space": space}})
    assert (Config().search == read_config(path).search) == (space == "paper")


@pytest.mark.parametrize("space", SPACES)
def test_every_space_and_task_can_be_asked_for(tmp_path, optsearch, space):
    status, output, _ = optsearch("new", "mine.toml", "--space", space, "--task", "digits", "--task", "saddle")
    assert status == 0 and "optsearch run mine.toml --dry-run" in output
    config = read_config(tmp_path / "mine.toml")
    assert config.search.space == space and config.training.tasks == ("digits", "saddle")


def test_every_key_is_explained(tmp_path):
    lines = template(tmp_path, "paper", ["digits"]).splitlines()
    keys = {line.split(" = ")[0] for line in lines if " = " in line and not line.startswith("#")}
    sections = Config().model_dump()
    known = {key for section in sections.values() if isinstance(section, dict) for key in section}
    assert keys == known | {"seed"}


def test_nothing_is_overwritten_and_nothing_unknown_is_written(tmp_path, optsearch):
    (tmp_path / "mine.toml").write_text("mine")
    for arguments, words in (
        (["mine.toml"], "is there already"),
        (["none/mine.toml"], "cannot be written"),
        (["other.toml", "--space", "prog"], "did you mean `program`"),
        (["other.toml", "--task", "digit"], "did you mean `digits`"),
    ):
        status, _, errors = optsearch("new", *arguments)
        assert status == 1 and words in errors
    assert (tmp_path / "mine.toml").read_text() == "mine" and not (tmp_path / "other.toml").exists()


def test_a_dry_run_counts_and_leaves_nothing(tiny, tmp_path, optsearch):
    status, output, _ = optsearch("run", tiny, "--dry-run")
    assert status == 0
    assert "14 individuals at most, 28 training runs of 6 steps, 168 steps" in output
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


BROKEN = """
from optc.search.tasks.task import TASKS

class Broken:
    name, splits = "broken", TASKS["saddle"].splits

    def problem(self, *given):
        raise KeyError("no such column")
"""


def test_a_task_that_cannot_be_trained_on_is_said_beforehand(tiny, tmp_path, optsearch):
    (tmp_path / "broken.py").write_text(BROKEN)
    status, output, _ = optsearch("run", tiny, "--set", 'training.tasks=["broken.py:Broken"]', "--dry-run")
    assert status == 0 and "training failed" in output and "no such column" in output
    for command in (["tune", "zoo:sgd", "--trials", 1], ["compare", "zoo:sgd", "--against", "zoo:lion", "--trials", 0]):
        options = ["--config", tiny, "--task", "broken.py:Broken", "--out", command[0]]
        status, _, errors = optsearch(*command, *options, *(["--seeds", 1] if command[0] == "compare" else []))
        assert status == 1 and "every training run failed: KeyError: 'no such column'" in errors


def test_the_cost_adds_up(tiny):
    config = read_config(tiny, ["training.steps=150", "machine.pool=processes", "machine.workers=3"])
    found = cost(config)
    assert found.individuals == 14 and found.runs == 28 and found.steps == 28 * 150
    assert found.workers == worker_count(config) == 3
    assert found.seconds_a_birth > 0 and found.seconds_a_rule > 0
    trained = 2 * found.seconds_a_run["digits"] + 2 * found.seconds_a_rule  # each of two seeds may compile for itself
    assert found.seconds == pytest.approx(14 * (found.seconds_a_birth + trained / 3))
    assert any("3 worker(s)" in line for line in in_words(config, found))


def test_unknown_names_are_config_errors(tmp_path):
    with pytest.raises(ConfigError):
        template(tmp_path, "none", ["digits"])


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_configurations(path):
    config = read_config(path)
    assert all(TASKS[name].name for name in config.training.tasks)


def test_who_trains_is_chosen_on_the_command_line_too(optsearch, tiny):
    changes = ("--set", "search.generations=1", "--set", "machine.workers=1")
    status, _, err = optsearch("run", tiny, "--out", "run", "--pool", "inline", *changes)
    assert status == 0 and 'pool = "inline"' in Path("run/config.toml").read_text(), err
    assert optsearch("resume", "run", "--pool", "processes")[0] == 0
    assert optsearch("run", tiny, "--pool", "hands")[0] == 2
