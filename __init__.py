"""optc: a language for deep-learning optimizers, its compiler, and a search that breeds new ones.

import optc

Evolved = optc.load("evolved.opt")
optimizer = Evolved(model.parameters(), total=10_000)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiler.load import load as load
    from .compiler.load import load_population as load_population
    from .dsl.algebra.canonical import canonical as canonical
    from .dsl.algebra.simplify import simplify as simplify
    from .dsl.diagnostics import OptError as OptError
    from .dsl.load import rule_from_file as rule_from_file
    from .dsl.load import rule_from_text as rule_from_text
    from .dsl.load import zoo as zoo

__version__ = "0.1.0"

_HOMES = {
    "load": ".compiler.load",
    "load_population": ".compiler.load",
    "OptError": ".dsl.diagnostics",
    "rule_from_file": ".dsl.load",
    "rule_from_text": ".dsl.load",
    "zoo": ".dsl.load",
    "simplify": ".dsl.algebra.simplify",
    "canonical": ".dsl.algebra.canonical",
}
"""Where the public names live. Each is imported when it is first used, so that `import optc` costs nothing."""

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
