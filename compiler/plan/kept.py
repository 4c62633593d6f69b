"""How parameters and states are kept, for the compiler ahead of time: the dtypes that a kernel is compiled for.

What an optimizer finds out from its groups at run time, `runtime/precision.py` has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .plan import QUANTISED, Memory

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int16": 2, "int8": 1, "fp8": 1, "ufp8": 1}
"""Of an element; scales of codes count nothing."""

TRITON = {"fp8": "float8e4nv", "ufp8": "uint8"}
"""Triton's names, where they differ. Memory is bytes in either case."""

MASTERS = {None: None, "float32": "float32", "bits": "int16"}


@dataclass(frozen=True)
class Kept:
    """Parameters and gradients of one dtype, and the options of an optimizer of the same names."""

    dtype: str = "float32"
    state_dtype: str | None = None
    master: str | None = None
    rounding: str = "nearest"

    @property
    def arithmetic(self) -> str:
        return "float64" if self.dtype == "float64" else "float32"

    @property
    def master_dtype(self) -> str | None:
        """What lies beside a parameter of 16 bits."""
        return MASTERS[self.master] if BYTES[self.dtype] == 2 else None

    def state(self, memory: Memory) -> str:
        """The dtype of a state."""
        word = memory.dtype if self.state_dtype is None or memory.scope != "element" else self.state_dtype
        if word == "8bit":
            return "ufp8" if memory.nonnegative else "fp8"
        return {None: self.arithmetic, "like_param": self.dtype}.get(word, str(word))

    def coded(self, memories: Iterable[Memory]) -> bool:
        """Whether any state is kept as codes."""
        return any(self.state(m) in QUANTISED for m in memories)

    def parameter_bytes(self) -> int:
        return BYTES[self.dtype] + (BYTES[self.master_dtype] if self.master_dtype else 0)
