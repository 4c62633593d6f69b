"""Triton's compiler, which is imported by the first launch: that takes longer than everything else before a step.

This file's text is part of each generated module that has a kernel.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code="no-untyped-call"

from __future__ import annotations

import builtins
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any

triton: Any = None
tl: Any = None
HAS_TRITON = find_spec("triton") is not None
MARKED: list[Any] = []


def jit(function: Any) -> Any:
    """Marks what Triton is to compile; None without Triton, and then torch does all the work."""
    MARKED.append(function)
    return Kernel(function) if HAS_TRITON else None


class Kernel:
    """A function of this module that Triton is to compile."""

    def __init__(self, function: Any) -> None:
        self.name, self.module = function.__name__, function.__globals__

    def __getitem__(self, grid: Any) -> Any:
        return self.compiled[grid]

    @cached_property
    def unfit(self) -> str:
        """Why Triton runs nothing on this machine's GPU, in words; empty where it does."""
        if not isinstance(self.compiled, triton.JITFunction):
            return "TRITON_INTERPRET=1 runs kernels on tensors of a CPU alone"
        try:  # the driver is C code that Triton compiles on this machine, as it does what launches a kernel
            import_module("triton.runtime").driver.active.get_current_device()
        except Exception as error:  # no GPU, no driver, no compiler: each vendor's part fails in its own way
            return f"{type(error).__name__}: {error}"
        return ""

    @property
    def compiled(self) -> Any:
        """Triton's function. All that are marked become Triton's at once, since they call each other."""
        if MARKED:
            found = import_module("triton")
            names = {function.__name__: found.jit(function) for function in MARKED}
            self.module.update(names, triton=found, tl=import_module("triton.language"))
            if not isinstance(names[self.name], found.JITFunction):
                self.module["range"] = interpreted_range
            MARKED.clear()
        return self.module[self.name]


def interpreted_range(*bounds: Any) -> Any:
    """Python's, for the arrays of one element that are numbers in Triton's interpreter: since numpy 2.4 these are no
    indices, which Triton minds up to 3.6.
    """
    return builtins.range(*(x if isinstance(x, int) else x.handle.data.item() for x in bounds))
