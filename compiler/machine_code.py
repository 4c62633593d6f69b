"""The code that Triton made for a GPU to what it takes: registers, spills, memory, accesses by their width."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = {"byte": 8, "short": 16, "dword": 32, "dwordx2": 64, "dwordx3": 96, "dwordx4": 128} | {
    f"{sign}{bits}": bits for sign in "iub" for bits in (8, 16, 32, 64, 96, 128)
}
"""What AMD calls accesses, and their bits."""


@dataclass(frozen=True)
class Used:
    """`local` and `shared` in bytes; accesses to global memory by their width in bits; a thread's bytes as vectors.

    Accesses as vectors are all that tell of elements, since tables are read word by word.
    """

    registers: int
    spills: int
    local: int
    shared: int
    loads: dict[int, int]
    stores: dict[int, int]
    vector_bytes: int


def used(asm: dict[str, Any], backend: str) -> Used:
    """What a compiled kernel takes, from its codes; the backend is Triton's name for the vendor's."""
    if backend == "cuda":
        return _of_nvidia(asm["sass"], asm["ptx"], asm["cubin"])
    return _of_amd(asm["amdgcn"], asm["llir"])


# ---------------------------------------------------------------- NVIDIA


def _of_nvidia(sass: str, ptx: str, cubin: bytes) -> Used:
    resources = _resources(cubin)
    vectors = re.findall(r"\b(?:ld|st)\.global[\w.:]*\.v(\d)\.b(\d+)", ptx)
    return Used(
        registers=resources["REG"],
        spills=len(re.findall(r"\b(?:LDL|STL)\b", sass)),
        local=resources["STACK"] + resources["LOCAL"],
        shared=resources["SHARED"],
        loads=_sass_widths(sass, "LDG"),
        stores=_sass_widths(sass, "STG"),
        vector_bytes=sum(int(count) * int(bits) // 8 for count, bits in vectors),
    )


def _sass_widths(sass: str, operation: str) -> dict[int, int]:
    found = re.findall(rf"\b{operation}\.E((?:\.\w+)*)", sass)
    widths = [re.search(r"\.(?:U|S)?(8|16|64|128|256)\b", modifiers) for modifiers in found]
    return _counted(32 if w is None else int(w[1]) for w in widths)


def _resources(cubin: bytes) -> dict[str, int]:
    """What `cuobjdump` says that a kernel uses: REG, STACK, SHARED, LOCAL."""
    import triton

    tool = triton.knobs.nvidia.cuobjdump.path
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([tool, "-res-usage", str(path)], capture_output=True, text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"\b(REG|STACK|SHARED|LOCAL):(\d+)", done.stdout)}


# ---------------------------------------------------------------- AMD


def _of_amd(amdgcn: str, llir: str) -> Used:
    says = {name: int(number) for name, number in re.findall(r"^ +(?:- )?\.(\w+): +(\d+)$", amdgcn, re.MULTILINE)}
    vectors = re.findall(r"\b(?:load|store) <(\d+) x (\w+)>.* ptr addrspace\(1\)", llir)
    vectors += re.findall(r" call .*@llvm\.amdgcn\.raw\.ptr\.buffer\.(?:load|store)\.v(\d+)(\w+)\(", llir)
    return Used(
        registers=says["vgpr_count"],
        spills=says["vgpr_spill_count"],  # scalars that do not fit go to lanes of vector registers, not to memory
        local=says["private_segment_fixed_size"],
        shared=says["group_segment_fixed_size"],
        loads=_amd_widths(amdgcn, "load"),
        stores=_amd_widths(amdgcn, "store"),
        vector_bytes=sum(int(count) * _bits(word) // 8 for count, word in vectors if int(count) > 1),
    )


def _amd_widths(amdgcn: str, operation: str) -> dict[int, int]:
    found = re.findall(rf"\b(?:buffer|global|flat)_{operation}_(?:d16_hi_|d16_)?([a-z]+\d*)", amdgcn)
    return _counted(WIDTHS.get(word) or WIDTHS[word[1:]] for word in found)  # `ubyte` and `sshort` have a sign


def _bits(word: str) -> int:
    """The size of a type of LLVM's."""
    return {"double": 64, "float": 32, "half": 16, "bfloat": 16}.get(word) or int(word.lstrip("bfi"))


def _counted(widths: Iterable[int]) -> dict[int, int]:
    return dict(sorted(Counter(widths).items()))
