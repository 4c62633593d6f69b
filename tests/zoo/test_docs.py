"""docs/zoo.md against the zoo: what its tables say of a rule is what the rule says of itself."""

from __future__ import annotations

import re
from pathlib import Path

from optc.dsl.checks.library import GRAMMAR
from optc.dsl.load import file_at, zoo
from optc.dsl.rule import Rule
from optc.dsl.text.expressions import Name
from optc.dsl.text.syntax import Def
from optc.dsl.text.walking import walk

from .test_zoo import NAMES

TEXT = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| \[`(\w+)`\]\(\.\./grammar/zoo/(\w+)\.opt\) \| (.*?) \| (.*?) \| .*? \|$", TEXT, re.MULTILINE)


def kept(rule: Rule) -> str:
    """The states of a rule; in brackets those that some settings do without."""
    params, found = {p.name for p in rule.params}, []
    for s in rule.states:
        scope = "" if s.scope == "element" else f" per {s.scope.replace('_', ' ')}"
        optional = s.when is not None and any(isinstance(part, Name) and part.id in params for part in walk(s.when))
        found.append(f"(`{s.name}`{scope})" if optional else f"`{s.name}`{scope}")
    return ", ".join(found) or "none"


def test_the_tables_say_what_the_rules_say() -> None:
    assert sorted(name for name, *_ in ROWS) == NAMES
    for name, file, summary, states in ROWS:
        assert (file, summary, states) == (name, zoo(name).doc.splitlines()[0], kept(zoo(name)))


def test_the_libraries_are_listed_whole() -> None:
    for name in ("schedules", "clipping", "primitives"):
        functions = {item.name for item in file_at(GRAMMAR / "std" / f"{name}.opt").items if isinstance(item, Def)}
        (row,) = re.findall(rf"^\| \[`std\.{name}`\].*? \| (.*) \|$", TEXT, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == functions
