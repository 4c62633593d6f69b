"""Configurations: every fault at once, in words; defaults are the paper's; what is written is read back."""

from pathlib import Path

import pytest

from optc.search.config import Config, ConfigError, read_config, to_toml

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return written


def test_an_empty_file_is_the_papers_search_on_digits(write):
    config = read_config(write(""))
    assert config == Config(name="run")
    search = config.search
    assert (search.population, search.generations, search.elites, search.tournament) == (50, 50, 3, 4)
    assert (config.training.steps, config.training.batch, config.training.seeds) == (500, 128, 2)


@pytest.mark.parametrize(
    ("file", "name"), [("my config ü.toml", "my-config"), ("run 1.toml", "run-1"), ("поиск.toml", "search")]
)
def test_a_file_of_any_name_names_a_run(tmp_path, file, name):
    (tmp_path / file).write_text("")
    assert read_config(tmp_path / file).name == name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid_and_survive_being_written(path, write):
    config = read_config(path)
    assert read_config(write(to_toml(config))) == config


def test_all_faults_at_once(write):
    text = (
        "sead = 1\n[search]\npopulaton = 5\nelites = 60\ntournament = 0\n[training]\ntasks = ['mnits']\nsteps = 'x'\n"
    )
    with pytest.raises(ConfigError) as raised:
        read_config(write(text))
    message = str(raised.value)
    for fault in (
        "sead: no such key; did you mean `seed`?",
        "search.populaton: no such key; did you mean `search.population`?",
        "search.tournament",
        "no task `mnits`; did you mean `mnist`?",
        "training.steps: should be a whole number, not 'x'",
    ):
        assert fault in message


FAULTS = {
    "population = 3": "did you mean `search.population`",
    "[search]\nelites = 50": "elites (50) must be fewer than the population (50)",
    "[search]\nspace = 'papr'": "no space `papr`; did you mean `paper`",
    "[search]\ngates = ['fnite']": "no gate `fnite`; did you mean `finite`",
    "[training]\ntasks = []": "at least one task",
    "[training]\ntasks = ['digits', 'digits']": "named twice",
    "[training]\nprecision = 'float8'": "'float32' or 'bfloat16'",
    "[machine]\ndevice = 'gpu'": "no such device here: `gpu`",
    "seed = true": "seed: should be a whole number, not True",
    "[search]\npopulation = '20'": "search.population: should be a whole number, not '20'",
    "[machine]\ncache = 'yes'": "machine.cache: should be true or false, not 'yes'",
    "[machine]\ntimeout = true": "machine.timeout: should be a number, not True",
    "[machine]\nmemory = inf": "machine.memory: should be at most 1000000.0, not inf",
    "seed = -1": "seed: should be at least 0, not -1",
    "name = '../x'": "name: should be letters, digits",
    "search = 3": "search: should be a section, [search], and not 3",
    "[training]\ntasks = 'digits'": "training.tasks: should be a list in brackets, not 'digits'",
    "[training]\nsteps = 1_000_000_000_000": "training.steps: should be at most 100000000, not 1000000000000",
    "[machine]\ndevice = 'meta'": "no such device here: `meta`",
    "x = ": "not TOML",
}


@pytest.mark.parametrize("text", FAULTS)
def test_each_fault_in_words(write, text):
    with pytest.raises(ConfigError) as raised:
        read_config(write(text))
    assert FAULTS[text] in str(raised.value)


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(tmp_path / "bytes.toml")


def test_overrides(write):
    path = write("[search]\npopulation = 9\n")
    config = read_config(path, ['training.tasks=["mnist", "digits"]', "search.population=8", "machine.pool=inline"])
    assert config.training.tasks == ("mnist", "digits")
    assert config.search.population == 8
    assert config.machine.pool == "inline"


@pytest.mark.parametrize("override", ["population", "=3", "search.=3", "seed.x=3"])
def test_bad_overrides(write, override):
    with pytest.raises(ConfigError, match="--set"):
        read_config(write("seed = 1"), [override])
