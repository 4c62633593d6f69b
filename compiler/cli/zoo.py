"""`optc zoo` and `optc new`: rules that optc ships, shown, copied, and started from."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ...dsl.load import ZOO, file_at, zoo_names
from ...dsl.load import zoo as rule_named
from ...dsl.text.syntax import Optimizer

TEMPLATE = """\
## {name}: what it does, and where it comes from.
optimizer {name}

param lr   = 1e-3  in (0, inf)  ~ loguniform(1e-5, 1e-1)
param beta = 0.9   in [0, 1)    ~ 1 - loguniform(1e-3, 0.5)

state m = 0

m <- beta*m + (1 - beta)*g

update = m
"""


def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a rule of the zoo."""
    return [CompletionItem(name) for name in zoo_names() if name.startswith(incomplete)]


def path_of(name: str) -> Path:
    """The file of a rule of the zoo. Raises OptError for an unknown one."""
    rule_named(name)
    return ZOO / f"{name}.opt"


@click.group()
def zoo() -> None:
    """The rules that optc ships."""


@zoo.command("list")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(format_: str) -> None:
    """Name every rule, with the first line of its documentation."""
    docs = {name: file_at(ZOO / f"{name}.opt").doc.partition("\n")[0] for name in zoo_names()}
    if format_ == "json":
        click.echo(json.dumps([{"name": name, "doc": doc} for name, doc in docs.items()], indent=2))
        return
    width = max(map(len, docs))
    for name, doc in docs.items():
        click.echo(f"{name:{width}}  {doc}".rstrip())


@zoo.command()
@click.argument("name", shell_complete=names)
def show(name: str) -> None:
    """Print the text of a rule."""
    click.echo(path_of(name).read_text(encoding="utf-8"), nl=False)


@zoo.command()
@click.argument("name", shell_complete=names)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def copy(name: str, folder: Path, force: bool) -> None:
    """Copy a rule into FOLDER, the current one by default."""
    source = path_of(name)
    _write(folder / source.name, source.read_text(encoding="utf-8"), force)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="NAME")
@click.option("--from", "origin", shell_complete=names, help="The rule of the zoo to start from.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new(path: Path, origin: str | None, force: bool) -> None:
    """Start a rule: writes NAME.opt, a momentum method unless --from says otherwise."""
    from ...dsl.checks.check import camel_case

    stem = path.stem if path.suffix == ".opt" else path.name
    if not (stem.isascii() and stem.isidentifier() and stem[0].isalpha()):
        raise click.UsageError(f"`{stem}` is no name for a rule: letters, digits and _ make one, `my_rule` say")
    name = camel_case(stem)
    text = TEMPLATE.format(name=name) if origin is None else _renamed(path_of(origin), name)
    _write(path.with_name(f"{stem}.opt"), text, force)


def _renamed(source: Path, name: str) -> str:
    """The text of a rule of the zoo under another name."""
    file = file_at(source)
    text = file.span.source.text
    named = next(item for item in file.items if isinstance(item, Optimizer))
    return text[: named.name_span.start] + name + text[named.name_span.end :]


def _write(path: Path, text: str, force: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; --force replaces it") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
    click.echo(f"wrote {path}")
