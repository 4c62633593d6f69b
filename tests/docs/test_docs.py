"""Every example in the documentation is true: `opt` blocks check, `python` blocks run, `sh` commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from optc.dsl.load import rule_from_text

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[object]:
    return [
        pytest.param(page, body, id=f"{page.stem}-{i}")
        for page in PAGES
        for i, (kind, body) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if kind == language
    ]


@pytest.mark.parametrize(("page", "text"), blocks("opt"))
def test_rules_check(page: Path, text: str) -> None:
    rule_from_text(text, page.name)


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_runs(page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rules = [body for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "opt"]
    (tmp_path / "rule.opt").write_text(rules[0] if rules else "g", encoding="utf-8")
    exec(compile(code, page.name, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(("page", "script"), blocks("sh"))
def test_commands_exist_with_their_options(page: Path, script: str) -> None:
    from optc.compiler.cli import optc
    from optc.search.cli import cli as optsearch

    groups = {"optc": optc, "optsearch": optsearch}
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] not in groups:
            continue
        shown = CliRunner().invoke(groups[words[0]], [words[1], "--help"])
        assert shown.exit_code == 0, line
        for option in (w.split("=")[0] for w in words[2:] if w.startswith("--")):
            assert option in shown.output, line
        for path in (w for w in words[2:] if w.startswith("examples/")):
            assert (ROOT / path).is_file(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_tutorials_error_is_what_optc_says() -> None:
    from optc.dsl.diagnostics import OptError

    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    shown = next(body for kind, body in BLOCK.findall(page) if kind == "text")
    rule = next(body for kind, body in BLOCK.findall(page) if kind == "opt" and "vhat" in body)
    broken = rule.split("\n\n", 1)[1].replace("sqrt(vhat)", "sqrt(vhta)").replace("\n\nlet", "\nlet").rstrip()
    with pytest.raises(OptError) as caught:
        rule_from_text(broken, "my_adam.opt")
    got, want = str(caught.value).splitlines(), shown.splitlines()
    strip = re.compile(r"[\d:]+")
    assert [strip.sub("", x) for x in got] == [strip.sub("", x) for x in want]
