"""A rule in any form to the class of its optimizer: generates the module, and imports it from a file in the cache.

What reads rules and writes modules is imported only where the cache has no module.
"""

from __future__ import annotations
import __future__

import importlib.util
import linecache
import re
import sys
import tempfile
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dsl.cache import put_in_place
from . import kept, loaded

if TYPE_CHECKING:
    import torch
    from torch.optim.optimizer import ParamsT

    from ..dsl.rule import Rule
    from .emit.module import Target
    from .runtime import population

    class Loaded(torch.optim.Optimizer):
        """What type checkers know of every class that `load` gives: beside an optimizer, what its rule says."""

        def __init__(self, params: ParamsT, *args: Any, **hyperparameters: Any) -> None: ...
        def step(self, closure: Callable[[], Any] | None = None, *, inputs: dict[str, Any] | None = None) -> Any: ...
        def __getattr__(self, name: str) -> Any: ...


def load(source: str | Path | Rule, *, target: Target = "auto") -> type[Loaded]:
    """The optimizer class of a rule, given as a path, as `.opt` text, as a name of the zoo or as a checked rule.

    The class lives in a module of its own, a part of the package `loaded` named after its source, so that instances can
    be copied and pickled; the same rule gives the same class. Raises OptError on a bad rule.
    """

    def made() -> tuple[str, str]:
        from ..dsl.algebra.simplify import simplify
        from .emit.module import emit

        rule = rule_of(source)
        return rule.name, emit(simplify(rule), target)

    found: type[Loaded] = _class(kept.key_of("optimizer", target, [source]), made)
    return found


def load_population(
    sources: Iterable[str | Path | Rule], *, target: Target = "auto"
) -> type[population.PopulationOptimizer]:
    """The class of an optimizer that steps an individual for each rule, on parameters of shape (individuals, ...).

    Slice i of every parameter is stepped as by an optimizer of rule i alone, bit for bit; rules that differ in numbers
    alone share launches. Raises ValueError where there is no rule, OptError on a bad one and on one that needs what a
    population has not: inputs, `applies to`, `evaluate` or states of 8 bits.
    """
    sources = list(sources)
    if not sources:
        raise ValueError("a population needs a rule")

    def made() -> tuple[str, str]:
        from ..dsl.algebra.simplify import simplify
        from .emit.population import NAME, emit_population

        return NAME, emit_population([simplify(rule_of(source)) for source in sources], target)

    found: type[population.PopulationOptimizer] = _class(kept.key_of("population", target, sources), made)
    return found


def load_briefly(rule: Rule) -> type[Loaded]:
    """The class of a checked rule that is one of many: it is kept nowhere, and gone with the last that uses it.

    It cannot be pickled, and has no shards, no options of precision and no checkpoints of torch's. Raises OptError.
    """
    from ..dsl.algebra.simplify import simplify
    from .emit.module import emit

    text = emit(simplify(rule), parts=("graphs", "native"))
    path = f"{rule.name}_{next(_serial)}.py"
    made: type[Loaded] = getattr(_in_memory(path, text), rule.name)
    weakref.finalize(made, linecache.cache.pop, path, None)
    return made


_serial = count()


def rule_of(source: str | Path | Rule) -> Rule:
    """The rule that a path, a text, a name or a rule stands for.

    A string is a path when it names a file or ends in `.opt`, and a rule of the zoo when it is the name of one, which
    no rule's text is. Raises OptError, and TypeError for anything else.
    """
    from ..dsl.load import rule_from_file, rule_from_text, zoo, zoo_names
    from ..dsl.rule import Rule

    if isinstance(source, Rule):
        return source
    if not isinstance(source, str | Path):
        raise TypeError(f"a rule is a path, a text, a name of the zoo or a checked rule, not {type(source).__name__}")
    if isinstance(source, Path) or ("\n" not in source and (source.endswith(".opt") or kept.is_file(source))):
        return rule_from_file(source)
    return zoo(source) if source in zoo_names() else rule_from_text(source)


def _class(key: str | None, make: Callable[[], tuple[str, str]]) -> Any:
    """The class that the cache has under a key, or one that is made: `make` gives its name and the module's text."""
    found = kept.find(key) if key is not None else None
    if found is not None and (module := _imported(found[0], None)) is not None:
        return getattr(module, found[1])
    from .plan.names import snake

    name, text = make()
    module_name = kept.module_name(snake(name), text)
    made = getattr(_imported(module_name, text), name)
    if key is not None:
        kept.keep(key, module_name, name)
    return made


def _imported(name: str, text: str | None) -> object:
    """The module of a name, with this text, or, without one, with what the cache has; None where it has nothing."""
    full = f"{loaded.__name__}.{name}"
    if full in sys.modules:
        return sys.modules[full]
    path = Path(loaded.__path__[0]) / f"{name}.py"
    there = kept.text_of(path)
    if there is None:
        if text is None:
            return None
        if not put_in_place(path, text.encode()):
            path = Path(tempfile.mkdtemp(prefix="optc-")) / path.name
            path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(full, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        exec(kept.code_of(path, there or text or ""), vars(module))
    except BaseException:  # an interrupt, too, leaves half a module behind, which the next load would take for whole
        del sys.modules[full]
        raise
    return module


def _in_memory(path: str, text: str) -> object:
    """A module that has neither a file nor, once it is whole, a place among the imported ones."""
    module = types.ModuleType(f"{__name__}.{Path(path).stem}")
    _show(path, text)
    sys.modules[module.__name__] = module  # where dataclasses look for their module's names
    try:
        for code in _codes(path, text):
            exec(code, vars(module))
    finally:
        del sys.modules[module.__name__]
    return module


def _codes(path: str, text: str) -> Iterator[types.CodeType]:
    """A module's code, section by section: most of it stands in every module, and is compiled once."""
    from .emit.parts import RUNTIME

    lines = 0
    for section in re.split(r"^(?=# -{64} )", text, flags=re.MULTILINE):
        title = section.partition("\n")[0].strip("# -")
        shared = title in RUNTIME.values()
        yield _shared(title, section) if shared else _compiled("\n" * lines + section, path)
        lines += section.count("\n")


@lru_cache(64)
def _shared(title: str, section: str) -> types.CodeType:
    name = f"{title} {next(_serial)}.py"
    _show(name, section)
    return _compiled(section, name)


def _compiled(text: str, path: str) -> types.CodeType:
    code: types.CodeType = compile(text, path, "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    return code


def _show(path: str, text: str) -> None:
    """Makes a text known by a name, to tracebacks, and to Triton, which reads its kernels there."""
    linecache.cache[path] = len(text), None, text.splitlines(keepends=True), path
