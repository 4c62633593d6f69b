"""Source positions and the messages that point at them; the only place that draws carets."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple
from unicodedata import combining, east_asian_width

Severity = Literal["error", "warning"]
MAX_ERRORS = 10
TAB = "    "
LONGEST = 600
"""Characters of a message or a help beyond which its middle is left out."""


@dataclass(frozen=True)
class Source:
    """One text with the name that messages give it."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        return (0, *(i + 1 for i, c in enumerate(self.text) if c == "\n"))

    def position(self, offset: int) -> tuple[int, int]:
        """1-based (line, column) of a character offset."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its end."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None].rstrip("\r")


class Span(NamedTuple):
    """Characters `start` up to, not including, `end` of a source. A tuple, since a text has one a token."""

    source: Source
    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of the other."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))


def all_of(name: str) -> Span:
    """A file, or whatever else has a name, as the place of what is wrong with it as a whole."""
    return Span(Source(name, ""), 0, 0)


NOWHERE = all_of("<built>")
"""The span of a node that no one typed."""


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that a diagnostic points at, and why."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Replacing `span` by `text` is safe: it does what the author must have meant."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable code, what is wrong, where, and what to do about it."""

    code: str
    message: str
    span: Span
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    fix: Fix | None = None

    @property
    def severity(self) -> Severity:
        return "warning" if self.code.startswith("W") else "error"


class OptError(Exception):
    """Bad input, in the user's terms. `diagnostics` is never empty; `str()` is the rendered text."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics = diagnostics
        super().__init__(*diagnostics)

    def __str__(self) -> str:
        return render_all(self.diagnostics)

    def __reduce__(self) -> tuple[Any, ...]:
        return OptError, self.diagnostics


def render_all(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> str:
    """All the diagnostics as text, a blank line between them, in the order given."""
    return "\n\n".join(render(d) for d in diagnostics)


def render(diagnostic: Diagnostic) -> str:
    """One diagnostic with the lines of source it speaks of.

    error[E101]: unknown name `bta1`
      --> adamw.opt:12:6
       |
    12 | m <- bta1*m + (1 - beta1)*g
       |      ^^^^ not a param, state, let or function
       = help: did you mean `beta1`?
    """
    primary = diagnostic.span
    line, column = primary.source.position(primary.start)
    here = [label for label in diagnostic.labels if label.span.source == primary.source]
    elsewhere = [label for label in diagnostic.labels if label.span.source != primary.source]
    marks = [(label.span, "-", label.text) for label in here] + [(primary, "^", diagnostic.note)]
    gutter = max(len(str(s.source.position(s.start)[0])) for s, _, _ in marks) + 1
    out = [f"{diagnostic.severity}[{diagnostic.code}]: {_brief(visible(diagnostic.message))}"]
    if primary.source.text:
        out += [f"{'':{gutter - 1}}--> {primary.source.name}:{line}:{column}", f"{'':{gutter}}|"]
        out += _marked_lines(marks, gutter)
    elif primary.source.name != NOWHERE.source.name:
        out += [f"{'':{gutter - 1}}--> {primary.source.name}"]
    for label in elsewhere:
        line, column = label.span.source.position(label.span.start)
        out.append(f"{'':{gutter}}= note: {label.text} ({label.span.source.name}:{line}:{column})")
    if diagnostic.help:
        out.append(f"{'':{gutter}}= help: {_brief(diagnostic.help)}")
    return "\n".join(out)


def _marked_lines(marks: list[tuple[Span, str, str]], gutter: int) -> list[str]:
    out: list[str] = []
    shown = 0
    for span, mark, text in sorted(marks, key=lambda m: (m[0].source.position(m[0].start)[0], m[1] == "^")):
        line, column = span.source.position(span.start)
        content = span.source.line(line)
        width = max(1, min(span.end - span.start, len(content) - column + 1))
        window, column = _window(content, column, width)
        width = min(width, len(window) - column + 1 - window.endswith(" …") * 2)
        before = _columns(window[: column - 1])
        under = _columns(window[column - 1 : column - 1 + width])
        if line != shown:
            out.append(f"{line:>{gutter - 1}} | {visible(window)}".rstrip())
        out.append(f"{'':{gutter}}| {' ' * before}{mark * max(1, under)} {text}".rstrip())
        shown = line
    return out


def _brief(text: str) -> str:
    """A message may quote a name of a file's length; its beginning and its end say enough."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def visible(text: str) -> str:
    """Text that does a terminal no harm: tabs as spaces, control characters as a box."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\t", TAB))


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(visible(text))
    wide = {"W": 2, "F": 2}
    return sum(0 if combining(c) else wide.get(east_asian_width(c), 1) for c in visible(text))


def _window(content: str, column: int, width: int) -> tuple[str, int]:
    """A very long line is cut around what is wrong, so that a message stays readable."""
    if len(content) <= 160:
        return content, column
    start = max(0, column - 1 - 50)
    end = min(len(content), column - 1 + min(width, 100) + 50)
    head, tail = "… " if start else "", " …" if end < len(content) else ""
    return head + content[start:end] + tail, column - start + len(head)


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic as plain data; positions are 1-based, ends exclusive."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "note": diagnostic.note,
        "help": diagnostic.help,
        **_place(diagnostic.span),
        "labels": [{"text": label.text, **_place(label.span)} for label in diagnostic.labels],
        "fix": None if diagnostic.fix is None else {"text": diagnostic.fix.text, **_place(diagnostic.fix.span)},
    }


def _place(span: Span) -> dict[str, Any]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(max(span.start, span.end))
    return {"file": span.source.name, "line": line, "column": column, "end_line": end_line, "end_column": end_column}
