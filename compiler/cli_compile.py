"""The command `optc compile`: a rule's file to Python source, plan or PTX."""

from __future__ import annotations

from pathlib import Path

import click

EMITTED = ("python", "ir", "ptx")


@click.command("compile")
@click.argument("rule", type=click.Path(dir_okay=False))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for what is written.")
@click.option("--target", type=click.Choice(["auto", "triton", "torch"]), default="auto", show_default=True)
@click.option("--emit", "emitted", type=click.Choice(EMITTED), default="python", show_default=True)
@click.option("--arch", default="sm_90", show_default=True, help="The GPU that PTX is for.")
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16", "float16", "float64"]), default="float32", show_default=True,
    help="The parameters' dtype that PTX is for.",
)  # fmt: skip
def compile_(rule: str, output: Path | None, target: str, emitted: str, arch: str, dtype: str) -> None:
    """Compile RULE to a Python file that holds a torch optimizer and needs nothing of optc.

    Writes RULE's name with `.py` into the current folder, or into the one given by -o; a plan (`--emit ir`) or PTX goes
    to the standard output unless -o is given.
    """
    from ..dsl.diagnostics import OptError

    try:
        text = _emitted(rule, target, emitted, arch, dtype)
    except OptError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    if emitted != "python" and output is None:
        click.echo(text)
        return
    suffix = {"python": ".py", "ir": ".plan", "ptx": ".ptx"}[emitted]
    path = (output or Path()) / Path(rule).with_suffix(suffix).name
    _write(path, text)
    click.echo(f"wrote {path}", err=True)


def _emitted(rule: str, target: str, emitted: str, arch: str, dtype: str) -> str:
    from ..dsl.load import rule_from_file
    from ..dsl.simplify import simplify

    simple = simplify(rule_from_file(rule))
    if emitted == "ptx":
        from .target import ptx

        return ptx(simple, arch, dtype)
    if emitted == "ir":
        from .lower import lower
        from .show import show

        return show(lower(simple))
    from .module import emit

    return emit(simple, target)  # type: ignore[arg-type]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(f"error: cannot write {path}: {error.strerror or error}", err=True)
        raise SystemExit(1) from None
