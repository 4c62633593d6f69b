"""What must hold of any bytes at all: they are a rule or are refused in words, and a rule stays one all the way.

Bytes go through decoding, parsing, formatting, checking, warnings, fixes, simplification, the canonical form and the
generated source. Anything but an OptError is a finding.
"""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import optc.compiler
from optc.compiler.emit.module import emit
from optc.dsl.algebra.canonical import canonical
from optc.dsl.algebra.simplify import simplify
from optc.dsl.checks.check import check
from optc.dsl.checks.fix import fixed
from optc.dsl.checks.lint import lint
from optc.dsl.diagnostics import MAX_ERRORS, Diagnostic, OptError, render, to_json
from optc.dsl.load import decode
from optc.dsl.rule import Rule
from optc.dsl.text.format import format_file
from optc.dsl.text.parser import parse
from optc.dsl.writing import text_of

NAME = "fuzz.opt"
COMPILER = Path(optc.compiler.__file__).parent
TOP = (
    ast.AnnAssign,
    ast.Assign,
    ast.ClassDef,
    ast.FunctionDef,
    ast.Import,
    ast.ImportFrom,
    ast.Try,
)
SECTION = "# ----------------------------------------------------------------"
FORBIDDEN = frozenset(("__import__", "eval", "exec", "globals", "open", "setattr"))


def examine(data: bytes) -> None:
    """Take bytes as far as they go. Raises AssertionError, or whatever is wrong with us."""
    try:
        text = decode(data, NAME)
        file = parse(text, NAME)
    except OptError as error:
        refused(error.diagnostics)
        return
    formatted = format_file(file)
    assert parse(formatted, NAME).items == file.items, "the formatter changed the file"
    assert format_file(parse(formatted, NAME)) == formatted, "the formatter is not idempotent"
    try:
        rule = check(file)
    except OptError as error:
        refused(error.diagnostics)
        if len(text) < 400:
            fixed(text, NAME, None)
        return
    for warning in lint(file, rule, pedantic=True):
        shown(warning)
    compiled(rule)


def refused(diagnostics: tuple[Diagnostic, ...]) -> None:
    """A refusal is made of at most ten errors that can be shown."""
    assert 0 < len(diagnostics) <= MAX_ERRORS
    assert all(d.severity == "error" for d in diagnostics)
    for d in diagnostics:
        shown(d)


def shown(d: Diagnostic) -> None:
    """A diagnostic points into its text, and does no terminal harm."""
    for span in (d.span, *(label.span for label in d.labels), *((d.fix.span,) if d.fix else ())):
        assert 0 <= span.start <= span.end <= len(span.source.text)
    assert all(c.isprintable() or c == "\n" for c in render(d))
    json.dumps(to_json(d))


def compiled(rule: Rule) -> None:
    """A rule can be written as text, simplified, named and made into source."""
    again = check(parse(text_of(rule), NAME)) if rule.applies is None else rule
    assert (again.params, again.states, again.inputs) == (rule.params, rule.states, rule.inputs)
    simple = simplify(rule)
    assert len(canonical(rule).hash) == len(canonical(simple).hash) == 64
    try:
        source = emit(simple, "auto")
    except OptError as error:
        refused(error.diagnostics)
        return
    confined(source)


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text that stands alone, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def confined(source: str) -> None:
    """Generated source holds what it always holds: nothing of a rule's text has become code."""
    for section in sections(source):
        confined_section(section)


def sections(source: str) -> list[str]:
    """The source cut up; most of its sections are the same for all rules, so whatever is asked of one is remembered."""
    return re.split(f"^(?={SECTION})", source, flags=re.MULTILINE)


@cache
def confined_section(source: str) -> None:
    tree = ast.parse(source)
    for node in tree.body:
        assert isinstance(node, TOP) or is_text(node), ast.dump(node)
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            assert {a.name for a in part.names} <= modules()
        elif isinstance(part, ast.ImportFrom):
            assert part.module in modules() and part.level == 0
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            assert part.func.id not in FORBIDDEN


@cache
def modules() -> frozenset[str]:
    """What the project's own files import, of which generated source holds copies."""
    found = set()
    for path in (p for room in ("runtime", "prelude") for p in (COMPILER / room).glob("*.py")):
        for part in ast.walk(ast.parse(path.read_text())):
            if isinstance(part, ast.Import):
                found |= {a.name for a in part.names}
            elif isinstance(part, ast.ImportFrom) and part.level == 0:
                found.add(str(part.module))
    return frozenset(found)
