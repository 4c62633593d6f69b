"""Text to the parse tree: `str -> syntax.File`, or every syntax error of the text at once.

It knows the shape of the language and nothing of its meaning: unknown names and wrong types are the checker's to find.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import fields, replace
from functools import cache

from ..diagnostics import MAX_ERRORS, Diagnostic, OptError, Source, Span
from .build import Builder, Located
from .expressions import MAX_DEPTH, Call, Expr
from .machine import Machine
from .mistakes import explain
from .syntax import Comment, File, Item, Node
from .table import table
from .tokens import Tokens, tokenize
from .walking import children


@cache
def _machine() -> Machine:
    return Machine(table(), Builder())


def parse(text: str, name: str = "<rule>") -> File:
    """The parse tree of a text; `name` is what messages call it. Raises OptError with at most ten syntax errors."""
    source = Source(name, text)
    found = tokenize(table(), source)
    items, problems = _items(found.tokens, source)
    lines = {source.position(d.span.start)[0]: d for d in reversed(found.problems)}  # the first of each line
    problems = sorted([*lines.values(), *problems], key=lambda d: d.span.start)
    problems = problems or [d for item in items if (d := _too_deep(item)) is not None]
    if problems:
        raise OptError(*problems[:MAX_ERRORS])
    return _with_docs(items, found, Span(source, 0, len(text)))


def _items(located: list[Located], source: Source) -> tuple[tuple[Item, ...], list[Diagnostic]]:
    """The statements that parse, and an error for each that does not: after an error, on at the next line's end."""
    machine, problems, begin = _machine(), list[Diagnostic](), 0
    reading = machine.start()
    tokens = [*located, Located("$END", "", Span(source, len(source.text), len(source.text)))]
    while begin < len(tokens) and len(problems) < MAX_ERRORS:
        sound, end = reading.copy(), _line_end(tokens, begin)
        bad = begin + machine.feed(reading, tokens[begin:end])
        if bad == end:
            begin = end
            continue
        problem = explain(tokens, bad, begin, machine.expected(reading, tokens[bad].type))
        last = tokens[bad].type == "$END"
        problems += [problem] if problem is not None and not (last and problems) else []
        if last:
            return (), problems
        reading, begin = sound, _next_statement(tokens, begin, bad)
    return () if problems else machine.value(reading), problems


def _line_end(tokens: list[Located], begin: int) -> int:
    for i in range(begin, len(tokens)):
        if tokens[i].type == "_NL":
            return i + 1
    return len(tokens)


def _next_statement(tokens: list[Located], begin: int, at: int) -> int:
    """The index after the line that holds `at`, past the block that it opens, or of the brace that ends its block."""
    depth = 0
    for i in range(begin, len(tokens)):
        if tokens[i].type == "RBRACE":
            depth -= 1
            if depth < 0 and i > at:
                return i
        elif tokens[i].type == "LBRACE":
            depth += 1
        elif tokens[i].type == "_NL" and depth <= 0 and i >= at:
            return i + 1
    return len(tokens) - 1


def _too_deep(item: Item) -> Diagnostic | None:
    """Later passes recurse over expressions; one too deep for them is refused here, before any work grows with it."""
    if item.span.end - item.span.start <= MAX_DEPTH:
        return None  # every operation takes at least one character
    stack: list[tuple[Node, int]] = [(item, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_DEPTH and isinstance(node, Expr):
            message = f"an expression of more than {MAX_DEPTH} nested operations"
            return Diagnostic("E004", message, node.span, help="name a part of it with `let`")
        many = isinstance(node, Call) and len(node.args) > 3  # max(a, b, c, d) is max(max(max(a, b), c), d)
        below = depth + (len(node.args) - 1 if many else 1)  # type: ignore[union-attr]
        stack.extend((child, below) for child in children(node))
    return None


def _with_docs(items: tuple[Item, ...], found: Tokens, span: Span) -> File:
    """Leading `##` lines document the file, later ones the declaration that they follow."""
    head: list[str] = []
    docs: dict[int, list[str]] = {}
    comments = list(found.comments)
    starts = [item.span.start for item in items]
    for doc in found.docs:
        before = bisect_left(starts, doc.span.start)
        if not before:
            head.append(doc.text)
        elif "doc" in {f.name for f in fields(items[before - 1])}:
            docs.setdefault(before - 1, []).append(doc.text)
        else:
            comments.append(Comment(f"## {doc.text}", doc.alone, doc.span.source.position(doc.span.start)[0]))
    done = tuple(
        replace(item, doc="\n".join(docs[i]))  # type: ignore[arg-type]
        if i in docs
        else item
        for i, item in enumerate(items)
    )
    comments.sort(key=lambda c: c.line)
    return File(done, "\n".join(head), tuple(comments), tuple(found.folded), span)
