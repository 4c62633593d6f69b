"""Assembles a plan's functions, the helpers that they call and the shared runtime into one Python file of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from ... import __version__
from ...dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ...dsl.rule import Rule
from ...dsl.text.format import file_of, format_file
from ..plan.lower import lower
from ..plan.names import Names, snake
from ..plan.passes import Passes
from ..plan.plan import Plan, identifiers
from .geometry import WORDS
from .inline import imports, needed, source
from .kernel import FACTS, KEYS, PARTIALS, emit_kernel, emit_measure
from .layout import docstring
from .live import emit_live
from .native import emit_native, has_native
from .optimizer_class import emit_class, emit_program
from .scalars import emit_condition, emit_flags, emit_scalars
from .torch import emit_torch
from .triton import Fused, emit_block, emit_terms, fuse, refusal

Target = Literal["auto", "triton", "torch"]
HELPERS = ("prelude/scalars.py", "prelude/torch.py", "prelude/triton.py", "prelude/live.py")
RUNTIME = {
    "runtime/dtensor.py": "tensors sharded over processes",
    "runtime/groups.py": "groups that know torch's names",
    "runtime/checkpoints.py": "what torch's own optimizers save",
    "runtime/rule.py": "what a rule is made of",
    "runtime/rounding.py": "rounding at random",
    "runtime/quantised.py": "states of one byte an element",
    "runtime/master.py": "parameters of 16 bits, and what they are the rounding of",
    "runtime/work.py": "what there is to do in one step",
    "runtime/live.py": "a step's numbers on the device",
    "../dsl/cache.py": "where finished things are kept",
    "runtime/cc.py": "a C compiler",
    "runtime/look.py": "many tensors at one look",
    "runtime/count.py": "counts of steps",
    "runtime/round.py": "a step's work, kept until the next",
    "runtime/shards.py": "steps of sharded tensors",
    "runtime/blocks.py": "blocks that suit a CPU",
    "runtime/torch.py": "running it by torch",
    "runtime/native.py": "running it as native code",
    "runtime/tables.py": "tables on their way to a GPU",
    "runtime/triton.py": "running it by Triton",
    "runtime/reduced.py": "rules with reductions",
    "runtime/tiles.py": "rules with rows and columns",
    "runtime/split.py": "rules with matrix operations",
    "runtime/memory.py": "numbers around a step",
    "runtime/optimizer.py": "what every optimizer does",
    "runtime/precision.py": "how precisely it keeps parameters and states",
    "runtime/each.py": "a value for each individual",
    "runtime/population.py": "many individuals at once",
}
FUNCTIONS = (
    *("scalars", "live_scalars", "flags", "serves", "update", "block", "kernel", "initial", "evaluate"),
    *("region", "jit", "C_SOURCE"),
)
IN_KERNEL = (*WORDS, *FACTS, PARTIALS, KEYS, "dithered", "partial", "fact", "result", "key", "row", "compute")

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

    Raises OptError where the target is "triton" and the rule has no kernel, and for a name that the module needs.
    """
    taken = reserved()
    if rule.name in taken:
        message = f"`{rule.name}` cannot be the name of a class: the module that it lives in has one of that name"
        raise OptError(Diagnostic("E104", message, NOWHERE, help="choose another name after `optimizer`"))
    plan = lower(rule, taken)
    plans = {"": plan} if plan.fallback is None else {"": plan, "otherwise_": plan.fallback}
    reasons = [r for p in plans.values() if (r := refusal(p)) is not None]
    if target == "triton" and reasons:
        help = "--target auto or torch runs it by torch operations"
        raise OptError(Diagnostic("E403", f"`{rule.name}`: {reasons[0]}", NOWHERE, help=help))
    fused = {} if target == "torch" else {prefix: fuse(p) for prefix, p in plans.items() if refusal(p) is None}
    runtime = runtime_for(plans, fused)
    keys = {"otherwise_": f"{snake(plan.fallback.name)}_"} if plan.fallback is not None else {}
    programs = [emit_program(p, prefix, fused.get(prefix), keys.get(prefix, "")) for prefix, p in plans.items()]
    body = module_body(plans, fused, runtime, [*programs, emit_class(plan, bool(fused))])
    made = f"{plan.name}: an optimizer made by optc {__version__} from the rule below. Edit the rule, not this file."
    return module_text(f"{made}\n\n{format_file(file_of(rule)).strip()}", runtime, body)


def module_text(about: str, runtime: list[str], body: str) -> str:
    """The whole file: what it says of itself, its imports, and the rest."""
    head = [*docstring(about), "", "from __future__ import annotations", "", *imports((*HELPERS, *runtime), body)]
    tries = f"\n\n{TRY_TRITON}\n" if "runtime/triton.py" in runtime else ""
    return "\n".join(head) + tries + f"\n\n{body}\n"


