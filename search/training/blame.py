"""An exception in a training run to whose fault it was; nothing is raised or written here.

A rule's own fault costs its score. That of the machine, or of optc, would cost good rules theirs: the search stops.
"""

from __future__ import annotations

from traceback import walk_tb
from typing import Literal

Fault = Literal["rule", "machine", "optc"]

SLIPS = (
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
)
"""What a mistake in a program raises, and no rule that is checked."""

COMPILER = ("optc.compiler.", "optc.dsl.")
"""Modules that turn rules into steps; those that they generate are among them."""

STOPS: dict[Fault, str] = {
    "machine": "this machine cannot train: {reason}",
    "optc": "optc itself failed, which is a bug in it and not in the rule: {reason}\n\n{text}\n",
}
"""Why a search stops, by whose fault it is, from an outcome's reason and its rule's text."""


def fault_of(error: Exception) -> Fault:
    """The compiler's where one of its modules, or a library that it called, raised what only a mistake raises."""
    if isinstance(error, OSError):
        return "machine"
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    ours = [name for name in modules if name.startswith("optc.")]
    return "optc" if isinstance(error, SLIPS) and ours and ours[-1].startswith(COMPILER) else "rule"
