"""The command `optc compile`: a rule's file to Python source, to its plan, or to a GPU's code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ..emit.parts import PARTS
from .files import STDIN, put, rule_of

SUFFIX = {"python": ".py", "ir": ".plan"}
EMITTED = ("python", "ir", "ttir", "ptx", "sass", "cubin", "amdgcn", "hsaco", "report")
BINARY = ("cubin", "hsaco")
HIDES = {*sys.stdlib_module_names, "torch", "triton", "numpy"}
"""Modules that a file of this name would hide from itself, and from everything else in its folder."""


@click.command("compile")
@click.argument("rule", metavar="RULE")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write: a file, a folder for it, or -.")
@click.option("--target", type=click.Choice(["auto", "triton", "torch"]), default="auto", show_default=True)
@click.option("--emit", "kind", type=click.Choice(EMITTED), default="python", show_default=True)
@click.option(
    "--with",
    "more",
    multiple=True,
    callback=lambda _context, _option, given: parts_of(given),
    metavar="PART,...",
    help="What the Python file can do besides: shards, precision, graphs, native, checkpoints or all.",
)
@click.option("--arch", default="sm_90", show_default=True, help="The GPU that code is for: sm_90, gfx942, …")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "float64"]),
    default="float32",
    show_default=True,
    help="The parameters' dtype that a GPU's code is for.",
)
@click.option(
    "--state-dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "8bit", "int8", "fp8"]),
    help="The states' dtype that a GPU's code is for, if not the rule's.",
)
@click.option("--master", type=click.Choice(["float32", "bits"]), help="The master that a GPU's code is for.")
@click.option("--rounding", type=click.Choice(["nearest", "stochastic"]), default="nearest", show_default=True)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How a report is written.",
)
def compile_(
    rule: str,
    output: Path | None,
    target: str,
    kind: str,
    more: tuple[str, ...],
    arch: str,
    style: str,
    **kept: str,
) -> None:
    """Compile RULE to a Python file that holds a torch optimizer and needs nothing of optc.

    RULE is a file, a name of the zoo, or - for standard input. Writes RULE's name with `.py` into the current
    folder, into the folder given by -o, or the file given by -o, if its name ends in `.py`. The file steps
    parameters of all dtypes, by Triton on a GPU and by torch elsewhere; `--with shards` adds DTensors and
    distributed checkpoints, `precision` rounding at random, float32 masters and the dtypes of states, `graphs`
    steps that a CUDA graph can replay, `native` C code on a CPU, `checkpoints` those of torch's optimizer of the same
    rule. What a file was compiled without, it refuses in words.

    The plan (`--emit ir`), a GPU's code, which needs no GPU, and what comes of standard input go to the standard output
    unless -o is given. `--emit report` says of each kernel what it takes of a GPU: registers, spills, local and
    shared memory, 128-bit accesses, and the bytes that it moves for each element, beside those that the plan counts and
    the least that a step could move.
    """
    from ...dsl.diagnostics import OptError

    if kind in BINARY and output is None:
        raise click.UsageError(f"--emit {kind} gives bytes: say with -o where they go")
    try:
        made = _emitted(rule, target, kind, more, arch, style, kept)
    except OptError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    if output == Path(STDIN) or (output is None and (kind != "python" or rule == STDIN)):
        click.echo(made, nl=kind != "python")
        return
    path = _path(output or Path(), "rule" if rule == STDIN else rule, SUFFIX.get(kind, f".{kind}"))
    if path.suffix == ".py" and path.stem in HIDES:
        raise click.ClickException(f"{path} would hide the module `{path.stem}` from what imports it; rename the rule")
    put(path, made if isinstance(made, bytes) else made.encode())
    click.echo(f"wrote {path}", err=True)


def _path(output: Path, rule: str, suffix: str) -> Path:
    """The file that is written: the one that is named, or one of the rule's name in the folder that is."""
    named = output.suffix == suffix and not output.is_dir()
    return output if named else output / Path(rule).with_suffix(suffix).name


def parts_of(given: tuple[str, ...]) -> tuple[str, ...]:
    """The parts that `--with a,b --with c` names. Raises BadParameter where there is no such part."""
    names = {name.strip() for words in given for name in words.split(",")}
    if strange := sorted(names - {*PARTS, "all"}):
        raise click.BadParameter(f"there is no part {strange[0]!r}: there are {', '.join(PARTS)} and all")
    return tuple(PARTS) if "all" in names else tuple(names)


def _emitted(
    rule: str, target: str, kind: str, parts: tuple[str, ...], arch: str, style: str, kept: dict[str, str]
) -> str | bytes:
    from ...dsl.algebra.simplify import simplify
    from ..plan.kept import Kept

    simple = simplify(rule_of(rule))
    if kind == "python":
        from ..emit.module import emit

        return emit(simple, target, parts)  # type: ignore[arg-type]
    if kind == "ir":
        from ..plan.lower import lower
        from ..plan.show import show

        return show(lower(simple))
    if kind == "report":
        from ..report import as_json, report, table

        found = report(simple, arch, Kept(**kept))
        return json.dumps(as_json(found), indent=2) if style == "json" else table(found)
    from ..target import assemble

    return assemble(simple, kind, arch, Kept(**kept))
