"""A rule's kernels to what they take of a GPU: registers, spills, widths of accesses, bytes moved beside what must be.

It reads the machine code, which needs no GPU. Of NVIDIA's architectures only.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..dsl.rule import Rule
from .plan.kept import Kept
from .plan.moved import floor, moved
from .target import Group, compile_kernel, kernels_of, target_of

THREADS = 128
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

    `spills` counts accesses to spilled registers, `local` and `shared` are bytes; `loads` and `stores` count the
    accesses to global memory by their width in bits. `bytes_moved` are those of accesses as vectors, by element of a
    whole piece, and `bytes_planned` those that the plan counts. `floor` is what one reading and one writing of all
    would move: the same for all passes of a rule.
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
    target = target_of(arch, "sass")
    return [k for group in kernels_of(rule, kept) for k in _of_group(group, arch, target, kept)]


def _of_group(group: Group, arch: str, target: Any, kept: Kept) -> Iterator[Kernel]:
    planned = moved(group.plan, group.passes, group.flags, kept)
    lowest = floor(group.plan, group.passes, group.flags, kept)
    for kernel, must in zip(group.kernels, planned, strict=True):
        made = compile_kernel(kernel, group.constants(kept), target)
        used = _resources(made.asm["cubin"])
        sass = made.asm["sass"]
        loads, stores = _widths(sass, "LDG"), _widths(sass, "STG")
        yield Kernel(
            kernel=kernel.__name__,
            dtype=kept.dtype,
            arch=arch,
            registers=used["REG"],
            spills=len(re.findall(r"\b(?:LDL|STL)\b", sass)),
            local=used["STACK"] + used["LOCAL"],
            shared=used["SHARED"],
            loads=loads,
            stores=stores,
            bytes_moved=THREADS * _bytes(made.asm["ptx"]) / ELEMENTS,
            bytes_planned=must.loads + must.stores,
            floor=lowest,
        )


def _widths(sass: str, operation: str) -> dict[int, int]:
    """How many accesses there are of each width in bits."""
    found = re.findall(rf"\b{operation}\.E((?:\.\w+)*)", sass)
    widths = [re.search(r"\.(?:U|S)?(8|16|64|128|256)\b", modifiers) for modifiers in found]
    return dict(sorted(Counter(32 if w is None else int(w[1]) for w in widths).items()))


def _bytes(ptx: str) -> int:
    """The bytes of a thread's accesses as vectors: all that tell of elements, since tables are read word by word."""
    found = re.findall(r"\b(?:ld|st)\.global[\w.:]*\.v(\d)\.b(\d+)", ptx)
    return sum(int(count) * int(bits) // 8 for count, bits in found)


def _resources(cubin: bytes) -> dict[str, int]:
    """What `cuobjdump` says that a kernel uses: REG, STACK, SHARED, LOCAL."""
    import triton

    tool = triton.knobs.nvidia.cuobjdump.path
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([tool, "-res-usage", str(path)], capture_output=True, text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"\b(REG|STACK|SHARED|LOCAL):(\d+)", done.stdout)}


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
