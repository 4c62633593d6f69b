"""A rule to the code of a GPU that need not be there: Triton's compiler, ahead of time. Runs no kernel."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ..dsl.rule import Rule
from .lower import lower
from .module import reserved
from .plan import Plan

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class Architecture:
    """A GPU by the name that its vendor's compiler knows."""

    name: str

    @property
    def target(self) -> Any:
        """Triton's name for it. Raises OptError where there is none."""
        from triton.backends.compiler import GPUTarget

        if match := re.fullmatch(r"sm_(\d{2,3})[a-z]?", self.name):
            return GPUTarget("cuda", int(match[1]), 32)
        help_ = "NVIDIA's are sm_80, sm_90, sm_100"
        raise OptError(Diagnostic("E404", f"unknown architecture `{self.name}`", NOWHERE, help=help_))


def ptx(rule: Rule, arch: str, dtype: str = "float32") -> str:
    """The PTX of a simplified rule's kernel, for parameters and gradients of one dtype.

    States have their declared dtypes, flags the values that the rule's defaults give them for a matrix. No GPU is
    needed. Raises OptError for an unknown architecture or a rule that has no kernel.
    """
    target = Architecture(arch).target
    from .load import load

    module = sys.modules[load(rule, target="triton").__module__]
    compiled = compile_kernel(module, lower(rule, reserved()), dtype, target)
    text: str = compiled.asm["ptx"]
    return text


def compile_kernel(module: ModuleType, plan: Plan, dtype: str, target: Any) -> Any:
    """Triton's compiled kernel of a generated module, for parameters and gradients of one dtype."""
    import triton
    import triton.language as tl
    from triton.compiler import ASTSource

    constants = _constants(module, plan, dtype, tl)
    signature = {"addresses": "*i64", "chunks": "*i64", "scalars": "*fp64", **dict.fromkeys(constants, "constexpr")}
    aligned: Any = {(i,): [["tt.divisibility", 16]] for i in range(3)}
    source = ASTSource(module.kernel, signature, constants, aligned)
    return triton.compile(source, target=target, options={"num_warps": 4, "enable_fp_fusion": False})


def _constants(module: ModuleType, plan: Plan, dtype: str, tl: Any) -> dict[str, Any]:
    arithmetic = "float64" if dtype == "float64" else "float32"
    stored = {m.name: {None: arithmetic, "like_param": dtype}.get(m.dtype, m.dtype) for m in plan.memories}
    constants = {f"{x}_type": getattr(tl, str(stored.get(x, dtype))) for x in plan.step.inputs}
    constants |= {"compute": getattr(tl, arithmetic), "maximize": False}
    if plan.flags:
        settings = [h.default for h in module.PROGRAM.hyperparameters]
        constants |= dict(
            zip((f.name for f in plan.flags), module.flags(*settings, 2, 1024, 1024, 1024**2), strict=True)
        )
    return {**constants, "BLOCK": module.BLOCK}
