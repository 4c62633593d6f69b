"""The rooms of a folder import downwards only: what is named first knows nothing of what is named behind it."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
ORDER = {
    "dsl": "recent cache diagnostics meant report operators text rule writing meaning algebra checks load insight",
    "search": "files seeds columns length faults config spaces tasks training evolve runs fair report cli",
}
UPWARDS = {("dsl/checks/library.py", "load"), *(("search/config.py", room) for room in ("spaces", "tasks", "evolve"))}
"""`otherwise` reads another rule's file while a rule is checked; a configuration names rows of tables behind it."""


def imported(path: Path) -> set[tuple[str, ...]]:
    """The modules of the package that a file imports, by their places in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = path.relative_to(HERE).parts[: -node.level]
            names = [tuple(node.module.split("."))] if node.module else [(alias.name,) for alias in node.names]
            found |= {(*place, *name) for name in names}
    return found


@pytest.mark.parametrize("folder", ORDER)
def test_rooms_import_downwards(folder):
    order = ORDER[folder].split()
    files = sorted((HERE / folder).rglob("*.py"))
    assert {path.relative_to(HERE / folder).parts[0].removesuffix(".py") for path in files} == {"__init__", *order}
    wrong = set()
    for path in files:
        own = path.relative_to(HERE / folder).parts[0].removesuffix(".py")
        rooms = {module[1] for module in imported(path) if module[0] == folder and len(module) > 1}
        wrong |= {(str(path.relative_to(HERE)), r) for r in rooms if own in order and order.index(r) > order.index(own)}
    assert wrong == {(path, room) for path, room in UPWARDS if path.startswith(folder)}
