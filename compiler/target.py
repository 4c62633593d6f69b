"""A rule to the code of a GPU that need not be there: Triton's compiler, ahead of time. Runs no kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ..dsl.rule import Rule
from .emit.geometry import MASTER
from .emit.module import reserved
from .emit.triton import fuse
from .plan.kept import TRITON, Kept
from .plan.lower import lower
from .plan.passes import Passes
from .plan.plan import Plan

NVIDIA = (75, 80, 86, 87, 89, 90, 100, 103, 120)
AMD = {"gfx90a": 64, "gfx942": 64, "gfx950": 64, "gfx1100": 32, "gfx1200": 32}
"""Architectures and the size of their wavefronts."""

WARPS = 4
"""Of a program of the grid."""

KINDS = {"ttir": "any", "ptx": "cuda", "sass": "cuda", "cubin": "cuda", "amdgcn": "hip", "hsaco": "hip"}
"""What can be asked for, and of which vendor's architectures; cubin and hsaco are bytes."""

TABLES = {"addresses": "*i64", "work": "*i64", "bounds": "*i64", "keys": "*i64"}
"""Tables of integers; all others are float64."""

MATRIX = (2, 1024, 1024, 1024**2)
"""Axes, rows, columns and elements of the parameter that flags are decided for."""

TILE = {"MATRICES": 1, "ROWS": 16, "COLS": 64}
"""The tiles of such a parameter."""


def target_of(arch: str, kind: str) -> Any:
    """Triton's name for an architecture.

    Raises OptError for an unknown one, for one that has no such code, and where Triton was told to compile nothing.
    """
    from triton import knobs
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
    if knobs.runtime.interpret:
        message = "with TRITON_INTERPRET in the environment Triton compiles nothing"
        raise OptError(Diagnostic("E404", message, NOWHERE, help="take it out: `env -u TRITON_INTERPRET optc ...`"))
    return target


def assemble(rule: Rule, kind: str, arch: str, kept: Kept) -> str | bytes:
    """The code of a simplified rule's kernels, one after the other, for what is kept in one way.

    Flags have the values that the rule's defaults give them for a matrix. No GPU is needed. Raises OptError for an
    unknown architecture or a rule that has no kernel.
    """
    target = target_of(arch, kind)
    parts = [
        compile_kernel(kernel, group.constants(kept), target).asm[kind]
        for group in kernels_of(rule, kept)
        for kernel in group.kernels
    ]
    return "\n".join(parts) if isinstance(parts[0], str) else b"".join(parts)


@dataclass(frozen=True)
class Group:
    """The kernels of one program of a generated module: those that measure, and the one that steps."""

    module: ModuleType
    program: Any
    plan: Plan
    passes: Passes
    flags: dict[str, Any]

    @property
    def kernels(self) -> list[Any]:
        measures = getattr(self.program, "measures", ())  # which modules do without whose rules measure nothing
        return [kernel.compiled for kernel in (*(each for each, _ in measures), self.program.kernel)]

    def constants(self, kept: Kept) -> dict[str, Any]:
        """A kernel's compile-time arguments by name."""
        import triton.language as tl

        types = dict.fromkeys(self.plan.step.inputs, kept.dtype) | {m.name: kept.state(m) for m in self.plan.memories}
        types |= {MASTER: kept.master_dtype or kept.dtype}
        constants = {f"{x}_type": getattr(tl, TRITON.get(word, word)) for x, word in types.items()}
        constants |= {"compute": getattr(tl, kept.arithmetic), "maximize": False, **self.flags}
        constants["dithered"] = kept.rounding == "stochastic"
        return constants | (TILE if self.passes.tiled else {"BLOCK": self.module.BLOCK})


def kernels_of(rule: Rule, kept: Kept) -> Iterator[Group]:
    """All kernels of a simplified rule, and of the rule for the parameters that it does not serve.

    Raises OptError for a rule that has no kernel, or none that can read what is kept.
    """
    from .load import load

    module = sys.modules[load(rule, target="triton").__module__]
    plan: Plan | None = lower(rule, reserved())
    prefix = ""
    while plan is not None:
        settings = [1.0 if p.default is None else p.default for p, _ in plan.params]
        values = getattr(module, f"{prefix}flags")(*settings, *MATRIX) if plan.flags else ()
        flags = dict(zip((f.name for f in plan.flags), values, strict=True))
        fused = fuse(plan)
        for part, (own, passes) in fused.passes.items():
            if (passes.tiled or fused.parts is not None) and (kept.master or kept.coded(plan.memories)):
                message = f"`{rule.name}`: its kernels work on matrices, and have neither masters nor codes of 8 bits"
                raise OptError(Diagnostic("E403", message, NOWHERE, help="an optimizer converts them around the step"))
            yield Group(module, getattr(module, f"{prefix}{part}program".upper()), own, passes, flags)
        plan, prefix = plan.fallback, f"{prefix}otherwise_"


def compile_kernel(kernel: Any, constants: dict[str, Any], target: Any) -> Any:
    """A kernel of a generated module as Triton compiles it, its tables aligned as torch aligns memory."""
    import triton
    from triton.compiler import ASTSource

    tables = [name for name in kernel.arg_names if name not in constants]
    types = {name: "constexpr" if name in constants else TABLES.get(name, "*fp64") for name in kernel.arg_names}
    aligned: Any = {(i,): [["tt.divisibility", 16]] for i in range(len(tables))}
    source = ASTSource(kernel, types, constants, aligned)
    return triton.compile(source, target=target, options={"num_warps": WARPS, "enable_fp_fusion": False})
