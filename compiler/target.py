"""A rule to the code of a GPU that need not be there: Triton's compiler, ahead of time. Runs no kernel."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ..dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ..dsl.rule import Rule
from .lower import lower
from .module import reserved
from .plan import Plan

NVIDIA = (75, 80, 86, 87, 89, 90, 100, 103, 120)
AMD = {"gfx90a": 64, "gfx942": 64, "gfx950": 64, "gfx1100": 32, "gfx1200": 32}
"""Architectures and the size of their wavefronts."""

KINDS = {"ttir": "any", "ptx": "cuda", "sass": "cuda", "cubin": "cuda", "amdgcn": "hip", "hsaco": "hip"}
"""What can be asked for, and of which vendor's architectures; cubin and hsaco are bytes."""

TABLES = {"addresses": "*i64", "work": "*i64", "bounds": "*i64", "keys": "*i64"}
"""Tables of integers; all others are float64."""


def target_of(arch: str, kind: str) -> Any:
    """Triton's name for an architecture. Raises OptError for an unknown one, or one that has no such code."""
    from triton.backends.compiler import GPUTarget

    if arch in AMD:
        target = GPUTarget("hip", arch, AMD[arch])
    elif arch.removeprefix("sm_") in {str(n) for n in NVIDIA} and arch.startswith("sm_"):
        target = GPUTarget("cuda", int(arch.removeprefix("sm_")), 32)
    else:
        help = f"it may be sm_{', sm_'.join(map(str, NVIDIA))} or {', '.join(AMD)}"
        raise OptError(Diagnostic("E404", f"unknown architecture `{arch}`", NOWHERE, help=help))
    if KINDS[kind] not in ("any", target.backend):
        wanted = ", ".join(k for k, vendor in KINDS.items() if vendor in ("any", target.backend))
        raise OptError(Diagnostic("E404", f"there is no {kind} for `{arch}`", NOWHERE, help=f"ask for {wanted}"))
    return target


def assemble(rule: Rule, kind: str, arch: str, dtype: str = "float32") -> str | bytes:
    """The code of a simplified rule's kernels, one after the other, for parameters and gradients of one dtype.

    States have their declared dtypes, flags the values that the rule's defaults give them for a matrix. No GPU is
    needed. Raises OptError for an unknown architecture or a rule that has no kernel.
    """
    from .load import load

    target = target_of(arch, kind)
    module = sys.modules[load(rule, target="triton").__module__]
    plan = lower(rule, reserved())
    kernels = [*(kernel for kernel, _ in module.PROGRAM.measures), module.PROGRAM.kernel]
    parts = [compile_kernel(kernel, constants_of(module, plan, dtype), target).asm[kind] for kernel in kernels]
    return "\n".join(parts) if isinstance(parts[0], str) else b"".join(parts)


def compile_kernel(kernel: Any, constants: dict[str, Any], target: Any) -> Any:
    """A kernel of a generated module as Triton compiles it, its tables aligned as torch aligns memory."""
    import triton
    from triton.compiler import ASTSource

    tables = [name for name in kernel.arg_names if name not in constants]
    types = {name: "constexpr" if name in constants else TABLES.get(name, "*fp64") for name in kernel.arg_names}
    aligned: Any = {(i,): [["tt.divisibility", 16]] for i in range(len(tables))}
    source = ASTSource(kernel, types, constants, aligned)
    return triton.compile(source, target=target, options={"num_warps": 4, "enable_fp_fusion": False})


def constants_of(module: ModuleType, plan: Plan, dtype: str) -> dict[str, Any]:
    """The kernel's compile-time arguments by name."""
    import triton.language as tl

    arithmetic = "float64" if dtype == "float64" else "float32"
    stored = {m.name: {None: arithmetic, "like_param": dtype}.get(m.dtype, m.dtype) for m in plan.memories}
    constants = {f"{x}_type": getattr(tl, str(stored.get(x, dtype))) for x in plan.step.inputs}
    constants |= {"compute": getattr(tl, arithmetic), "maximize": False}
    tiled = module.PROGRAM.tiled is not None
    constants |= {"MATRICES": 1, "ROWS": 16, "COLS": 64} if tiled else {"BLOCK": module.BLOCK}
    constants |= {"dithered": False} if plan.elementwise else {}
    if plan.flags:
        settings = [1.0 if p.default is None else p.default for p, _ in plan.params]
        values = module.flags(*settings, 2, 1024, 1024, 1024**2)
        constants |= dict(zip((f.name for f in plan.flags), values, strict=True))
    return constants
