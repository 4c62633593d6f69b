"""Prints the Triton kernels around a plan's arithmetic: tables, loads, stores, and sums over a chunk.

Each program finds its chunk in the chunk table, and through it the addresses of its tensor's operands and its row of
scalars. Rules that are not elementwise have two tables besides, of facts and of reduced numbers: row 0 is about all
tensors, then there is one row a tensor. Facts are the number of elements, the states that are one number, and what
random numbers depend on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .emit_access import kept, load, store
from .emit_triton import block_arguments, earlier
from .layout import STEP, docstring, wrapped
from .passes import NUMBERS, Column, Measure, Passes, noise_name
from .plan import Plan

TABLES = ("addresses", "chunks", "scalars")
FACTS = ("facts", "reduced")
PARTIALS = "partials"
FINISH = {
    "sum": "{x}.to(compute)",
    "mean": "({x} / {n}).to(compute)",
    "norm": "tl.sqrt({x}).to(compute)",
    "rms": "tl.sqrt({x} / {n}).to(compute)",
    "max_of": "{x}.to(compute)",
    "dot": "{x}.to(compute)",
}
"""A reduction's result, from what was added up and the number of elements, in float64."""


def reduces(plan: Plan) -> bool:
    """Whether a kernel needs the tables of facts and of reduced numbers."""
    return not plan.elementwise


def emit_kernel(plan: Plan, passes: Passes, name: str, block: str) -> list[str]:
    """The pass that steps: loads, the rule, stores."""
    doc = "One chunk of one tensor: whole and aligned ones take 128-bit accesses, the others a mask."
    return _kernel(plan, passes, passes.columns, name, doc, (), lambda mask: _step(plan, passes, block, mask))


def emit_measure(plan: Plan, passes: Passes, measure: Measure, name: str, terms: str) -> list[str]:
    """A pass that measures: loads, terms, and their sums over the chunk."""
    doc = "Sums over one chunk of one tensor; `combine` adds up the chunks."
    known = earlier(passes, measure)
    return _kernel(
        plan, passes, known, name, doc, (PARTIALS,), lambda mask: _sums(plan, passes, measure, known, terms, mask)
    )


def _kernel(
    plan: Plan,
    passes: Passes,
    known: tuple[Column, ...],
    name: str,
    doc: str,
    more: tuple[str, ...],
    body: Callable[[str], list[str]],
) -> list[str]:
    step = plan.step
    constants = [*(f"{x}_type" for x in step.inputs), "compute", "maximize", *(f.name for f in plan.flags), "BLOCK"]
    tables = [*TABLES, *(FACTS if reduces(plan) else ()), *more]
    out = [
        "@triton.jit",
        *wrapped(f"def {name}", [*tables, *(f"{c}: tl.constexpr" for c in constants)], ":"),
        *docstring(doc, STEP),
        "    chunk = chunks + 5 * tl.program_id(0).to(tl.int64)",
        f"    tensor = addresses + {len(step.inputs)} * tl.load(chunk)",
        "    start = tl.load(chunk + 1)",
        *_load_slots(plan),
        *(_load_facts(plan, passes, known) if reduces(plan) else []),
    ]
    numbers = {m.name for m in plan.memories if m.scope in NUMBERS}
    for i, x in enumerate(step.inputs):
        offset = "" if x in numbers else " + start"
        if x not in numbers or not more:  # a pass that measures stores no state
            out.append(f"    {x}_at = tl.load(tensor + {i}).to(tl.pointer_type({x}_type)){offset}")
    out += ["    at = tl.arange(0, BLOCK)", "    if tl.load(chunk + 4) != 0:"]
    out += [f"        {x}_at = tl.multiple_of({x}_at, 16)" for x in step.inputs if x not in numbers]
    return [*out, *body(""), "    else:", "        mask = at < tl.load(chunk + 2)", *body("mask")]


def _load_slots(plan: Plan) -> list[str]:
    slots = plan.step.slots
    out = [f"    row = scalars + {len(slots)} * tl.load(chunk + 3)"] if slots else []
    for i, s in enumerate(slots):
        out.append(f"    {s.name} = tl.load(row + {i}){'.to(tl.int32) != 0' if s.kind == 'bool' else '.to(compute)'}")
    return out


def _load_facts(plan: Plan, passes: Passes, known: tuple[Column, ...]) -> list[str]:
    """States of one number, and finished reductions."""
    numbers = [m for m in plan.memories if m.scope in NUMBERS]
    out = [f"    {m.name} = tl.load(fact + {i}).to(compute)" for i, m in enumerate(numbers, 1)]
    for c in known:
        table, n = (f"result + {c.index}", "fact") if c.scope == "tensor" else (f"reduced + {c.index}", "facts")
        out.append(f"    {c.name} = {FINISH[c.op].format(x=f'tl.load({table})', n=f'tl.load({n})')}")
    text = "\n".join(out)
    widths = {"fact": 1 + len(numbers) + (3 if passes.noises else 0), "result": len(passes.columns)}
    used = {name: bool(re.search(rf"\b{name}\b", text)) for name in widths}
    used["fact"] |= bool(passes.noises)
    tables = {"fact": "facts", "result": "reduced"}
    places = [f"    {x} = {tables[x]} + {w} * (1 + tl.load(chunk))" for x, w in widths.items() if used[x]]
    return [*places, *out]


def _loads(plan: Plan, passes: Passes, mask: str) -> list[str]:
    by_name = {m.name: m for m in plan.memories}
    indent = STEP * 2
    out: list[str] = []
    for x in plan.step.inputs:
        memory = by_name.get(x)
        if memory is None or memory.scope not in NUMBERS:
            out += load(x, memory, "at", mask, indent)
    key = 1 + sum(m.scope in NUMBERS for m in plan.memories)
    out += [f"{indent}{noise_name(i)} = block_noise(start + at, fact + {key}, {i}, compute)" for i in passes.noises]
    return [*out, f"{indent}if maximize:", f"{indent}{STEP}g = -g"]


def _step(plan: Plan, passes: Passes, block: str, mask: str) -> list[str]:
    """Load, compute, store; a state of one number is stored by its tensor's first chunk."""
    step, indent = plan.step, STEP * 2
    by_name = {m.name: m for m in plan.memories}
    out = _loads(plan, passes, mask)
    out += wrapped(f"{', '.join(step.outputs)} = {block}", block_arguments(plan, passes, passes.columns), "", indent)
    out += store("theta", step.outputs[0], None, "at", mask, indent)
    for x in step.outputs[1:]:
        if by_name[x].scope in NUMBERS:
            out += kept(by_name[x], ["if start == 0:", f"{STEP}tl.store({x}_at, {x})"], indent)
        else:
            out += store(x, x, by_name[x], "at", mask, indent)
    return out


def _sums(plan: Plan, passes: Passes, measure: Measure, known: tuple[Column, ...], terms: str, mask: str) -> list[str]:
    indent = STEP * 2
    results = [c.term for c in measure.columns]
    out = _loads(plan, passes, mask)
    out += wrapped(f"{', '.join(results)} = {terms}", block_arguments(plan, passes, known), "", indent)
    out.append(f"{indent}partial = partials + {len(passes.columns)} * tl.program_id(0).to(tl.int64)")
    for c, x in zip(measure.columns, results, strict=True):
        empty, fold = ('float("-inf")', "block_largest") if c.op == "max_of" else ("0.0", "block_total")
        inside = f"tl.where(mask, {x}, {empty})" if mask else x
        out.append(f"{indent}tl.store(partial + {c.index}, {fold}({inside}))")
    return out
