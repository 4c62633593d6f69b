"""C files of this folder → functions in this process, and tensors → what those take. Knows no layers."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

from torch import Tensor

from ...compiler.runtime import cc


def compiled(files: tuple[str, ...], *macros: str) -> cc.CompiledC:
    """The library of C files, behind the prelude that generated kernels have; compiled once, and kept on disk."""
    return cc.compiled_c(_source(files), macros)


@cache
def _source(files: tuple[str, ...]) -> str:
    prelude = Path(cc.__file__).parents[1] / "prelude" / "native.h"
    return "".join(path.read_text() for path in (prelude, *map(Path(__file__).with_name, files)))


def passed(argument: Tensor | float | None) -> object:
    """Counts are passed as int64, other numbers as float32, tensors as where they lie."""
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return argument if argument is None else ctypes.c_int64(argument)
