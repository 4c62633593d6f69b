"""The manual of the search names every space, operator, gate and task that there is."""

from pathlib import Path

import pytest

from optc.search.evolve.selection import SELECTIONS
from optc.search.spaces.gates import NAMES
from optc.search.spaces.graft import OPERATIONS
from optc.search.spaces.paper import FLAGS, FOUNDERS, PRIMITIVES
from optc.search.spaces.space import SPACES
from optc.search.spaces.vary import MUTATIONS
from optc.search.tasks.task import TASKS

MANUAL = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
OPERATORS = [row.name for row in (*OPERATIONS, *MUTATIONS)]
NAMED = [*SPACES, *SELECTIONS, *NAMES, *PRIMITIVES, *FLAGS, *FOUNDERS, *OPERATORS]


@pytest.mark.parametrize("name", NAMED)
def test_every_name_is_explained(name):
    assert f"`{name}`" in MANUAL


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_weights_are_the_tables(operation):
    assert f"| `{operation.name}` | {operation.weight:g} |" in MANUAL


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_explained(name):
    family = name.partition("_1e")[0]
    assert f"`{name}`" in MANUAL or f"`{family}_1e2` … `_1e6`" in MANUAL


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_primitives_are_quoted_as_they_are(primitive):
    assert f"`{primitive}` | `{PRIMITIVES[primitive]}`" in MANUAL
