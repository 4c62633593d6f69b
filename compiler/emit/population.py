"""Many rules to the source of one module, in which rules that differ in numbers alone share their code on tensors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from ... import __version__
from ...dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ...dsl.rule import Rule
from ...dsl.writing import text_of
from ..plan.lower import lower
from ..plan.plan import Plan, Segment
from ..plan.torch_peers import common_names
from .layout import STEP
from .module import Target, kernels, module, reserved
from .native import has_native
from .optimizer_class import emit_backends, emit_names
from .parts import PARTS
from .program import emit_program
from .triton import refusal

NAME = "Population"
WITH = ("shards", "graphs", "native")
"""The parts that a population has."""


def emit_population(rules: Sequence[Rule], target: Target = "auto") -> str:
    """The source of a module whose class `Population` steps an individual for each of the simplified rules.

    Raises OptError where a rule has what a population has no place for.
    """
    taken = reserved() | {NAME}
    plans = {f"rule{i}_": lower(rule, taken) for i, rule in enumerate(rules)}
    for plan in plans.values():
        _refuse(plan, target)
    firsts: dict[Hashable, str] = {}
    code = {prefix: firsts.setdefault(skeleton(plan), prefix) for prefix, plan in plans.items()}
    like = {prefix: of for prefix, of in code.items() if of != prefix}
    fused = kernels(plans, target)
    tables = [emit_program(p, prefix, fused.get(prefix), WITH, code=code[prefix]) for prefix, p in plans.items()]
    texts = "\n\n".join(text_of(rule).strip() for rule in rules)
    about = f"A population made by optc {__version__} from the rules below.\n\n{texts}"
    return module(about, plans, fused, [*tables, _class(plans, code, bool(fused))], (*WITH, "population"), like)


def skeleton(plan: Plan) -> Hashable:
    """What two plans have in common that differ in numbers alone: all that happens to tensors."""
    memories = tuple(replace(m, fill=None if m.fill is None else 0.0) for m in plan.memories)
    flags = tuple((flag.name, flag.type) for flag in plan.flags)
    return _segment(plan.step), plan.initial and _segment(plan.initial), memories, flags


def _segment(segment: Segment) -> Hashable:
    return tuple((s.name, s.kind) for s in segment.slots), segment.inputs, segment.body, segment.outputs


def _refuse(plan: Plan, target: Target) -> None:
    reasons = {
        "it applies to some parameters only": plan.serves is not None,
        "it has inputs": bool(plan.extra_inputs),
        "what evaluation sees is not what training moves": plan.evaluate is not None,
        "it keeps states in 8 bits": plan.quantised,
        f"it has no Triton kernel, since {refusal(plan)}": target == "triton" and refusal(plan) is not None,
    }
    for reason in (r for r, holds in reasons.items() if holds):
        raise OptError(Diagnostic("E403", f"`{plan.name}` cannot be in a population: {reason}", NOWHERE))


def _class(plans: dict[str, Plan], code: dict[str, str], kernel: bool) -> str:
    order = list(plans)
    lines = [
        f"class {NAME}({', '.join(PARTS[part].layer for part in WITH)}, PopulationOptimizer):",
        f'{STEP}"""{len(plans)} individuals of {len(set(code.values()))} skeletons."""',
        "",
        f"{STEP}programs = (",
        *(f"{STEP * 2}{prefix.upper()}PROGRAM," for prefix in plans),
        f"{STEP})",
        f"{STEP}skeletons = (",
        *(f"{STEP * 2}{order.index(code[prefix])}," for prefix in plans),
        f"{STEP})",
        *emit_names(common_names(list(plans.values()))),
        *emit_backends(any(has_native(plan) for plan in plans.values()), kernel, WITH),
    ]
    return "\n".join(lines)
