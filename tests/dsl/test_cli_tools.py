"""`optc zoo`, `new`, `info`, `explain`, `completion`: what they print and write, and how every command ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from optc.compiler import cli
from optc.compiler.cli.check import check as check_command
from optc.compiler.cli.completion import completion
from optc.compiler.cli.zoo import TEMPLATE
from optc.dsl.checks.review import review
from optc.dsl.load import ZOO, rule_from_file, rule_from_text, zoo, zoo_names


def optc(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """The exit status of a command line, run in this process."""
    monkeypatch.setattr(sys, "argv", ["optc", *args])
    return cli.run(cli.optc)


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """A command line, run in this process in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> Ended:
        status = optc(monkeypatch, *args)
        return Ended(status, *capsys.readouterr())

    return call


def test_zoo_list_names_every_rule(run: Run) -> None:
    lines = run("zoo", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == zoo_names()
    assert all(len(line.split()) > 1 for line in lines)
    assert [row["name"] for row in json.loads(run("zoo", "list", "--format", "json").out)] == zoo_names()


def test_zoo_show_prints_the_file(run: Run) -> None:
    assert run("zoo", "show", "lion").out == (ZOO / "lion.opt").read_text()
    done = run("zoo", "show", "lino")
    assert done.status == 1 and "did you mean `lion`?" in done.err


def test_zoo_copy_never_overwrites_unasked(run: Run) -> None:
    path = Path("rules/adamw.opt")
    assert run("zoo", "copy", "adamw", "rules").status == 0
    assert path.read_text() == (ZOO / "adamw.opt").read_text()
    path.write_text("mine")
    done = run("zoo", "copy", "adamw", "rules")
    assert done.status == 1 and "--force" in done.err and path.read_text() == "mine"
    assert run("zoo", "copy", "adamw", "rules", "--force").status == 0
    assert path.read_text() != "mine"


@pytest.mark.parametrize("outside", ["../secret", "/etc/passwd", "a/b", ""])
def test_zoo_names_are_no_paths(run: Run, outside: str) -> None:
    assert run("zoo", "show", outside).status == 1


def test_new(run: Run) -> None:
    assert run("new", "my_rule").status == 0
    text = Path("my_rule.opt").read_text()
    assert rule_from_text(text).name == "MyRule"
    assert review(text, "my_rule.opt", None, pedantic=True) == ()
    assert run("new", "my_rule").status == 1
    assert run("fmt", "--check", "my_rule.opt").status == 0


@pytest.mark.parametrize("origin", zoo_names())
def test_new_from_any_rule(run: Run, origin: str) -> None:
    assert run("new", "own", "--from", origin).status == 0
    own, old = rule_from_file("own.opt"), zoo(origin)
    assert own.name == "Own"
    assert (own.params, own.states, own.body) == (old.params, old.states, old.body)


@pytest.mark.parametrize("name", ["2fast", "a-b", "ε", ".opt", "class!"])
def test_new_wants_a_name(run: Run, name: str) -> None:
    assert run("new", name).status == 2
    assert list(Path().iterdir()) == []


def test_the_template_is_of_one_style() -> None:
    from optc.dsl.text.format import format_file
    from optc.dsl.text.parser import parse

    text = TEMPLATE.format(name="Own")
    assert format_file(parse(text)) == text


def test_info_of_adamw(run: Run) -> None:
    known = json.loads(run("info", "adamw", "--format", "json").out)
    assert known["name"] == "AdamW"
    assert [(p["name"], p["default"]) for p in known["params"]] == [
        ("lr", 1e-3), ("beta1", 0.9), ("beta2", 0.999), ("eps", 1e-8), ("wd", 1e-2), ("amsgrad", False),
    ]  # fmt: skip
    assert known["params"][0]["interval"] == {
        "text": "[0, inf)", "low": 0, "high": None, "low_open": False, "high_open": True,
    }  # fmt: skip
    assert known["params"][1]["prior"] == {"family": "loguniform", "args": [0.001, 0.5], "complement": 1}
    assert [(s["name"], s["scope"], s["dtype"], s["bytes"]) for s in known["states"]] == [
        ("m", "element", "float32", 4), ("v", "element", "float32", 4), ("vmax", "element", "float32", 4),
    ]  # fmt: skip
    assert known["outputs"] == ["decay", "step_size", "update"]
    assert known["backends"] == {"torch": None, "native": None, "triton": None}


@pytest.mark.parametrize("name", zoo_names())
def test_info_of_every_rule(run: Run, name: str) -> None:
    known = json.loads(run("info", name, "--format", "json").out)
    assert known["name"] == zoo(name).name and known["backends"]["torch"] is None
    assert run("info", name).out.startswith(known["name"])


def test_explain_a_code(run: Run) -> None:
    assert run("explain", "e101").out.startswith("# E101: unknown name\n")
    assert run("explain", "E999").status == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(shell: str) -> None:
    done = CliRunner().invoke(completion, [shell])
    assert done.exit_code == 0 and "_OPTC_COMPLETE" in done.output


def test_completion_completes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        ("optc che", "check"),
        ("optc zoo show ada", "adamw"),
        ("optc check --den", "--deny"),
    ):
        monkeypatch.setenv("_OPTC_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit) as ended:
            optc(monkeypatch)
        assert ended.value.code == 0 and expected in capsys.readouterr().out


def test_every_command_that_is_listed_exists(run: Run) -> None:
    for name in cli.COMMANDS:
        done = run(name, "--help")
        assert done.status == 0 and f"optc {name}" in done.out


def test_a_fault_of_our_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> int:
        raise ZeroDivisionError("of our own")

    monkeypatch.setattr(check_command, "callback", broken)
    done = run("check", "x.opt")
    assert done.status == 125
    assert "ZeroDivisionError: of our own" in done.err and "Please report it" in done.err
    assert "Traceback" not in done.err


def test_an_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check_command, "callback", interrupted)
    assert run("check", "x.opt").status == 130


