"""What `optsearch export` writes, read back by others: Python's import, csv, json, TensorBoard's own reader."""

import csv
import importlib.util
import json
import resource
import signal
import sqlite3
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from optc.dsl.load import rule_from_file
from optc.dsl.text.parser import parse
from optc.search.cli import cli
from optc.search.files import write_whole
from optc.search.runs.export import formula


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "best"
    done = CliRunner().invoke(cli, ["export", str(finished_run), "--top", "2", "-o", str(folder)])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("wrote ") == 6
    return folder


@pytest.fixture
def tables(finished_run):
    with sqlite3.connect(finished_run / "run.sqlite") as database:
        yield database


@pytest.mark.parametrize("rank", [1, 2])
def test_module_needs_nothing_of_optc_and_trains(exported, rank, monkeypatch):
    source = (exported / f"best{rank}.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert "torch" in imported
    assert "optc" not in imported
    spec = importlib.util.spec_from_file_location(f"best{rank}", exported / f"best{rank}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    given = {"total": 10} if any(p.name == "total" for p in rule_from_file(exported / f"best{rank}.opt").params) else {}
    weights = torch.ones(3, requires_grad=True)
    optimizer = getattr(module, f"Bred{rank}")([weights], **given)
    weights.square().sum().backward()
    optimizer.step()
    assert torch.isfinite(weights).all()
    assert not torch.equal(weights, torch.ones(3))


def test_csv_has_everyone(exported, tables):
    with (exported / "individuals.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = tables.execute("SELECT id, fitness FROM individuals ORDER BY generation, place").fetchall()
    assert [(row["id"], float(row["fitness"])) for row in rows] == stored


def test_json_has_the_whole_run(exported, tables):
    data = json.loads((exported / "run.json").read_text())
    runs = tables.execute("SELECT key, task, replicate, fitness, accuracy, seconds, reason FROM runs").fetchall()
    columns = ("key", "task", "replicate", "fitness", "accuracy", "seconds", "reason")
    assert {tuple(run[column] for column in columns) for run in data["training_runs"]} == set(runs)
    assert len(data["training_runs"]) == len(runs)
    assert len(data["individuals"]) == tables.execute("SELECT COUNT(*) FROM individuals").fetchone()[0]
    assert len(data["rejected"]) == tables.execute("SELECT COUNT(*) FROM refusals").fetchone()[0]
    assert [one for members in data["generations"] for one in members] == [
        one for (one,) in tables.execute("SELECT individual FROM members ORDER BY generation, rank")
    ]
    best = {individual["id"]: individual["fitness"] for individual in data["individuals"]}
    assert best[data["best"][0]] == max(best.values())
    assert data["config"]["seed"] == 3


def test_json_is_json_without_nan(exported):
    def refuse(word):
        raise AssertionError(word)

    json.loads((exported / "run.json").read_text(), parse_constant=refuse)


def test_without_tensorboard_it_says_what_to_install(finished_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    there = str(tmp_path / "tb")
    done = CliRunner().invoke(cli, ["export", str(finished_run), "-o", str(tmp_path), "--tensorboard", there])
    assert done.exit_code == 1
    assert "pip install tensorboard" in done.stderr
    assert not (tmp_path / "tb").exists()


def test_tensorboard_reads_the_events(finished_run, tmp_path, tables):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = CliRunner().invoke(
        cli, ["export", str(finished_run), "-o", str(tmp_path), "--top", "1", "--tensorboard", str(tmp_path / "tb")]
    )
    assert done.exit_code == 0, done.output
    best = tables.execute("SELECT fitness FROM members JOIN individuals ON individual = id WHERE rank = 0")
    events = EventAccumulator(str(tmp_path / "tb" / "search")).Reload()
    assert [e.value for e in events.Scalars("fitness/best")] == pytest.approx([fitness for (fitness,) in best])
    (rule,) = (tmp_path / "tb").glob("1-rule-*")
    assert [e.step for e in EventAccumulator(str(rule)).Reload().Scalars("loss/digits")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("weights", "shown"),
    [((1, 2), "m + 2*sign(g)"), ((1, -2), "m - 2*sign(g)"), ((-1, 1), "-1*m + sign(g)"), ((2, -1), "2*m - sign(g)")],
)
def test_formula_is_written_as_people_do(weights, shown):
    params = "".join(f"param a{k} = {weight}\n" for k, weight in enumerate(weights, 1))
    text = f"optimizer A\nparam lr = 1e-3\n{params}state m = 0\nm <- 0.9*m + 0.1*g\nupdate = a1*m + a2*sign(g)\n"
    assert formula(parse(text)).split("; ")[-1].split("   [")[0] == shown


def test_what_was_written_before_stays_until_all_is_there(tmp_path):
    path = tmp_path / "page.html"
    write_whole(path, "before")

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    code = "import sys; from pathlib import Path; from optc.search.files import write_whole;"
    code += "write_whole(Path(sys.argv[1]), 'x' * 10**6)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], preexec_fn=fill, capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    (tmp_path / "link").symlink_to(path)
    write_whole(tmp_path / "link", "after")
    assert path.read_text() == "after" and (tmp_path / "link").is_symlink()
