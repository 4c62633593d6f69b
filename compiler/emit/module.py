"""Assembles a plan's functions, the helpers that they call and the shared runtime into one Python file of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from itertools import groupby
from types import MappingProxyType
from typing import Literal, get_args

from ... import __version__
from ...dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ...dsl.rule import Rule
from ...dsl.writing import text_of
from ..plan.lower import lower
from ..plan.names import Names, snake
from ..plan.passes import Passes
from ..plan.plan import Plan, identifiers
from ..plan.torch_peers import peer_of, torch_names
from ..runtime.groups import SPOKEN
from .geometry import WORDS
from .inline import imports, needed, source
from .kernel import FACTS, KEYS, PARTIALS, emit_kernel, emit_measure
from .layout import docstring
from .live import emit_live
from .native import has_native
from .native_walk import emit_native
from .optimizer_class import emit_class, programs, quantised
from .parts import HELPERS, PARTS, RUNTIME, runtime
from .program import emit_program
from .scalars import emit_condition, emit_flags, emit_scalars
from .torch import emit_torch
from .triton import Fused, emit_block, emit_terms, fuse, refusal

Target = Literal["auto", "triton", "torch"]
FUNCTIONS = (
    *("scalars", "live_scalars", "flags", "serves", "update", "block", "kernel", "initial", "evaluate"),
    *("region", "jit", "C_SOURCE"),
)
IN_KERNEL = (*WORDS, *FACTS, PARTIALS, KEYS, "dithered", "partial", "fact", "result", "key", "row", "compute")

BEFORE = {
    "the rule's numbers: float64, on the host": ("prelude/scalars.py",),
    "the same numbers on a device": ("prelude/live.py",),
    "the rule by torch": ("prelude/torch.py",),
    "the rule by Triton": ("runtime/jit.py", "prelude/triton.py", "prelude/memory.py"),
}
"""The helpers that stand before the rule's own functions, by the titles above them."""

PLANS_DO: dict[str, Callable[[Plan], bool]] = {
    "initial": lambda plan: plan.initial is not None,
    "evaluation": lambda plan: plan.evaluate is not None,
    "serves": lambda plan: plan.serves is not None,
    "inputs": lambda plan: bool(plan.extra_inputs),
    "lockstep": lambda plan: plan.lockstep,
    "noise": lambda plan: plan.noisy,
    "scopes": lambda plan: any(m.scope != "element" for m in plan.memories),
    "sparse": lambda plan: "sparse gradients" not in peer_of(plan).refuses,
    "words": lambda plan: not SPOKEN.keys().isdisjoint(torch_names(plan)),
}
KERNELS_DO: dict[str, Callable[[Fused], bool]] = {
    "triton": lambda fused: True,
    "passes": lambda fused: any(not plan.elementwise for plan, _ in fused.passes.values()),
    "matrices": lambda fused: fused.parts is not None,
}
"""What statements of the runtime can be marked to be for, besides parts."""


@cache
def reserved() -> frozenset[str]:
    """The identifiers that every generated module needs for itself."""
    return frozenset({*FUNCTIONS, *IN_KERNEL}).union(*(source(f).names for f in (*HELPERS, *RUNTIME)))


def emit(rule: Rule, target: Target = "auto", parts: Collection[str] = tuple(PARTS)) -> str:
    """The source of the module for a simplified rule, with these of the `PARTS`.

    Raises OptError where the target is "triton" and the rule has no kernel, and for a name that the module needs.
    """
    taken = reserved()
    if rule.name in taken:
        message = f"`{rule.name}` cannot be the name of a class: the module that it lives in has one of that name"
        raise OptError(Diagnostic("E104", message, NOWHERE, help="choose another name after `optimizer`"))
    plan = lower(rule, taken)
    plans = dict(zip(("", "otherwise_"), programs(plan), strict=False))
    reasons = [r for p in plans.values() if (r := refusal(p)) is not None]
    if target == "triton" and reasons:
        help = "--target auto or torch runs it by torch operations"
        raise OptError(Diagnostic("E403", f"`{rule.name}`: {reasons[0]}", NOWHERE, help=help))
    parts = [name for name in PARTS if name in parts or (name == "precision" and quantised(plan))]
    fused = kernels(plans, target)
    keys = {"otherwise_": f"{snake(plan.fallback.name)}_"} if plan.fallback is not None else {}
    tables = [emit_program(p, prefix, fused.get(prefix), parts, keys.get(prefix, "")) for prefix, p in plans.items()]
    made = f"{plan.name}: an optimizer made by optc {__version__} from the rule below. Edit the rule, not this file."
    about = f"{made}\n\n{text_of(rule).strip()}"
    return module(about, plans, fused, [*tables, emit_class(plan, bool(fused), parts)], parts)


