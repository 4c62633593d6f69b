"""A rule's kernels to what they take of a GPU: registers, spills, widths of accesses, bytes moved beside what must be.

It reads the machine code, which needs no GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..dsl.rule import Rule
from .machine_code import used
from .plan.kept import Kept
from .plan.moved import floor, moved
from .target import WARPS, Group, compile_kernel, kernels_of, target_of

ELEMENTS = 1024
"""Of a program of the grid, at once."""

COLUMNS = (
    ("kernel", "kernel"),
    ("registers", "registers"),
    ("spills", "spills"),
    ("local", "local bytes"),
    ("shared", "shared bytes"),
    ("wide", "128-bit"),
    ("bytes_moved", "bytes/element"),
    ("bytes_planned", "planned"),
)


@dataclass(frozen=True)
class Kernel:
    """One kernel for one dtype.

    `spills` counts accesses to spilled registers, for AMD the vector registers themselves; `local` and `shared` are
    bytes; `loads` and `stores` count the accesses to global memory by their width in bits. `bytes_moved` are those of
    accesses as vectors, by element of a whole piece, and `bytes_planned` those that the plan counts. `floor` is what
    one reading and one writing of all would move: the same for all passes of a rule.
    """

    kernel: str
    dtype: str
    arch: str
    registers: int
    spills: int
    local: int
    shared: int
    loads: dict[int, int]
    stores: dict[int, int]
    bytes_moved: float
    bytes_planned: float
    floor: float

    @property
    def wide(self) -> int:
        return self.loads.get(128, 0) + self.stores.get(128, 0)


def report(rule: Rule, arch: str, kept: Kept) -> list[Kernel]:
    """Every kernel of a simplified rule. Raises OptError for an unknown architecture or a rule without a kernel."""
    target = target_of(arch, "ttir")
    return [k for group in kernels_of(rule, kept) for k in _of_group(group, arch, target, kept)]


def _of_group(group: Group, arch: str, target: Any, kept: Kept) -> Iterator[Kernel]:
    planned = moved(group.plan, group.passes, group.flags, kept)
    lowest = floor(group.plan, group.passes, group.flags, kept)
    for kernel, must in zip(group.kernels, planned, strict=True):
        asm = compile_kernel(kernel, group.constants(kept), target).asm
        takes = used(asm, target.backend)
        yield Kernel(
            kernel=kernel.__name__,
            dtype=kept.dtype,
            arch=arch,
            registers=takes.registers,
            spills=takes.spills,
            local=takes.local,
            shared=takes.shared,
            loads=takes.loads,
            stores=takes.stores,
            bytes_moved=WARPS * target.warp_size * takes.vector_bytes / ELEMENTS,
            bytes_planned=must.loads + must.stores,
            floor=lowest,
        )


def table(kernels: list[Kernel]) -> str:
    """A report as text, a line for each kernel and dtype."""
    heads = [*(head for _, head in COLUMNS), "floor of the step"]
    names = [name for name, _ in COLUMNS[1:]] + ["floor"]
    rows = [[f"{k.kernel} {k.dtype}", *(f"{getattr(k, name):g}" for name in names)] for k in kernels]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [[heads[0].ljust(widths[0]), *(h.rjust(w) for h, w in zip(heads[1:], widths[1:], strict=True))]]
    lines += [[r[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(r[1:], widths[1:], strict=True))] for r in rows]
    return "\n".join("  ".join(line) for line in lines)


def as_json(kernels: list[Kernel]) -> list[dict[str, Any]]:
    return [asdict(k) for k in kernels]
