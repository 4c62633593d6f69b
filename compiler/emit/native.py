"""Prints a plan's arithmetic in C, and says what each operator is there, and which rules have no C code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...dsl.text.expressions import Apply, Cast, Expr, Matrix, Name, Noise, Number, Reduce
from ...dsl.text.walking import walk
from ..plan.passes import UncutError, cut
from ..plan.plan import Bind, Branch, Plan, Statement
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
        step settle work begin end at row number tile operands extent key noise partial result plus most pieces lesser
        sharing owner_of tile_of count total largest Work Tile
        whole n_down n_across in_matrix in_row in_col n_matrices n_rows n_cols at_row at_col
        OF LOAD STORE CAST JOINED DOUBLE MAXIMIZE EACH_ALONE HEIGHT WIDTH LANES FOLDED ALONE
        """,
    )
)
"""What the C code needs for itself."""


CASTS = ("float64", "float32", "bfloat16", "float16")


def refusal(plan: Plan) -> str | None:
    """Why the rule has no native code, in words, or None where it has."""
    parts = [part for b in plan.step.binds() for part in walk(b.value)]
    if any(isinstance(part, Matrix) for part in parts):
        return "there is no native code for rules with matrix operations"
    unknown = {part.op for part in parts if isinstance(part, Apply)} - set(NATIVE)
    unknown |= {f"cast to {part.dtype}" for part in parts if isinstance(part, Cast) and part.dtype not in CASTS}
    unknown |= {f"states {m.scope}" for m in plan.memories if m.scope in ("row_pair", "col_pair")}
    if unknown:
        return f"there is no native code for {min(unknown)}"
    try:
        cut(plan)
    except UncutError as reason:
        return f"there is no native code for {reason}"
    return None


def has_native(plan: Plan) -> bool:
    return refusal(plan) is None


def exact(plan: Plan) -> bool:
    """Whether native code gives the bits of eager torch, which adds up in another order and keeps what it casts."""
    parts = [part for b in plan.step.binds() for part in walk(b.value)]
    alone = not any(isinstance(part, Reduce | Noise | Cast) for part in parts) and not wide(plan)
    return alone and all(part.op in ROUNDED_ALIKE for part in parts if isinstance(part, Apply))


def wide(plan: Plan) -> bool:
    """Whether all arithmetic is float64, whatever the parameters are: a state is."""
    return any(m.dtype == "float64" for m in plan.memories)


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
            case Cast(value=inner, dtype=dtype):
                return f"CAST({dtype}, {self(inner)})", ATOM
        return super()._spelled(value)


def c_name(name: str) -> str:
    """A name of the plan as one that C has no use for; different names stay different."""
    stem = name.rstrip("_")
    return f"{name}_" if stem in RESERVED or stem.endswith(("_at", "_type")) else name


def c_statements(body: Iterable[Statement]) -> list[str]:
    """The lines of a block, without indentation."""
    speller = _Speller(NATIVE)
    out: list[str] = []
    for s in body:
        if isinstance(s, Bind):
            out.append(f"{c_name(s.name)} = {speller(s.value)};")
            continue
        flag, inner = c_name(s.flag), s.then if isinstance(s, Branch) else s.body
        head = f"if ({flag}) {{" if isinstance(s, Branch) else f"for (int64_t n = 0; n < {flag}; n++) {{"
        out += [head, *c_statements(inner), "}"]
        if isinstance(s, Branch) and s.otherwise:
            out[-1] = "} else {"
            out += [*c_statements(s.otherwise), "}"]
    return out
