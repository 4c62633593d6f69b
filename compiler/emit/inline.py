"""Takes our own Python files apart, so that a generated module can hold copies of what it needs. Runs nothing.

A statement whose first line ends with `# for shards, graphs` is for modules that do one of these things; others do
without it. Words that follow after a colon stay, as a comment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parents[1]
THIRD = ("numpy", "torch")
"""What generated modules import besides the standard library; Triton they import on their own, if they can."""

TEXTS = re.compile(r'"""(?:.|\n)*?"""|f?"[^"\n]*"')
"""Strings in double quotes: a name in one of them imports nothing, unless it is an f-string."""

MARK = re.compile(r"  # for ([a-z, ]+)(?:: (.*))?$", re.MULTILINE)

BLOCKS = (ast.FunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Part:
    """One top-level statement, with the text that documents it: the names that it defines, and those that it uses.

    `gap` counts the blank lines before it.
    """

    names: frozenset[str]
    text: str
    reads: frozenset[str]
    gap: int
    block: bool


@dataclass(frozen=True)
class SourceFile:
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    parts: tuple[Part, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(p.names for p in self.parts))


def source(name: str, does: Collection[str] | None = None) -> SourceFile:
    """One of our files in parts, without what only type checkers read; all of it, or what these things need."""
    marked = _marked(name)
    return _source(name, marked if does is None else marked.intersection(does))


@cache
def _marked(name: str) -> frozenset[str]:
    return frozenset(word for mark in MARK.finditer(read(name)) for word in mark[1].split(", "))


@cache
def read(name: str) -> str:
    return re.sub(r"  # type: ignore(\[[^\]]*\])?", "", (HERE / name).read_text(encoding="utf-8"))


@cache
def _source(name: str, does: frozenset[str]) -> SourceFile:
    text = _without_others(read(name), does)
    text = text.replace("@triton.jit\n", "@jit\n")  # which imports Triton only when there is something to launch
    tree = ast.parse(text)
    imports = tuple(s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom))
    rest = [s for s in tree.body[1:] if not isinstance(s, ast.Import | ast.ImportFrom)]
    return SourceFile(imports, tuple(_parts(rest, text.splitlines())))


def _without_others(text: str, does: frozenset[str]) -> str:
    """A text without the statements that are for other modules, and the blank lines before them."""
    lines = text.splitlines()
    gone: set[int] = set()
    for s in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)):
        mark = MARK.search(lines[s.lineno - 1])
        if mark is not None and does.isdisjoint(mark[1].split(", ")):
            first = min([s.lineno, *(d.lineno for d in getattr(s, "decorator_list", []))])
            while not lines[first - 2]:
                first -= 1
            gone |= {*range(first, (s.end_lineno or 0) + 1)}
    kept = "\n".join(line for i, line in enumerate(lines, 1) if i not in gone)
    return MARK.sub(lambda mark: f"  # {mark[2]}" if mark[2] else "", kept)


def _parts(statements: list[ast.stmt], lines: list[str]) -> Iterator[Part]:
    for i, s in enumerate(statements):
        if isinstance(s, ast.Expr):
            continue  # the words about the statement before it
        end = statements[i + 1] if i + 1 < len(statements) and isinstance(statements[i + 1], ast.Expr) else s
        first = min([s.lineno, *(d.lineno for d in getattr(s, "decorator_list", []))])
        gap = next((n for n, line in enumerate(reversed(lines[: first - 1])) if line), 0)
        text = "\n".join(lines[first - 1 : end.end_lineno])
        yield Part(frozenset(_defines(s)), text, frozenset(_reads(s)), gap, isinstance(s, BLOCKS))


def _defines(statement: ast.stmt) -> set[str]:
    if isinstance(statement, BLOCKS):
        return {statement.name}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _reads(node: ast.AST) -> set[str]:
    """The names that code takes from around it: all that it mentions, but for a function's own."""
    if isinstance(node, ast.ClassDef):
        return {name for child in ast.iter_child_nodes(node) for name in _reads(child)}
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    reads = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    if not isinstance(node, ast.FunctionDef):
        return reads
    local = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    return reads - local - {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}


def needed(files: Iterable[str], code: str, does: Collection[str]) -> dict[str, str]:
    """Of each file that some code needs, the definitions that it reaches, in the file's order, for what it does."""
    parts = {file: source(file, does).parts for file in files}
    known = {name: part for of_file in parts.values() for part in of_file for name in part.names}
    wanted = news = {name for s in ast.parse(code).body for name in _reads(s)}
    while news := {r for name in news if name in known for r in known[name].reads} - wanted:
        wanted |= news
    kept = {file: [part for part in of_file if part.names & wanted] for file, of_file in parts.items()}
    return {file: _text(those) for file, those in kept.items() if those}


def _text(parts: list[Part]) -> str:
    out = parts[0].text
    for last, part in pairwise(parts):
        out += "\n" * (1 + (2 if last.block else part.gap)) + part.text
    return out


@lru_cache(256)
def _words(code: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", TEXTS.sub(lambda m: m[0] if m[0][0] == "f" else "", code)))


def imports(files: Iterable[str], texts: Iterable[str]) -> list[str]:
    """The import lines that code, made of parts of the files, needs: the standard library's, then torch's."""
    words = frozenset().union(*map(_words, texts))
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
