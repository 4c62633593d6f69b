"""A rule in any form to the class of its optimizer: generates the module, and imports it from a file in the cache."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dsl.algebra.simplify import simplify
from ..dsl.cache import cache_folder
from ..dsl.load import rule_from_file, rule_from_text
from ..dsl.rule import Rule
from . import loaded
from .emit.module import Target, emit
from .emit.population import NAME as POPULATION
from .emit.population import emit_population
from .plan.names import snake

if TYPE_CHECKING:
    import torch

    from .runtime import population


def load(source: str | Path | Rule, *, target: Target = "auto") -> type[torch.optim.Optimizer]:
    """The optimizer class of a rule, given as a path, as `.opt` text or as a checked rule.

    The class lives in a module of its own, a part of the package `loaded` named after its source, so that instances can
    be copied and pickled; the same rule gives the same class. Raises OptError on a bad rule.
    """
    rule = rule_of(source)
    made: type[torch.optim.Optimizer] = _class_in(emit(simplify(rule), target), rule.name)
    return made


def load_population(
    sources: Iterable[str | Path | Rule], *, target: Target = "auto"
) -> type[population.PopulationOptimizer]:
    """The class of an optimizer that steps an individual for each rule, on parameters of shape (individuals, ...).

    Slice i of every parameter is stepped as by an optimizer of rule i alone, bit for bit; rules that differ in numbers
    alone share launches. Raises ValueError where there is no rule, OptError on a bad one and on one that needs what a
    population has not: inputs, `applies to`, `evaluate` or states of 8 bits.
    """
    rules = [rule_of(source) for source in sources]
    if not rules:
        raise ValueError("a population needs a rule")
    text = emit_population([simplify(rule) for rule in rules], target)
    made: type[population.PopulationOptimizer] = _class_in(text, POPULATION)
    return made


def _class_in(text: str, name: str) -> Any:
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return getattr(_imported(f"{loaded.__name__}.{snake(name)}_{key}", text), name)


def rule_of(source: str | Path | Rule) -> Rule:
    """The rule that a path, a text or a rule stands for. A string is a path when it names a file or ends in `.opt`."""
    if isinstance(source, Rule):
        return source
    if isinstance(source, Path) or ("\n" not in source and (source.endswith(".opt") or _is_file(source))):
        return rule_from_file(source)
    return rule_from_text(source)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than any path, or with a NUL
        return False


def _imported(name: str, text: str) -> object:
    if name in sys.modules:
        return sys.modules[name]
    path = _written(name, text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # an interrupt, too, leaves half a module behind, which the next load would take for whole
        del sys.modules[name]
        raise
    return module


def _written(name: str, text: str) -> Path:
    """The module's file, written whole or not at all; in a folder of this process where the cache is read-only.

    A file that is there already stays as it is, and with it the bytecode that Python keeps for its time of change.
    """
    name = name.rpartition(".")[2]
    try:
        folder = cache_folder() / "modules"
        if _holds(folder / f"{name}.py", text):
            return folder / f"{name}.py"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as stream:
            stream.write(text)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="optc-"))
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        return folder / f"{name}.py"
    return Path(stream.name).replace(folder / f"{name}.py")


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False
