"""`optc info`: what a rule has and needs, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from ...dsl.diagnostics import OptError
from ...dsl.insight.info import info as facts
from ...dsl.rule import Rule
from .files import rule_of


@click.command()
@click.argument("source", metavar="RULE")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="For people, or for programs.")  # fmt: skip
def info(source: str, format_: str) -> None:
    """Show what RULE has and needs. RULE is a file, a name of the zoo, or - for standard input."""
    rule = rule_of(source)
    known = {**facts(rule), "backends": backends(rule)}
    click.echo(json.dumps(known, indent=2) if format_ == "json" else "\n".join(_page(known)))


def backends(rule: Rule) -> dict[str, str | None]:
    """Each backend with the reason why it cannot run the rule, None where it can. Needs no torch."""
    from ...dsl.algebra.simplify import simplify
    from ..emit import native, triton
    from ..plan.lower import lower

    try:
        plan = lower(simplify(rule))
    except OptError as error:
        why_not = error.diagnostics[0].message
        return dict.fromkeys(("torch", "native", "triton"), why_not)
    return {"torch": None, "native": native.refusal(plan), "triton": triton.refusal(plan)}


def _page(known: dict[str, Any]) -> Iterator[str]:
    yield known["name"]
    yield from (f"  {line}" for line in known["doc"].splitlines())
    for title, rows in (("hyperparameters", _params(known)), ("states", _states(known)), ("runs on", _backends(known))):
        if rows:
            yield f"\n{title}"
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            for row in rows:
                yield "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
    for title, key in (("inputs", "inputs"), ("applies when", "applies"), ("otherwise", "otherwise")):
        value = known[key]
        if value:
            yield f"\n{title}\n  {', '.join(value) if isinstance(value, list) else value}"


def _params(known: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            p["name"],
            p["type"],
            "required" if p["required"] else str(p["default"]).lower() if p["type"] == "bool" else f"{p['default']:g}",
            p["interval"]["text"] if p["interval"] else "",
            p["doc"].partition("\n")[0],
        )
        for p in known["params"]
    ]


def _states(known: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            s["name"],
            f"per {s['scope'].replace('_', ' ')}",
            s["dtype"],
            f"{s['bytes']} bytes" if s["bytes"] else "as the parameter",
            f"when {s['when']}" if s["when"] else "",
            s["doc"].partition("\n")[0],
        )
        for s in known["states"]
    ]


def _backends(known: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(name, "yes" if why_not is None else f"no: {why_not}") for name, why_not in known["backends"].items()]
