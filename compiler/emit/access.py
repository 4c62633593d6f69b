"""Prints how a kernel reads and writes one operand: `load` and `store`, the only places where memory is touched.

Knows nothing of where in memory the elements are; that comes as text.
"""

from __future__ import annotations

from ..plan.plan import Memory
from .layout import STEP


def load(name: str, memory: Memory | None, offset: str, mask: str, indent: str, source: str) -> list[str]:
    """`name` from `source_at + offset`, in the dtype of arithmetic. `memory` is its state, None for other operands."""
    cast = "" if memory is not None and memory.dtype == "float64" else ".to(compute)"
    lines = kept(memory, [f"{name} = tl.load({source}_at + {offset}{_masked(mask)}){cast}"], indent)
    if memory is not None and memory.flag is not None:
        lines += [f"{indent}else:", f"{indent}{STEP}{name} = theta  # not kept, so nothing reads it"]
    return lines


def store(name: str, value: str, memory: Memory | None, offset: str, mask: str, indent: str) -> list[str]:
    """`value`, in the dtype of arithmetic, to `name_at + offset`."""
    return kept(memory, [f"tl.store({name}_at + {offset}, {value}{_masked(mask)})"], indent)


def kept(memory: Memory | None, lines: list[str], indent: str) -> list[str]:
    """The lines, under the state's flag where it has one."""
    if memory is None or memory.flag is None:
        return [indent + line for line in lines]
    return [f"{indent}if {memory.flag}:", *(indent + STEP + line for line in lines)]


def _masked(mask: str) -> str:
    return f", mask={mask}" if mask else ""
