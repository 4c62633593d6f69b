"""Assembles a plan's functions, the helpers that they call and the shared runtime into one Python file of its own."""

from __future__ import annotations

from typing import Literal

from .. import __version__
from ..dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ..dsl.format import file_of, format_file
from ..dsl.rule import Rule
from .emit_class import emit_class, emit_program
from .emit_scalars import emit_condition, emit_flags, emit_scalars
from .emit_torch import emit_torch
from .emit_triton import TABLES, emit_kernel, emit_update, refusal
from .inline import imports, needed, source
from .layout import docstring
from .lower import lower
from .names import Names
from .plan import Plan

Target = Literal["auto", "triton", "torch"]
HELPERS = ("prelude_scalars.py", "prelude_torch.py", "prelude_triton.py")
RUNTIME = {
    "runtime_rule.py": "what a rule is made of",
    "runtime_work.py": "what there is to do in one step",
    "runtime_blocks.py": "blocks that suit a CPU",
    "runtime_torch.py": "running it by torch",
    "runtime_triton.py": "running it by Triton",
    "runtime.py": "what every optimizer does",
}
FUNCTIONS = ("scalars", "flags", "serves", "update", "block", "kernel", "initial", "evaluate", "jit")
IN_KERNEL = (*TABLES, "chunk", "tensor", "key", "start", "row", "at", "mask", "compute", "BLOCK")

TRY_TRITON = """
try:
    import triton
    import triton.language as tl
except ImportError:  # then torch does all the work
    triton = None


def jit(function: Any) -> Any:
    return function if triton is None else triton.jit(function)
""".strip()


def reserved() -> frozenset[str]:
    """The identifiers that every generated module needs for itself."""
    return frozenset({*FUNCTIONS, *IN_KERNEL}).union(*(source(f).names for f in (*HELPERS, *RUNTIME)))


def emit(rule: Rule, target: Target = "auto") -> str:
    """The source of the module for a simplified rule.

    Raises OptError where the target is "triton" and the rule has no kernel.
    """
    plan = lower(rule, reserved())
    why_not = refusal(plan)
    if target == "triton" and why_not is not None:
        help = "--target auto or torch runs it by torch operations"
        raise OptError(Diagnostic("E403", f"`{rule.name}`: {why_not}", NOWHERE, help=help))
    kernel = target != "torch" and why_not is None
    body = _body(plan, kernel)
    made = f"{plan.name}: an optimizer made by optc {__version__} from the rule below. Edit the rule, not this file."
    head = [*docstring(f"{made}\n\n{format_file(file_of(rule)).strip()}"), "", "from __future__ import annotations", ""]
    head += imports((*HELPERS, *RUNTIME), body)
    return "\n".join(head) + (f"\n\n{TRY_TRITON}\n" if kernel else "") + f"\n\n{body}\n"


def _body(plan: Plan, kernel: bool) -> str:
    plans = [("", plan)] if plan.fallback is None else [("", plan), ("otherwise_", plan.fallback)]
    names = Names(reserved())
    runtime = [f for f in RUNTIME if kernel or f != "runtime_triton.py"]
    programs = [emit_program(p, prefix, kernel and not prefix) for prefix, p in plans]
    sections = [
        _section("the rule's numbers: float64, on the host", [t for p in plans for t in _host(*p)], HELPERS[0]),
        _section("the rule by torch", [t for p in plans for t in _torch(*p, names)], HELPERS[1]),
        _section("the rule by Triton", _triton(plan, names) if kernel else [], HELPERS[2]).replace(
            "@triton.jit", "@jit"
        ),
        *(_title(RUNTIME[f]) + source(f).body for f in runtime),
        _title("the optimizer") + "\n\n\n".join([*programs, emit_class(plan, kernel)]),
    ]
    return "\n\n\n".join(s for s in sections if s)


def _host(prefix: str, plan: Plan) -> list[list[str]]:
    out = [emit_scalars(plan, plan.step, f"{prefix}scalars")]
    out += [emit_flags(plan, f"{prefix}flags")] if plan.flags else []
    out += [emit_scalars(plan, plan.initial, f"{prefix}initial_scalars")] if plan.initial else []
    out += [emit_scalars(plan, plan.evaluate, f"{prefix}evaluate_scalars")] if plan.evaluate else []
    return out + ([emit_condition(plan, f"{prefix}serves", plan.serves)] if plan.serves is not None else [])


def _torch(prefix: str, plan: Plan, names: Names) -> list[list[str]]:
    out = [emit_torch(plan, plan.step, f"{prefix}update", "The rule, on one tensor.", names)]
    if plan.initial:
        out.append(emit_torch(plan, plan.initial, f"{prefix}initial", "What states hold before step 1.", names))
    if plan.evaluate:
        out.append(emit_torch(plan, plan.evaluate, f"{prefix}evaluate", "What evaluation sees.", names))
    return out


def _triton(plan: Plan, names: Names) -> list[list[str]]:
    return [emit_update(plan, "block", names), emit_kernel(plan, "kernel", "block")]


def _title(words: str) -> str:
    return f"# {'-' * 64} {words}\n\n\n"


def _section(words: str, functions: list[list[str]], helpers: str) -> str:
    """Functions under a title, after the helpers that they call."""
    texts = ["\n".join(lines) for lines in functions]
    if not texts:
        return ""
    return _title(words) + "\n\n\n".join([*needed(helpers, "\n\n".join(texts)), *texts])
