"""Diagnostics to what other programs read: JSON, GitHub's annotations, SARIF 2.1.0. Text is in diagnostics.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from .diagnostics import Diagnostic, Fix, Label, Span, to_json

Found = Mapping[str, Sequence[Diagnostic]]
"""What was found in each file, by its path."""


def as_json(found: Found) -> str:
    """A list with one object a file."""
    report = [{"file": path, "ok": not ds, "diagnostics": list(map(to_json, ds))} for path, ds in found.items()]
    return json.dumps(report, indent=2)


# ---------------------------------------------------------------- GitHub


def as_github(found: Found) -> str:
    """One workflow command a diagnostic, which GitHub shows beside the line."""
    return "\n".join(_command(d) for ds in found.values() for d in ds)


def _command(d: Diagnostic) -> str:
    line, column = d.span.source.position(d.span.start)
    end_line, end_column = d.span.source.position(d.span.end)
    where = {"file": d.span.source.name, "line": line, "endLine": end_line}
    if line == end_line:  # GitHub takes columns within one line only, ends inclusive
        where |= {"col": column, "endColumn": max(column, end_column - 1)}
    properties = {**where, "title": f"{d.code}: {d.message}"}
    text = "\n".join(part for part in (d.message, d.note, d.help and f"help: {d.help}") if part)
    settings = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in properties.items())
    return f"::{d.severity} {settings}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + also else c for c in text)


# ---------------------------------------------------------------- SARIF


def as_sarif(found: Found, version: str, titles: Mapping[str, str]) -> str:
    """A SARIF 2.1.0 log of one run; `titles` describes each code in a line."""
    diagnostics = [d for ds in found.values() for d in ds]
    codes = sorted({d.code for d in diagnostics})
    rules = [{"id": code, "shortDescription": {"text": titles.get(code, code)}} for code in codes]
    run = {
        "tool": {"driver": {"name": "optc", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, codes.index(d.code)) for d in diagnostics],
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2)


def _result(d: Diagnostic, index: int) -> dict[str, Any]:
    text = "; ".join(part for part in (d.message, d.note, d.help) if part)
    out: dict[str, Any] = {
        "ruleId": d.code,
        "ruleIndex": index,
        "level": d.severity,
        "message": {"text": text},
        "locations": [{"physicalLocation": _location(d.span)}],
    }
    if d.labels:
        out["relatedLocations"] = [_related(i, label) for i, label in enumerate(d.labels)]
    if d.fix is not None:
        out["fixes"] = [_fix(d.fix)]
    return out


def _related(index: int, label: Label) -> dict[str, Any]:
    return {"id": index, "physicalLocation": _location(label.span), "message": {"text": label.text}}


def _fix(fix: Fix) -> dict[str, Any]:
    where = _location(fix.span)
    replacement = {"deletedRegion": where["region"], "insertedContent": {"text": fix.text}}
    change = {"artifactLocation": where["artifactLocation"], "replacements": [replacement]}
    return {"description": {"text": f"write `{fix.text}`"}, "artifactChanges": [change]}


def _location(span: Span) -> dict[str, Any]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(max(span.start, span.end))
    region = {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
    return {"artifactLocation": {"uri": _uri(span.source.name)}, "region": region}


def _uri(path: str) -> str:
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix())
