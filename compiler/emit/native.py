"""Prints a plan's step as a C function over all tensors of a batch, and says what each operator is in C."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...dsl.text.syntax import Apply, Cast, Expr, Name, Number, walk
from ..plan.plan import Bind, Branch, Plan, Slot, Statement
from .inline import HERE
from .layout import STEP
from .spell import AND, ARITHMETIC, ATOM, IF, OR, UNARY, Speller, Spelling, call

NATIVE: dict[str, Spelling] = {
    **ARITHMETIC,
    "neg": Spelling("-{}", UNARY, (ATOM,)),
    "and": Spelling("{} && {}", AND, (AND, AND + 1)),
    "or": Spelling("{} || {}", OR, (OR, OR + 1)),
    "not": Spelling("!{}", UNARY, (ATOM,)),
    "div": Spelling("{} / {}", ARITHMETIC["mul"].level, ARITHMETIC["mul"].takes),
    "mod": call("modulo", 2),
    "pow": call("power", 2),
    "sqrt": call("OF(sqrt)"),
    "cbrt": call("OF(cbrt)"),
    "exp": call("OF(exp)"),
    "log": call("OF(log)"),
    "sin": call("OF(sin)"),
    "cos": call("OF(cos)"),
    "tanh": call("OF(tanh)"),
    "erf": call("OF(erf)"),
    "sign": call("sign"),
    "abs": call("OF(fabs)"),
    "floor": call("OF(floor)"),
    "square": call("square"),
    "min": call("smaller", 2),
    "max": call("larger", 2),
    "clip": call("clip", 3),
    "lerp": call("lerp", 3),
    "where": Spelling("({} ? {} : {})", ATOM, (OR, IF, IF)),
}

ROUNDED_ALIKE = frozenset(NATIVE) - {"pow", "cbrt", "exp", "log", "sin", "cos", "tanh", "erf"}
"""Operators whose result is the same in every correct implementation: the others are good to an ulp or two."""

RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        auto break case char const continue default do double else enum extern float for goto if inline int int64_t long
        register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
        cbrt cbrtf copysign copysignf cos cosf erf erff exp expf fabs fabsf floor floorf fmod fmodf log logf pow powf
        sin sinf sqrt sqrtf tanh tanhf isnan isinf linux unix NAN INFINITY HUGE_VAL
        bfloat16 float16 float32 float64 real word clip lerp larger smaller modulo power sign square
        step sizes rows addresses scalars tensors begin end first from to at row operands
        OF LOAD STORE JOINED DOUBLE MAXIMIZE EACH_ALONE
        """,
    )
)
"""What the C code needs for itself."""


def refusal(plan: Plan) -> str | None:
    """Why the rule has no native code, in words, or None where it has."""
    if not plan.elementwise:
        return "there is no native code for rules in which elements depend on one another"
    if any(m.dtype == "float64" for m in plan.memories):
        return "there is no native code for float64 states beside float32 arithmetic"
    if any(isinstance(part, Cast) for b in plan.step.binds() for part in walk(b.value)):
        return "there is no native code for `cast`"
    ops = {part.op for b in plan.step.binds() for part in walk(b.value) if isinstance(part, Apply)}
    return None if ops <= set(NATIVE) else f"there is no native code for {min(ops - set(NATIVE))}"


def has_native(plan: Plan) -> bool:
    return refusal(plan) is None


def exact(plan: Plan) -> bool:
    """Whether native code gives the bits of eager torch."""
    parts = (part for b in plan.step.binds() for part in walk(b.value))
    return all(part.op in ROUNDED_ALIKE for part in parts if isinstance(part, Apply))


@dataclass(frozen=True)
class _Speller(Speller):
    """The same, in C: numbers carry their type, and names that C needs get another."""

    def _spelled(self, value: Expr) -> tuple[str, int]:
        match value:
            case Number(value=x):
                return f"(real){'INFINITY' if x == float('inf') else repr(x)}", UNARY
            case Name(id="inf"):
                return "(real)INFINITY", UNARY
            case Name(id="pi"):
                return f"(real){3.141592653589793!r}", UNARY
            case Name(id=name):
                return c_name(name), ATOM
        return super()._spelled(value)