def test_usage_errors_name_the_nearest_command(run: Run) -> None:
    done = run("chek", "x.opt")
    assert done.status == 2 and "Did you mean 'check'?" in done.err


def test_the_group_is_lazy() -> None:
    context = click.Context(cli.optc)
    assert cli.optc.list_commands(context) == list(cli.COMMANDS)


def test_explain_adamw(run: Run) -> None:
    text = run("explain", "adamw").out
    assert "θ         ← θ − lr·(update + wd·θ)" in text
    assert "28 bytes per parameter" in text and "5.83 ms a step for 1e9 parameters on H200" in text
    half = run("explain", "adamw", "--bandwidth", "2.4TB/s").out
    assert "11.67 ms a step for 1e9 parameters on 2.4 TB/s" in half
    assert "20 bytes per parameter" not in text and "22 bytes" in run("explain", "adamw", "--dtype", "bfloat16").out


@pytest.mark.parametrize("speed", ["fast", "0TB/s", "4.8", "-1TB/s", "9" * 400 + "TB/s", "1e3TB/s", ""])
def test_explain_wants_a_speed(run: Run, speed: str) -> None:
    done = run("explain", "adamw", "--bandwidth", speed)
    assert done.status == 2 and "like 4.8TB/s" in done.err


@pytest.mark.parametrize("name", zoo_names())
def test_explain_every_rule_in_every_form(run: Run, name: str) -> None:
    assert run("explain", name).out.startswith(zoo(name).name)
    assert "\\begin{aligned}" in run("explain", name, "--format", "latex").out
    for formula in run("explain", name, "--format", "mathml").out.splitlines():
        assert ElementTree.fromstring(formula).tag == "math"
    ElementTree.fromstring(run("explain", name, "--format", "html").out)
    known = json.loads(run("explain", name, "--format", "json").out)
    assert known["name"] == zoo(name).name and known["properties"]


def test_diff(run: Run) -> None:
    Path("a.opt").write_text("0.5*g + 2*sign(g)")
    Path("b.opt").write_text("sign(g)*2 + g*0.5")
    Path("c.opt").write_text("sign(g)*2 + g*0.25")
    same = run("diff", "a.opt", "b.opt")
    assert same.status == 0 and same.out.startswith("equal")
    other = run("diff", "a.opt", "c.opt", "--format", "json")
    known = json.loads(other.out)
    assert other.status == 1 and known["verdict"] == "same structure" and known["first_step"] == 1
    assert run("diff", "adam", "adamw").status == 1
    assert run("diff", "adamw", "adamw").status == 0
    assert run("diff", "adamw", "nosuch").status == 1
