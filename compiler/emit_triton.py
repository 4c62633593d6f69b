"""Prints a plan as one multi-tensor Triton kernel: the rule's arithmetic, and the loads and stores around it.

Elementwise rules only: `refusal` says in words what keeps another rule on the torch backend.
"""

from __future__ import annotations

from collections.abc import Callable

from ..dsl.syntax import Cast, Expr, Matrix, Noise, Reduce, walk
from .layout import STEP, docstring, returned, statements, wrapped
from .names import Names
from .plan import Memory, Plan
from .spell import ARITHMETIC, ATOM, ON_TENSORS, Speller, Spelling, call

TRITON: dict[str, Spelling] = {
    **ARITHMETIC,
    **ON_TENSORS,
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

NOT_YET: tuple[tuple[type, str], ...] = (
    (Reduce, "reductions"),
    (Matrix, "matrix operations"),
    (Noise, "noise()"),
)
TABLES = ("addresses", "chunks", "scalars")


def refusal(plan: Plan) -> str | None:
    """Why the rule has no Triton kernel, in words, or None where it has one."""
    for kind, words in NOT_YET:
        if any(isinstance(part, kind) for b in plan.step.binds() for part in walk(b.value)):
            return f"there is no Triton kernel yet for {words}"
    if any(m.scope != "element" for m in plan.memories):
        return "there is no Triton kernel yet for states that are not per element"
    if plan.fallback is not None:
        return "there is no Triton kernel yet for rules with `otherwise`"
    return None


def _special(value: Expr, spell: Callable[[Expr, int], str]) -> str | None:
    return f"{spell(value.value, ATOM)}.to(tl.{value.dtype})" if isinstance(value, Cast) else None


def emit_update(plan: Plan, name: str, names: Names) -> list[str]:
    """The rule's arithmetic on one block."""
    step = plan.step
    flags = [f"{f.name}: tl.constexpr" for f in plan.flags]
    args = [*step.inputs, *(s.name for s in step.slots), *flags]
    return [
        "@triton.jit",
        *wrapped(f"def {name}", args, ":"),
        *docstring("The rule, on one block of elements.", STEP),
        *statements(step.body, Speller(TRITON, _special), names, "tl.static_range({})"),
        *(returned(step.outputs, STEP) if len(step.outputs) > 1 else [f"{STEP}return {step.outputs[0]}"]),
    ]


def emit_kernel(plan: Plan, name: str, update: str) -> list[str]:
    """Loads and stores: each program finds its chunk, its tensor's addresses and its row of scalars in the tables."""
    step = plan.step
    constants = [*(f"{x}_type" for x in step.inputs), "compute", "maximize", *(f.name for f in plan.flags), "BLOCK"]
    args = [*TABLES, *(f"{c}: tl.constexpr" for c in constants)]
    width = len(step.inputs)
    out = [
        "@triton.jit",
        *wrapped(f"def {name}", args, ":"),
        *docstring("One chunk of one tensor: whole and aligned ones take 128-bit accesses, the others a mask.", STEP),
        "    chunk = chunks + 5 * tl.program_id(0).to(tl.int64)",
        f"    tensor = addresses + {width} * tl.load(chunk)",
        "    start = tl.load(chunk + 1)",
        *_load_slots(plan),
    ]
    for i, x in enumerate(step.inputs):
        out.append(f"    {x}_at = tl.load(tensor + {i}).to(tl.pointer_type({x}_type)) + start")
    out += ["    at = tl.arange(0, BLOCK)", "    if tl.load(chunk + 4) != 0:"]
    out += [f"        {x}_at = tl.multiple_of({x}_at, 16)" for x in step.inputs]
    out += _access(plan, update, "", STEP * 2)
    out += ["    else:", "        mask = at < tl.load(chunk + 2)", *_access(plan, update, ", mask=mask", STEP * 2)]
    return out


def _load_slots(plan: Plan) -> list[str]:
    slots = plan.step.slots
    if not slots:
        return []
    out = [f"    row = scalars + {len(slots)} * tl.load(chunk + 3)"]
    for i, s in enumerate(slots):
        reading = "!= 0" if s.kind == "bool" else ""
        out.append(
            f"    {s.name} = tl.load(row + {i}) {reading}"
            if reading
            else f"    {s.name} = tl.load(row + {i}).to(compute)"
        )
    return out


def _access(plan: Plan, update: str, mask: str, indent: str) -> list[str]:
    """Load, compute, store."""
    step = plan.step
    by_name = {m.name: m for m in plan.memories}
    out: list[str] = []
    for x in step.inputs:
        out += _load(x, by_name.get(x), mask, indent)
    out += [f"{indent}if maximize:", f"{indent}{STEP}g = -g"]
    args = [*step.inputs, *(s.name for s in step.slots), *(f.name for f in plan.flags)]
    out += wrapped(f"{', '.join(step.outputs)} = {update}", args, "", indent)
    out.append(f"{indent}tl.store(theta_at + at, {step.outputs[0]}{mask})")
    for x in step.outputs[1:]:
        out += _kept(by_name[x], [f"tl.store({x}_at + at, {x}{mask})"], indent)
    return out


def _load(name: str, memory: Memory | None, mask: str, indent: str) -> list[str]:
    cast = "" if memory is not None and memory.dtype == "float64" else ".to(compute)"
    lines = _kept(memory, [f"{name} = tl.load({name}_at + at{mask}){cast}"], indent)
    if memory is not None and memory.flag is not None:
        lines += [f"{indent}else:", f"{indent}{STEP}{name} = theta  # not kept, so nothing reads it"]
    return lines


def _kept(memory: Memory | None, lines: list[str], indent: str) -> list[str]:
    """The lines, under the state's flag where it has one."""
    if memory is None or memory.flag is None:
        return [indent + line for line in lines]
    return [f"{indent}if {memory.flag}:", *(indent + STEP + line for line in lines)]
