"""The parse tree to text in one style; parsing that text gives the same tree back.

Declarations that stand together are aligned; blank lines and comments stay where they were. What the formatter cannot
know, it does not change: no line is wrapped, no statement moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..diagnostics import Span
from . import syntax as s
from .spelling import format_expr

INDENT = "  "


def format_file(file: s.File) -> str:
    """The text of a file, ending in a newline."""
    writer = _Writer(file)
    for line in file.doc.split("\n") if file.doc else ():
        writer.line(f"## {line}".rstrip())
    if writer.lines and file.items and writer.stands_apart(file.items[0]):
        writer.line("")
    writer.items(file.items)
    writer.rest()
    return "\n".join(writer.done()) + "\n"


# ---------------------------------------------------------------- lines


@dataclass(frozen=True, slots=True)
class _Row:
    """A statement as columns that are aligned with those of its neighbours; `kind` says which are neighbours."""

    kind: str
    cells: tuple[str, ...]
    doc: str = ""


def _row(item: s.Item) -> _Row | None:
    """The columns of a statement of one line; None for one with a block."""
    match item:
        case s.ParamDecl():
            type_ = f": {item.type}" if item.type else ""
            default = f"= {format_expr(item.default)}" if item.default is not None else ""
            value = " ".join(part for part in (type_, default) if part)
            return _Row(
                "param", (f"param {item.name}", value, _interval_text(item.interval), _prior_text(item.prior)), item.doc
            )
        case s.StateDecl():
            return _Row("state", _state_cells(item), item.doc)
        case s.Let():
            word = "var" if item.var else "let"
            return _Row("let", (f"{word} {item.name}", f"= {format_expr(item.value)}"), item.doc)
        case s.Assign():
            return _Row("", (f"{item.name} <- {format_expr(item.value)}",))
        case s.Output():
            return _Row("output", (item.name, f"= {format_expr(item.value)}"))
        case s.Def(brief=False) | s.When() | s.Repeat():
            return None
    return _Row("", (_LINES[type(item)](item),), getattr(item, "doc", ""))


def _state_cells(item: s.StateDecl) -> tuple[str, ...]:
    scope = f"per {item.scope}" if item.scope else ""
    annotation = " ".join(part for part in (scope, item.dtype) if part)
    value = (f": {annotation} " if annotation else "") + f"= {format_expr(item.init)}"
    when = f"when {format_expr(item.when)}" if item.when is not None else ""
    return f"state {item.name}", value, when


def _interval_text(i: s.Interval | None) -> str:
    if i is None:
        return ""
    low, high = "(" if i.low_open else "[", ")" if i.high_open else "]"
    return f"in {low}{format_expr(i.low)}, {format_expr(i.high)}{high}"


def _prior_text(p: s.Prior | None) -> str:
    if p is None:
        return ""
    complement = f"{format_expr(p.complement)} - " if p.complement is not None else ""
    return f"~ {complement}{p.family}({', '.join(map(format_expr, p.args))})"


def _use(item: s.Use) -> str:
    path = f'"{item.path}"' if item.quoted else item.path
    return f"use {path}" + (f": {', '.join(item.names)}" if item.names else "")


def _applies(item: s.Applies) -> str:
    otherwise = f" otherwise {format_expr(item.otherwise)}" if item.otherwise is not None else ""
    return f"applies when {format_expr(item.condition)}{otherwise}"


def _brief(item: s.Def) -> str:
    return f"def {item.name}({', '.join(item.parameters)}) = {format_expr(item.body[0].value)}"  # type: ignore[union-attr]


_LINES: dict[type, Callable[[object], str]] = {
    s.Optimizer: lambda i: f"optimizer {i.name}",  # type: ignore[attr-defined]
    s.Use: _use,  # type: ignore[dict-item]
    s.Applies: _applies,  # type: ignore[dict-item]
    s.InputDecl: lambda i: f"input {i.name}",  # type: ignore[attr-defined]
    s.Def: _brief,  # type: ignore[dict-item]
    s.Return: lambda i: f"return {format_expr(i.value)}",  # type: ignore[attr-defined]
    s.Evaluate: lambda i: f"evaluate {i.name} = {format_expr(i.value)}",  # type: ignore[attr-defined]
    s.Short: lambda i: format_expr(i.value),  # type: ignore[attr-defined]
}


@dataclass
class _Writer:
    """Writes lines, putting each comment back before, or at the end of, the line that it stood by."""

    file: s.File
    lines: list[str] = field(default_factory=list)
    shown: int = 0

    def __post_init__(self) -> None:
        self.comments = list(self.file.comments)
        self.typed = bool(self.file.span.source.text)

    def first_line(self, item: s.Item) -> int:
        """The line an item starts on; 0 where the file was not typed but made from a rule."""
        return item.span.source.position(item.span.start)[0] if self.typed else 0

    def stands_apart(self, item: s.Item) -> bool:
        """Whether the line above a file's first item is blank, and no comment stands over it."""
        above = self.first_line(item) - 1
        remarks = any(c.line <= above for c in self.comments)
        return above > 0 and not remarks and not item.span.source.line(above).strip()

    def last_line(self, item: s.Item) -> int:
        return self._end(item.span)

    def _end(self, span: Span) -> int:
        return span.source.position(span.end)[0] if self.typed else 0

    def line(self, text: str) -> None:
        self.lines.append(text)

    def done(self) -> list[str]:
        while self.lines and not self.lines[-1]:
            self.lines.pop()
        return self.lines

    def items(self, items: Iterable[s.Item], depth: int = 0) -> None:
        previous: s.Item | None = None
        run: list[tuple[s.Item, _Row]] = []
        for item in items:
            row = _row(item)
            breaks = self._gap(previous, item) or (row is not None and bool(self._inside(item)))
            if run and (row is None or breaks or row.kind != run[0][1].kind or not row.kind):
                self._flush(run, depth)
                run = []
            if breaks and self.lines and self.lines[-1] and (previous is not None or depth == 0):
                self.line("")
            if row is None:
                self._block(item, depth)
            else:
                run.append((item, row))
            previous = item
        self._flush(run, depth)

    def _gap(self, previous: s.Item | None, item: s.Item) -> bool:
        """Whether a blank line or a comment stands before an item; a tree that no one typed is spaced by kind."""
        here = self.first_line(item)
        if here == 0:
            return previous is not None and _chapter(previous) != _chapter(item)
        if previous is None:
            return False
        between = [c for c in self.comments if c.alone and self.last_line(previous) < c.line < here]
        return bool(between) or here - self.last_line(previous) > 1

    def _inside(self, item: s.Item) -> list[s.Comment]:
        """The comments between the first and the last line of a statement."""
        first, last = self.first_line(item), self.last_line(item)
        return [c for c in self.comments if first <= c.line < last]

    def _flush(self, run: list[tuple[s.Item, _Row]], depth: int) -> None:
        if not run:
            return
        count = max(len(row.cells) for _, row in run)
        widths = [max(len(row.cells[i]) if i < len(row.cells) else 0 for _, row in run) for i in range(count)]
        texts = [_aligned(row.cells, widths) for _, row in run]
        width = max((len(t) for t, (_, row) in zip(texts, run, strict=True) if row.doc), default=0)
        for text, (item, row) in zip(texts, run, strict=True):
            self._comments_before(self.first_line(item), depth)
            for _ in self._inside(item):  # a statement becomes one line, so these go above it
                self.line(INDENT * depth + self.comments.pop(0).text)
            remark = self._trailing(self.last_line(item))
            docs = row.doc.split("\n") if row.doc else []
            beside = docs[:1] if not remark else []  # after a comment there is no room for documentation
            documented = f"{text:{width}}  ## {beside[0]}" if beside else text
            self.line(INDENT * depth + documented.rstrip() + remark)
            for line in docs[len(beside) :]:
                self.line(INDENT * depth + f"## {line}".rstrip())

    def _comments_before(self, line: int, depth: int) -> None:
        """The comments that stand alone before a line, with the blank lines around them."""
        while line and self.comments and self.comments[0].line < line:
            comment = self.comments.pop(0)
            if self.shown and comment.line - self.shown > 1 and self.lines and self.lines[-1]:
                self.line("")
            self.line(INDENT * depth + comment.text)
            self.shown = comment.line
        if self.shown and line - self.shown > 1 and self.lines and self.lines[-1].lstrip().startswith("#"):
            self.line("")
        self.shown = 0

    def _trailing(self, line: int) -> str:
        if line and self.comments and self.comments[0].line == line and not self.comments[0].alone:
            return f"  {self.comments.pop(0).text}"
        return ""

    def _block(self, item: s.Item, depth: int) -> None:
        self._comments_before(self.first_line(item), depth)
        match item:
            case s.Def():
                self._body(f"def {item.name}({', '.join(item.parameters)}) {{", item.body, item.span, depth)
                for line in item.doc.split("\n") if item.doc else ():
                    self.line(INDENT * depth + f"## {line}".rstrip())
            case s.Repeat():
                self._body(f"repeat {format_expr(item.count)} {{", item.body, item.span, depth)
            case s.When():
                self._when(item, "", depth)

    def _when(self, item: s.When, before: str, depth: int) -> None:
        head = f"{before}when {format_expr(item.condition)} {{"
        if not item.otherwise:
            self._body(head, item.then, item.span, depth)
            return
        self._body(head, item.then, item.then_span, depth, close="")
        match item.otherwise:
            case (s.When() as nested,):
                self._when(nested, "} else ", depth)
            case _:
                self._body("} else {", item.otherwise, item.span, depth)

    def _body(self, head: str, body: tuple[s.Item, ...], span: Span, depth: int, close: str = "}") -> None:
        start, end = self.first_line(body[0]) - 1 if body else 0, self._end(span)
        self.line(INDENT * depth + head + (self._trailing(start) if start > 0 else ""))
        self.items(body, depth + 1)
        self._comments_before(end, depth + 1)
        if close:
            self.line(INDENT * depth + close + self._trailing(end))

    def rest(self) -> None:
        """The comments after the last statement."""
        for comment in self.comments:
            follows = self.shown or self.file.items
            if follows and comment.line - self.shown > 1 and self.lines and self.lines[-1]:
                self.line("")
            self.line(comment.text)
            self.shown = comment.line


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    """Cells in columns: one space before a default, two before an interval and a prior."""
    out = cells[0]
    at = widths[0]
    for i, (cell, width) in enumerate(zip(cells[1:], widths[1:], strict=False)):
        if not width:
            continue
        gap = 1 if i == 0 else 2
        if cell:
            out = f"{out:{at + gap}}{cell}"
        at += gap + width
    return out


CHAPTERS = ((s.Optimizer, s.Use, s.Applies), (s.InputDecl, s.ParamDecl), (s.StateDecl,), (s.Def,))


def _chapter(item: s.Item) -> int:
    """Which part of a file an item belongs to; parts stand a blank line apart."""
    return next((i for i, kinds in enumerate(CHAPTERS) if isinstance(item, kinds)), len(CHAPTERS))
