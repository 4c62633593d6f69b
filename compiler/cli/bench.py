"""The command `optc bench`: how fast is a rule, and beside whom?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from ...dsl.rule import Rule, Value
from .verify import settings_of

DTYPES = ("float32", "bfloat16", "float16", "float64")
COLUMNS: tuple[tuple[str, int, Callable[[dict[str, Any]], str]], ...] = (
    ("median ms", 11, lambda r: f"{r['median_ms']:.3f}"),
    ("spread", 9, lambda r: f"{r['spread_ms']:.3f}"),
    ("host ms", 9, lambda r: f"{r['host_ms']:.3f}"),
    ("launches", 10, lambda r: f"{r['launches']}"),
    ("GB/s", 8, lambda r: f"{r['gigabytes_per_s']:.1f}"),
    ("of copy", 9, lambda r: f"{r['of_copy']:.0%}"),
    ("time of the first", 22, lambda r: f"{r['times_first']:.2f} ({_span(r['times_first_quartiles'])})"),
)


@click.command("bench")
@click.argument("rules", nargs=-1, required=True, metavar="RULE...")
@click.option("--against", default="torch:adamw:foreach", show_default=True, help="Commas between; torch:NAME[:HOW], …")
@click.option("--shapes", default="resnet50", show_default=True, help="many-small, one-large, resnet50, gpt2, llama1b.")
@click.option("--dtype", default="float32", show_default=True, help=f"{', '.join(DTYPES)}; commas between.")
@click.option(
    "--how",
    type=click.Choice(["auto", "eager", "compiled", "native", "triton"]),
    default="auto",
    show_default=True,
    help="How RULE is stepped.",
)
@click.option("--rounds", type=click.IntRange(3, 1000), default=20, show_default=True)
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A hyperparameter of each rule that has it.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def bench_(
    rules: tuple[str, ...],
    against: str,
    shapes: str,
    dtype: str,
    how: str,
    rounds: int,
    given: tuple[str, ...],
    style: str,
) -> None:
    """Time a step of each RULE beside other optimizers, interleaved, on the GPU where there is one.

    HOW is fused, foreach or compiled for torch:NAME; eager, compiled, native or triton for zoo:NAME and RULE.
    The last column is a step's time as a multiple of the first RULE's, in the same round: median and quartiles.
    """
    from ...dsl.diagnostics import OptError

    try:
        tables = [
            measured(rules, _listed(against), shape, kind, how, rounds, given)
            for shape in _listed(shapes)
            for kind in _listed(dtype)
        ]
    except (OptError, TypeError, ValueError) as error:
        click.echo(str(error) if isinstance(error, OptError) else f"error: {error}", err=True)
        raise SystemExit(1) from None
    click.echo(json.dumps(tables, indent=2) if style == "json" else "\n\n".join(map(table_text, tables)))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _span(quartiles: Sequence[float]) -> str:
    return "-".join(f"{x:.2f}" for x in quartiles)


def shared(rules: Sequence[Rule], given: tuple[str, ...]) -> list[dict[str, Value]]:
    """For each rule those of the `NAME=VALUE` that it has. Raises ValueError on one that none of them has, or lacks."""
    names = [{p.name for p in rule.params} for rule in rules]
    for pair in given:
        if not any(pair.partition("=")[0] in known for known in names):
            settings_of(rules[0], (pair,))
    for rule in rules:
        for param in rule.params:
            if param.default is None and not any(pair.partition("=")[0] == param.name for pair in given):
                raise ValueError(f"{rule.name} has no default for {param.name}: give it by --set {param.name}=...")
    return [
        settings_of(rule, tuple(pair for pair in given if pair.partition("=")[0] in known))
        for rule, known in zip(rules, names, strict=True)
    ]


def table_text(table: dict[str, Any]) -> str:
    """One shape and dtype as a table, a row for each optimizer."""
    rows = table["rows"]
    width = max(len(r["name"]) for r in rows) + 1
    where = f"{table['device']}, threads: {table['threads']}"
    out = [f"{table['shapes']}, {table['dtype']}, {where}, copy: {table['copy_gigabytes_per_s']:.1f} GB/s"]
    out.append(" " * width + "".join(f"{title:>{w}}" for title, w, _ in COLUMNS))
    out += [f"{r['name']:<{width}}" + "".join(f"{cell(r):>{w}}" for _, w, cell in COLUMNS) for r in rows]
    return "\n".join(out)


def measured(
    rules: Sequence[str], against: list[str], shapes: str, dtype: str, how: str, rounds: int, given: tuple[str, ...]
) -> dict[str, Any]:
    """One table. Raises OptError or ValueError on what is not known, or cannot be measured here."""
    import torch

    from ..bench import copying, expect_memory, makers, measure, named, subject
    from ..bench_shapes import SHAPES

    for name, value, known in (("--shapes", shapes, tuple(SHAPES)), ("--dtype", dtype, DTYPES)):
        if value not in known:
            raise ValueError(f"{name} {value}: it may be {', '.join(known)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = getattr(torch, dtype)
    names = [*(f"{rule}:{how}" for rule in rules), *against]
    ours = [name for name in names if not name.startswith("torch:")]
    settings = dict(zip(ours, shared([named(name) for name in ours], given), strict=True))
    makes = {name: makers(name, settings.get(name, {})) for name in names}
    sizes = SHAPES[shapes]()
    expect_memory(makes, sizes, kind, device)
    subjects = [subject(name, make, sizes, kind, device) for name, make in makes.items()]
    copy = copying(max(s.bytes for s in subjects), device)
    measure([*subjects, copy], rounds, device)
    return {
        "shapes": shapes,
        "dtype": dtype,
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "threads": torch.get_num_threads(),
        "copy_gigabytes_per_s": copy.rate / 1e9,
        "rows": [s.row(copy.rate, subjects[0]) for s in subjects],
    }
