"""One page a code: all are there, and what they call bad and good is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import optc
from optc.dsl.checks.lint import PEDANTIC
from optc.dsl.checks.review import review
from optc.dsl.diagnostics import OptError
from optc.dsl.insight.pages import codes, is_code, page, titles

ROOT = Path(optc.__file__).parent
EXAMPLE = re.compile(r"^```(\w+) (bad|good)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(language: str) -> list[tuple[str, str, str]]:
    """(code, bad or good, text) of every example in a language."""
    return [(c, kind, text) for c in codes() for lang, kind, text in EXAMPLE.findall(page(c)) if lang == language]


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    sources = [p for room in ("dsl", "compiler", "search") for p in (ROOT / room).rglob("*.py")]
    used = {c for p in sources for c in re.findall(r'"([EW]\d{3})"', p.read_text(encoding="utf-8"))}
    assert used == set(codes())


def test_every_page_has_a_bad_and_a_good_example() -> None:
    for code in codes():
        assert [kind for _, kind, _ in EXAMPLE.findall(page(code))] == ["bad", "good"], code
        assert page(code).startswith(f"# {code}: ")


@pytest.mark.parametrize(("code", "kind", "text"), examples("opt"), ids=lambda v: v if len(v) < 5 else "")
def test_rules(code: str, kind: str, text: str) -> None:
    found = {d.code for d in review(text, "rule.opt", None, pedantic=code in PEDANTIC)}
    if kind == "bad":
        assert found - (PEDANTIC - {code}) == {code}
    else:
        assert not any(c.startswith("E") for c in found) and code not in found
        assert found <= PEDANTIC


@pytest.mark.parametrize(("code", "kind", "text"), examples("sh"), ids=lambda v: v if len(v) < 5 else "")
def test_commands(code: str, kind: str, text: str, tmp_path: Path) -> None:
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    done = subprocess.run(
        ["sh", "-c", text], capture_output=True, text=True, cwd=tmp_path, check=False, env={**os.environ, "PATH": path}
    )
    assert (f"error[{code}]" in done.stderr) == (kind == "bad"), done.stderr
    assert done.returncode == (1 if kind == "bad" else 0)


def test_titles_are_short() -> None:
    assert all(0 < len(title) < 72 for title in titles().values())


def test_unknown_code() -> None:
    assert is_code("E999") and is_code("w501") and not is_code("adam") and not is_code("./E101")
    with pytest.raises(OptError, match="no diagnostic `E999`"):
        page("E999")