def c_name(name: str) -> str:
    """A name of the plan as one that C has no use for; different names stay different."""
    stem = name.rstrip("_")
    return f"{name}_" if stem in RESERVED or stem.endswith(("_at", "_type")) else name


def emit_native(plan: Plan) -> str:
    """C source of `step`, which takes the elements from `begin` to `end` of all tensors, laid end to end.

    `addresses` has one row a tensor and one column an operand, `scalars` one row for each number in `rows`. The dtypes
    of operands (`theta_type`), the flags, MAXIMIZE and DOUBLE are macros: what is structure is code.
    """
    columns, slots = len(plan.step.inputs), plan.step.slots
    inputs = [(name, c_name(name)) for name in plan.step.inputs]
    lines = [
        *HERE.joinpath("prelude/native.h").read_text(encoding="utf-8").rstrip().splitlines(),
        "",
        "void step(int64_t tensors, const int64_t *sizes, const int64_t *rows, void *const *addresses,",
        "          const double *scalars, int64_t begin, int64_t end) {",
        f"{STEP}for (int64_t i = 0, first = 0; i < tensors; first += sizes[i++]) {{",
        f"{STEP * 2}const int64_t from = begin > first ? begin - first : 0;",
        f"{STEP * 2}const int64_t to = end - first < sizes[i] ? end - first : sizes[i];",
        f"{STEP * 2}if (from >= to) continue;",
        *([f"{STEP * 2}const double *const row = scalars + {len(slots)} * rows[i];"] if slots else []),
        f"{STEP * 2}void *const *const operands = addresses + {columns} * i;",
        *(f"{STEP * 2}const real {c_name(s.name)} = {_slot(i, s)};" for i, s in enumerate(slots)),
        *(f"{STEP * 2}{c}_type *const {c}_at = operands[{i}];" for i, (_, c) in enumerate(inputs)),
        f"{STEP * 2}EACH_ALONE",
        f"{STEP * 2}for (int64_t at = from; at < to; at++) {{",
        *_element(plan),
        f"{STEP * 2}}}",
        f"{STEP}}}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _slot(index: int, slot: Slot) -> str:
    return f"row[{index}] != 0" if slot.kind == "bool" else f"(real)row[{index}]"


def _element(plan: Plan) -> list[str]:
    """Load, compute, store, for one element. A state that is not kept is 0, and nothing reads it."""
    kept = {m.name: m.flag for m in plan.memories}
    inner = STEP * 3
    out = []
    for name in plan.step.inputs:
        c, flag = c_name(name), kept.get(name)
        load = f"LOAD({c}_type, {c}_at[at])"
        out.append(f"{inner}real {c} = {load if flag is None else f'{c_name(flag)} ? {load} : 0'};")
    out.append(f"{inner}if (MAXIMIZE) g = -g;")
    bound = dict.fromkeys(c_name(b.name) for b in plan.step.binds() if b.name not in plan.step.inputs)
    out += [f"{inner}real {', '.join(bound)};"] if bound else []
    out += _statements(plan.step.body, _Speller(NATIVE), inner)
    targets = ["theta", *(m.name for m in plan.memories if m.written)]
    for target, value in zip(targets, plan.step.outputs, strict=True):
        c, flag = c_name(target), kept.get(target)
        guard = "" if flag is None else f"if ({c_name(flag)}) "
        out.append(f"{inner}{guard}{c}_at[at] = STORE({c}_type, {c_name(value)});")
    return out


def _statements(body: Iterable[Statement], speller: Speller, indent: str) -> list[str]:
    out: list[str] = []
    for s in body:
        if isinstance(s, Bind):
            out.append(f"{indent}{c_name(s.name)} = {speller(s.value)};")
            continue
        flag, inner = c_name(s.flag), s.then if isinstance(s, Branch) else s.body
        head = f"if ({flag}) {{" if isinstance(s, Branch) else f"for (int64_t n = 0; n < {flag}; n++) {{"
        out += [indent + head, *_statements(inner, speller, indent + STEP), indent + "}"]
        if isinstance(s, Branch) and s.otherwise:
            out[-1] = indent + "} else {"
            out += [*_statements(s.otherwise, speller, indent + STEP), indent + "}"]
    return out
