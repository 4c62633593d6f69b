"""What statements of the runtime are marked to be for: a module has those that it needs, and none that need others."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from functools import cache

import pytest
import torch

from optc.compiler.emit.inline import MARK, read, source
from optc.compiler.emit.module import KERNELS_DO, PLANS_DO, emit
from optc.compiler.emit.parts import HELPERS, PARTS, RUNTIME
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import zoo

FILES = (*HELPERS, *RUNTIME)
ELSEWHERE = (torch.Tensor, str, io.IOBase, io.BytesIO)
"""Types with attributes that may have the name of something marked."""


def test_marks_are_of_what_modules_do() -> None:
    said = {word for file in FILES for mark in MARK.finditer(read(file)) for word in mark[1].split(", ")}
    assert said <= {*PARTS, *PLANS_DO, *KERNELS_DO, "population", "torchless"}


def test_no_name_is_of_two_files() -> None:
    """In a module, which has no rooms, one would stand for both."""
    names = [name for file in FILES for name in source(file).names]
    assert len(names) == len(set(names))


def test_a_statement_goes_with_the_blank_lines_before_it_and_its_mark_with_all_others() -> None:
    everything, least = source("runtime/work.py"), source("runtime/work.py", ())
    whole, lean = ("\n".join(part.text for part in file.parts) for file in (everything, least))
    assert "def own_memory" in whole and "def own_memory" not in lean
    assert "# which computes the table" in whole and "# for " not in whole + lean
    assert "\n\n\n" not in lean


def members(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The fields, methods and attributes of its own that a text's classes have, with the line of each."""
    for node in ast.walk(tree):
        for s in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(s, ast.FunctionDef):
                yield s.name, s.lineno
            if isinstance(s, ast.Assign | ast.AnnAssign):
                yield ast.unparse(s.targets[0] if isinstance(s, ast.Assign) else s.target), s.lineno
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


@cache
def marked() -> set[str]:
    """The members that only some modules have."""
    found: set[str] = set()
    for file in RUNTIME:
        lines = read(file).splitlines()
        found |= {name for name, line in members(ast.parse(read(file))) if MARK.search(lines[line - 1])}
    return {name for name in found if not any(hasattr(type, name) for type in ELSEWHERE)}


@pytest.mark.parametrize("parts", [(), *((part,) for part in PARTS), tuple(PARTS)], ids="+".join)
@pytest.mark.parametrize("name", ["adamw", "muon", "sgld", "adafactor", "schedule_free_adamw"])
def test_nothing_is_read_that_a_module_does_without(name: str, parts: tuple[str, ...]) -> None:
    tree = ast.parse(emit(simplify(zoo(name)), parts=parts))
    there = {member for member, _ in members(tree)}
    read_here = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not (marked() - there) & read_here
