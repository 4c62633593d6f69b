"""The rules that a search begins with: names in its configuration to trees of its space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...dsl.checks.check import check
from ...dsl.diagnostics import OptError
from ...dsl.load import ZOO, file_at, zoo_names
from ...dsl.meaning.settle import settled
from ...dsl.text.format import format_file
from ...dsl.text.parser import parse
from ...dsl.text.syntax import File
from ...dsl.writing import text_of
from ..config import Config, ConfigError
from ..faults import did_you_mean
from .expression import with_averages
from .paper import read
from .sites import sites
from .space import SPACES, Space
from .trees import unplaced


def founder_texts(config: Config) -> dict[str, str]:
    """The text of every founder by name: the space's own, or those that the configuration names.

    A name is one of the space's, one of the zoo's, or a path that ends in `.opt`. Raises ConfigError, OptError.
    """
    space = SPACES[config.search.space]
    found: dict[str, str] = {}
    for name in config.search.founders or tuple(space.founders):
        text = format_file(_fitting(_tree(name, space), name, space))
        if found.setdefault(Path(name).stem, text) is not text:
            raise ConfigError(f"search.founders: two are called `{Path(name).stem}`; rename one of them")
    return found


def opened_by(space: Space, texts: Mapping[str, str]) -> Space:
    """The space with these founders."""
    return replace(space, founders={name: unplaced(parse(text, name)) for name, text in texts.items()})


def _tree(name: str, space: Space) -> File:
    if name in space.founders:
        return space.founders[name]
    if name.endswith(".opt"):
        return _standard(file_at(name), Path(name).parent)
    if name in zoo_names():
        return _standard(file_at(ZOO / f"{name}.opt"), ZOO)
    known = [*space.founders, *zoo_names()]
    hint = did_you_mean(name, known) or f"; there is {', '.join(known)}, or name a file that ends in .opt"
    raise ConfigError(f"search.founders: no rule `{name}`{hint}")


def _standard(tree: File, folder: Path) -> File:
    """The long form with every call resolved and every switch settled, so that all that a rule does is in its text."""
    return unplaced(parse(text_of(settled(check(tree, folder)))))


def _fitting(tree: File, name: str, space: Space) -> File:
    try:
        if space.name == "paper":
            read(tree)
        elif not sites(tree, whole_program=False):
            raise ValueError("its update is not one expression")
        else:
            tree = with_averages(tree)
        check(tree)
    except (ValueError, OptError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"search.founders: `{name}` cannot open the space `{space.name}`: {reason}") from None
    return tree
