"""Every rule of the zoo against its reference, in the interpreter and compiled; and the zoo as a collection."""

from __future__ import annotations

import pytest

from optc.dsl.library import GRAMMAR

from .harness import TIGHT, Compiled, Interpreted, Row, follow
from .table import ROWS

NAMES = sorted(path.stem for path in (GRAMMAR / "zoo").glob("*.opt"))
rows = pytest.mark.parametrize("row", ROWS, ids=str)


@rows
def test_the_interpreted_rule_is_its_reference(row: Row) -> None:
    follow(row, Interpreted)


@rows
def test_the_compiled_rule_is_its_reference(row: Row) -> None:
    follow(row, Compiled)