def kernels(plans: Mapping[str, Plan], target: Target) -> dict[str, Fused]:
    """What Triton is to run of the plans that it can. Raises ValueError for a target that there is not."""
    if target not in get_args(Target):
        raise ValueError(f"Invalid target value: {target!r}; it must be one of {', '.join(get_args(Target))}")
    return {} if target == "torch" else {prefix: fuse(p) for prefix, p in plans.items() if refusal(p) is None}


def module(
    about: str,
    plans: dict[str, Plan],
    fused: dict[str, Fused],
    ends: list[str],
    parts: Collection[str],
    like: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The whole file: what it says of itself, its imports, the rule's own functions, what they need, and the ends.

    `fused` has the kernels of plans, by their prefix; `like` says which plans are another's but for numbers: their
    functions on tensors are the other's, and are there once.
    """
    own, does = _own(plans, fused, parts, like), what_is_done(plans.values(), fused.values(), parts)
    files = runtime(parts)
    kept = needed(files, "\n\n".join([*(text for texts in own.values() for text in texts), *ends]), does)
    of_runtime = [file for file in kept if file in RUNTIME]
    sections = [
        *(_section(title, [*(kept.get(f, "") for f in BEFORE.get(title, ())), *t]) for title, t in own.items() if t),
        *(_section(title, [kept[file] for file in those]) for title, those in groupby(of_runtime, RUNTIME.__getitem__)),
        _section("the optimizer", ends),
    ]
    head = [*docstring(about), "", "from __future__ import annotations", "", *imports((*HELPERS, *kept), sections)]
    body = "\n\n\n".join(sections)
    return "\n".join(head) + f"\n\n{body}\n"


def what_is_done(plans: Iterable[Plan], fused: Iterable[Fused], parts: Collection[str]) -> set[str]:
    """What a module does, in the words of marks."""
    plans, fused = list(plans), list(fused)
    by_plans = {word for word, does in PLANS_DO.items() if any(map(does, plans))}
    by_plans |= {"torchless"} if "checkpoints" not in parts and any(peer_of(plan).states for plan in plans) else set()
    return {*parts} | by_plans | {word for word, does in KERNELS_DO.items() if any(map(does, fused))}


def _own(
    plans: dict[str, Plan], fused: dict[str, Fused], parts: Collection[str], like: Mapping[str, str]
) -> dict[str, list[str]]:
    """The rule's own functions, by the titles above them."""
    names = Names(reserved() | {x for p in plans.values() for x in identifiers(p)})
    own = {prefix: plan for prefix, plan in plans.items() if prefix not in like}
    live = [emit_live(p, f"{prefix}live_scalars", names) for prefix, p in plans.items() if "graphs" in parts]
    torch = [t for prefix, p in own.items() for t in _torch(prefix, p, fused.get(prefix), names)]
    kernels = [
        t
        for prefix, f in fused.items()
        if prefix in own
        for part, those in f.passes.items()
        for t in _triton(prefix + part, *those, names, "precision" in parts)
    ]
    sections = {
        "the rule's numbers: float64, on the host": [t for p in plans.items() for t in _host(*p)],
        "the same numbers on a device": live,
        "the rule by torch": torch,
        "the rule in C": [_c(*p) for p in own.items() if has_native(p[1]) and "native" in parts],
        "the rule by Triton": kernels,
    }
    return {title: ["\n".join(lines) for lines in functions] for title, functions in sections.items()}


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


def _triton(prefix: str, plan: Plan, passes: Passes, names: Names, kept: bool) -> list[list[str]]:
    block, kernel = f"{prefix}block", f"{prefix}kernel"
    out: list[list[str]] = []
    for i, measure in enumerate(passes.measures, 1):
        terms = f"{prefix}terms{i}"
        out.append(emit_terms(plan, passes, measure, terms, names))
        out.append(emit_measure(plan, passes, measure, f"{prefix}measure{i}", terms, kept))
    return [*out, emit_block(plan, passes, block, names), emit_kernel(plan, passes, kernel, block, kept)]


def _section(title: str, texts: list[str]) -> str:
    return f"# {'-' * 64} {title}\n\n\n" + "\n\n\n".join(filter(None, texts))
