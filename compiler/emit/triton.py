"""Prints a plan's arithmetic as Triton functions on blocks of elements, and says what each operator is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...dsl.text.expressions import Cast, Expr
from ..plan.names import Names
from ..plan.passes import Column, Measure, Passes, UncutError, cut, noise_name
from ..plan.plan import Plan
from ..plan.split import Parts, has_matrices, split
from .layout import STEP, docstring, returned, statements, wrapped
from .spell import ARITHMETIC, IF, ON_TENSORS, PRODUCT, Speller, Spelling, call

TRITON: dict[str, Spelling] = {
    **ARITHMETIC,
    **ON_TENSORS,
    "neg": Spelling("{} * -1.0", PRODUCT, (PRODUCT,)),  # up to Triton 3.6 -x is 0 - x, which is never -0
    "div": call("block_div", 2),
    "mod": call("block_mod", 2),
    "pow": call("block_pow", 2),
    "sqrt": call("block_sqrt"),
    "cbrt": call("block_cbrt"),
    "exp": call("tl.exp"),
    "log": call("tl.log"),
    "sin": call("tl.sin"),
    "cos": call("tl.cos"),
    "tanh": call("block_tanh"),
    "erf": call("tl.erf"),
    "sign": call("block_sign"),
    "abs": call("tl.abs"),
    "floor": call("tl.floor"),
    "square": call("block_square"),
    "min": call("block_min", 2),
    "max": call("block_max", 2),
    "clip": call("block_clip", 3),
    "lerp": call("block_lerp", 3),
    "where": call("tl.where", 3),
}


@dataclass(frozen=True)
class Fused:
    """A plan's kernels: of the rule itself, or of what is before and behind its matrix operations."""

    passes: dict[str, tuple[Plan, Passes]]
    parts: Parts | None = None


def fuse(plan: Plan) -> Fused:
    """The passes of a plan, by the prefix of their names. Raises UncutError, in words, where it has none."""
    if not has_matrices(plan):
        return Fused({"": (plan, cut(plan))})
    parts = split(plan)
    return Fused({"before_": (parts.before, cut(parts.before)), "after_": (parts.after, cut(parts.after))}, parts)


def refusal(plan: Plan) -> str | None:
    """Why the rule has no Triton kernel, in words, or None where it has one."""
    try:
        fuse(plan)
    except UncutError as reason:
        return f"there is no Triton kernel yet for {reason}"
    return None


def _special(value: Expr, spell: Callable[[Expr, int], str]) -> str | None:
    return f"block_cast({spell(value.value, IF)}, tl.{value.dtype})" if isinstance(value, Cast) else None


def block_arguments(plan: Plan, passes: Passes, columns: tuple[Column, ...]) -> list[str]:
    """What a function on blocks takes: operands, random numbers, scalars, reduced numbers and flags."""
    noises, slots = map(noise_name, passes.noises), (s.name for s in plan.step.slots)
    return [*plan.step.inputs, *noises, *slots, *(c.name for c in columns), *(f.name for f in plan.flags)]


def earlier(passes: Passes, measure: Measure) -> tuple[Column, ...]:
    """The columns that are known when a pass runs."""
    return tuple(c for m in passes.measures[: passes.measures.index(measure)] for c in m.columns)


def emit_block(plan: Plan, passes: Passes, name: str, names: Names) -> list[str]:
    """The rule's arithmetic on one block."""
    lines = statements(passes.body, Speller(TRITON, _special), names, "tl.static_range({})")
    return _function(
        plan, passes, passes.columns, name, "The rule, on one block of elements.", lines, plan.step.outputs
    )


def emit_terms(plan: Plan, passes: Passes, measure: Measure, name: str, names: Names) -> list[str]:
    """What a pass adds up, on one block."""
    lines = statements(measure.body, Speller(TRITON, _special), names, "tl.static_range({})")
    outputs = tuple(c.term for c in measure.columns)
    doc = "What must be known of all elements before the rule can go on, on one block of them."
    return _function(plan, passes, earlier(passes, measure), name, doc, lines, outputs)


def _function(
    plan: Plan,
    passes: Passes,
    columns: tuple[Column, ...],
    name: str,
    doc: str,
    lines: list[str],
    outputs: tuple[str, ...],
) -> list[str]:
    flags = {f.name for f in plan.flags}
    args = [f"{a}: tl.constexpr" if a in flags else a for a in block_arguments(plan, passes, columns)]
    results = returned(outputs, STEP) if len(outputs) > 1 else [f"{STEP}return {outputs[0]}"]
    return ["@jit", *wrapped(f"def {name}", args, ":"), *docstring(doc, STEP), *lines, *results]