def runtime_for(plans: dict[str, Plan], fused: dict[str, Fused]) -> list[str]:
    """The files of the runtime that a module needs, in their order."""
    passes = [those for f in fused.values() for those in f.passes.values()]
    eager = not any(has_native(p) for p in plans.values())
    spared = {
        "runtime/native.py": eager,
        "runtime/tables.py": not fused,
        "runtime/triton.py": not fused,
        "runtime/reduced.py": all(plan.elementwise for plan, _ in passes),
        "runtime/tiles.py": not any(those.tiled for _, those in passes),
        "runtime/split.py": not any(f.parts for f in fused.values()),
        "runtime/each.py": True,
        "runtime/population.py": True,
    }
    return [f for f in RUNTIME if not spared.get(f)]


def module_body(
    plans: dict[str, Plan],
    fused: dict[str, Fused],
    runtime: list[str],
    ends: list[str],
    like: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Everything after the imports; `ends` are its last parts. `fused` has the kernels of plans, by their prefix.

    `like` says which plans are another's but for numbers: the functions on tensors are the other's, and are there once.
    """
    names = Names(reserved() | {x for p in plans.values() for x in identifiers(p)})
    own = {prefix: plan for prefix, plan in plans.items() if prefix not in like}
    live = [emit_live(plan, f"{prefix}live_scalars", names) for prefix, plan in plans.items()]
    torch = [t for prefix, p in own.items() for t in _torch(prefix, p, fused.get(prefix), names)]
    kernels = [
        t
        for prefix, f in fused.items()
        if prefix in own
        for part, those in f.passes.items()
        for t in _triton(prefix + part, *those, names)
    ]
    sections = [
        _section("the rule's numbers: float64, on the host", [t for p in plans.items() for t in _host(*p)], HELPERS[0]),
        _section("the rule by torch", [*live, *torch], HELPERS[3], HELPERS[1]),
        _section("the rule in C", [_c(*p) for p in own.items() if has_native(p[1])]),
        _section("the rule by Triton", kernels, HELPERS[2]),
        *(_title(RUNTIME[f]) + source(f).body for f in runtime),
        _title("the optimizer") + "\n\n\n".join(ends),
    ]
    return re.sub(r"^@triton\.jit$", "@jit", "\n\n\n".join(s for s in sections if s), flags=re.MULTILINE)


def _host(prefix: str, plan: Plan) -> list[list[str]]:
    out = [emit_scalars(plan, plan.step, f"{prefix}scalars")]
    out += [emit_flags(plan, f"{prefix}flags")] if plan.flags else []
    out += [emit_scalars(plan, plan.initial, f"{prefix}initial_scalars")] if plan.initial else []
    out += [emit_scalars(plan, plan.evaluate, f"{prefix}evaluate_scalars")] if plan.evaluate else []
    return out + ([emit_condition(plan, f"{prefix}serves", plan.serves)] if plan.serves is not None else [])


def _torch(prefix: str, plan: Plan, fused: Fused | None, names: Names) -> list[list[str]]:
    out = [emit_torch(plan, plan.step, f"{prefix}update", "The rule, on one tensor.", names)]
    if fused is not None and fused.parts is not None:
        doc = "What is between the first and the last matrix operation, on one tensor."
        out.append(emit_torch(plan, fused.parts.region, f"{prefix}region", doc, names))
    if plan.initial:
        out.append(emit_torch(plan, plan.initial, f"{prefix}initial", "What states hold before step 1.", names))
    if plan.evaluate:
        out.append(emit_torch(plan, plan.evaluate, f"{prefix}evaluate", "What evaluation sees.", names))
    return out


def _c(prefix: str, plan: Plan) -> list[str]:
    return [f'{prefix.upper()}C_SOURCE = r"""', *emit_native(plan).splitlines(), '"""']


def _triton(prefix: str, plan: Plan, passes: Passes, names: Names) -> list[list[str]]:
    block, kernel = f"{prefix}block", f"{prefix}kernel"
    out: list[list[str]] = []
    for i, measure in enumerate(passes.measures, 1):
        terms = f"{prefix}terms{i}"
        out.append(emit_terms(plan, passes, measure, terms, names))
        out.append(emit_measure(plan, passes, measure, f"{prefix}measure{i}", terms))
    return [*out, emit_block(plan, passes, block, names), emit_kernel(plan, passes, kernel, block)]


def _title(words: str) -> str:
    return f"# {'-' * 64} {words}\n\n\n"


def _section(words: str, functions: list[list[str]], *helpers: str) -> str:
    """Functions under a title, after the helpers that they call."""
    texts = ["\n".join(lines) for lines in functions]
    if not texts:
        return ""
    return _title(words) + "\n\n\n".join([*(h for file in helpers for h in needed(file, "\n\n".join(texts))), *texts])
