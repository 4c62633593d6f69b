"""Takes our own Python files apart, so that a generated module can hold copies of what it needs. Runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parents[1]
THIRD = ("numpy", "torch")
"""What generated modules import besides the standard library; Triton they import on their own, if they can."""

TEXTS = re.compile(r'"""(?:.|\n)*?"""|f?"[^"\n]*"')
"""Strings in double quotes: a name in one of them imports nothing, unless it is an f-string."""


@dataclass(frozen=True)
class Part:
    """One top-level statement: the name that it defines, its text, and every name that it mentions."""

    name: str
    text: str
    reads: frozenset[str]


@dataclass(frozen=True)
class SourceFile:
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    parts: tuple[Part, ...]
    body: str

    @property
    def names(self) -> frozenset[str]:
        return frozenset(p.name for p in self.parts if p.name)


@cache
def source(name: str) -> SourceFile:
    """One of our files in parts, without what only type checkers read."""
    text = re.sub(r"  # type: ignore(\[[^\]]*\])?", "", (HERE / name).read_text(encoding="utf-8"))
    tree = ast.parse(text)
    imports = tuple(s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom))
    rest = [s for s in tree.body[1:] if not isinstance(s, ast.Import | ast.ImportFrom)]
    lines = text.splitlines()
    body = "\n".join(lines[_first_line(rest[0]) - 1 :]).rstrip()
    return SourceFile(imports, tuple(_part(s, lines) for s in rest), body)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def _part(statement: ast.stmt, lines: list[str]) -> Part:
    text = "\n".join(lines[_first_line(statement) - 1 : statement.end_lineno])
    reads = frozenset(n.id for n in ast.walk(statement) if isinstance(n, ast.Name))
    return Part(_defines(statement), text, reads)


def _defines(statement: ast.stmt) -> str:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
    return target.id if isinstance(target, ast.Name) else getattr(statement, "name", "")


def needed(file: str, text: str) -> list[str]:
    """The functions of a file that some code calls, and those that they call, in the file's order."""
    parts = source(file).parts
    wanted = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    while more := {r for p in parts if p.name in wanted for r in p.reads} - wanted:
        wanted |= more
    return [p.text for p in parts if p.name in wanted]


def imports(files: Iterable[str], code: str) -> list[str]:
    """The import lines that some code, made of parts of the files, needs: the standard library's, then torch's."""
    words = set(re.findall(r"\w+", TEXTS.sub(lambda m: m[0] if m[0][0] == "f" else "", code)))
    plain: set[str] = set()
    members: dict[str, set[str]] = {}
    for file in files:
        for s in source(file).imports:
            used = {a.name for a in s.names if a.name.split(".")[0] in words}
            if isinstance(s, ast.Import):
                plain |= used
            elif not s.level and s.module and used and s.module != "__future__":
                members.setdefault(s.module, set()).update(used)
    lines = [(name, f"import {name}") for name in plain]
    lines += [(module, f"from {module} import {', '.join(sorted(n))}") for module, n in members.items()]
    lines = [(module, line) for module, line in lines if module.split(".")[0] != "triton"]
    third = {module: module.split(".")[0] in THIRD for module, _ in lines}
    own = [sorted((line.startswith("from"), line) for m, line in lines if third[m] == side) for side in (False, True)]
    return [*(line for _, line in own[0]), "", *(line for _, line in own[1])]
