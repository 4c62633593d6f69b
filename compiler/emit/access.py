"""Prints how a kernel reads and writes one operand: the only places where memory is touched.

Knows nothing of where in memory the elements are; that comes as text, `at`, from the beginning of a tensor. Of a
parameter or a state that is walked in blocks memory may hold something else than numbers; `prelude/memory.py` knows it.
"""

from __future__ import annotations

from ..plan.homes import RESULT
from ..plan.plan import Memory
from .geometry import MASTER, scales
from .layout import STEP, wrapped

LEFT = "count - done"
"""The elements of a chunk from a block on."""


def load(name: str, memory: Memory | None, at: str, mask: str, indent: str, source: str) -> list[str]:
    """`name` from `source_at`, in the dtype of arithmetic. `memory` is its state, None for other operands."""
    cast = "" if memory is not None and memory.dtype == "float64" else ".to(compute)"
    head, inner = kept(memory, indent)
    return [*head, f"{inner}{name} = {_load(f'{source}_at', at, mask)}{cast}", *_absent(memory, indent)]


def load_parameter(at: str, mask: str, indent: str) -> list[str]:
    args = [f"theta_at + {at}", f"{MASTER}_at + {at}", mask or "None", "compute"]
    return wrapped("theta = block_parameter", args, "", indent)


def load_state(memory: Memory, at: str, mask: str, indent: str) -> list[str]:
    name, (head, inner) = memory.name, kept(memory, indent)
    args = [_load(f"{name}_at", at, mask), f"{name}_type", scales(memory), "place", LEFT, "compute"]
    return [*head, *wrapped(f"{name} = block_state", args, "", inner), *_absent(memory, indent)]


def store(name: str, value: str, memory: Memory | None, at: str, mask: str, indent: str) -> list[str]:
    """`value`, in the dtype of arithmetic or in that of memory, to `name_at`."""
    head, inner = kept(memory, indent)
    return [*head, f"{inner}tl.store({name}_at + {at}, {value}{_masked(mask)})"]


def store_parameter(at: str, mask: str, indent: str) -> list[str]:
    args = [RESULT, "theta_type", f"{MASTER}_type", f"{MASTER}_at + {at}", mask or "None"]
    args += ["place", "at", "key", "dithered"]
    lines = wrapped(f"{RESULT} = block_parameter_kept", args, "", indent)
    return [*lines, *store("theta", RESULT, None, at, mask, indent)]


def store_state(memory: Memory, stream: int, at: str, mask: str, indent: str) -> list[str]:
    """What lies behind the mask is 0 in a block of codes, so that it is never the largest."""
    name, (head, inner) = memory.name, kept(memory, indent)
    args = [f"tl.where({mask}, {name}, 0.0)" if mask else name, f"{name}_type", "compute", scales(memory)]
    args += ["place", "at", LEFT, "key", str(stream), "dithered"]
    lines = wrapped(f"{name} = block_state_kept", args, "", inner)
    return [*head, *lines, *store(name, name, None, at, mask, inner)]


def store_rounded(name: str, memory: Memory | None, stream: int, at: str, mask: str, indent: str) -> list[str]:
    """A result that is kept as a number: the parameter's, of no memory, or a state's."""
    target, (head, inner) = "theta" if memory is None else name, kept(memory, indent)
    value = f"block_rounded({name}, {target}_type, 0, {at}, key, {stream}, dithered)"
    args = [f"{target}_at + {at}", value, *([f"mask={mask}"] if mask else [])]
    return [*head, *wrapped("tl.store", args, "", inner)]


def kept(memory: Memory | None, indent: str) -> tuple[list[str], str]:
    """The line of the state's flag, where it has one, and the indent of what stands under it."""
    if memory is None or memory.flag is None:
        return [], indent
    return [f"{indent}if {memory.flag}:"], indent + STEP


def _absent(memory: Memory | None, indent: str) -> list[str]:
    if memory is None or memory.flag is None:
        return []
    return [f"{indent}else:", f"{indent}{STEP}{memory.name} = theta  # not kept, so nothing reads it"]


def _load(pointer: str, at: str, mask: str) -> str:
    return f"tl.load({pointer} + {at}{_masked(mask)})"


def _masked(mask: str) -> str:
    return f", mask={mask}" if mask else ""
