"""Prints a plan's host side as Python on floats, and says what each operator is there."""

from __future__ import annotations

from collections.abc import Sequence

from ...dsl.text.expressions import Expr, Name
from ...dsl.text.walking import names
from ..plan.plan import GIVEN_SCALARS, HostLet, HostStatement, Plan, Segment
from .layout import STEP, docstring, returned, wrapped
from .spell import AND, ARITHMETIC, IF, NOT, OR, Speller, Spelling, call, infix, prefix

SCALARS: dict[str, Spelling] = {
    **ARITHMETIC,
    "div": call("divide", 2),
    "mod": call("modulo", 2),
    "pow": call("power", 2),
    "and": infix("and", AND),
    "or": infix("or", OR),
    "not": prefix("not ", NOT),
    "sqrt": call("square_root"),
    "cbrt": call("cube_root"),
    "exp": call("exponential"),
    "log": call("logarithm"),
    "sin": call("sine"),
    "cos": call("cosine"),
    "tanh": call("math.tanh"),
    "erf": call("math.erf"),
    "sign": call("signum"),
    "abs": call("abs"),
    "floor": call("round_down"),
    "square": Spelling("power({}, 2.0)"),
    "min": call("minimum", 2),
    "max": call("maximum", 2),
    "clip": call("clip", 3),
    "lerp": call("lerp", 3),
    "where": Spelling("{1} if {0} else {2}", IF, (OR, OR, IF)),
}
spell = Speller(SCALARS)
SIZES = GIVEN_SCALARS[1:]


def emit_scalars(plan: Plan, segment: Segment, name: str) -> list[str]:
    """The function that gives a segment's row of the scalar table."""
    values = [s.value for s in segment.slots]
    lets = [f"{STEP}{s.name} = {spell(s.value)}" for s in segment.slots if s.value != Name(s.name)]
    body = [*_host(plan.host, needed_by(plan.host, values)), *lets, *returned([s.name for s in segment.slots], STEP)]
    return _function(name, plan, ("t", *SIZES), "One row of the scalar table, in float64.", body)


def emit_flags(plan: Plan, name: str) -> list[str]:
    """The function that gives the structure: which branches are taken, and how often loops run."""
    values = [f.value for f in plan.flags]
    results = [f"{f.type}({spell(f.value)})" for f in plan.flags]
    body = [*_host(plan.host, needed_by(plan.host, values)), *returned(results, STEP)]
    return _function(name, plan, SIZES, "The structure: each distinct result has code of its own.", body)


def reads_sizes(plan: Plan, segment: Segment) -> bool:
    """Whether a row depends on the sizes of a tensor, so that tensors of other sizes need rows of their own."""
    return bool(needed_by(plan.host, [s.value for s in segment.slots]) & set(SIZES))


def structural(plan: Plan) -> list[int]:
    """The indices of the hyperparameters that a parameter's structure depends on, or whether the rule serves it."""
    read = needed_by(plan.host, [*(f.value for f in plan.flags), *([plan.serves] if plan.serves is not None else [])])
    return [i for i, (_, code) in enumerate(plan.params) if code in read]


def emit_condition(plan: Plan, name: str, condition: Expr) -> list[str]:
    """The function that says whether the rule serves a parameter."""
    body = [f"{STEP}return bool({spell(condition)})"]
    return _function(name, plan, SIZES, "Whether the rule serves a parameter of these sizes.", body)


def _function(name: str, plan: Plan, given: Sequence[str], doc: str, body: list[str]) -> list[str]:
    args = [*(code for _, code in plan.params), *given]
    return [*wrapped(f"def {name}", args, ":"), *docstring(doc, STEP), *body]


def needed_by(host: tuple[HostStatement, ...], values: Sequence[Expr]) -> set[str]:
    """The host names that some values read, directly or through others."""
    needed = {name for value in values for name in names(value)}
    _add_read(host, needed)
    return needed


def _add_read(host: tuple[HostStatement, ...], needed: set[str]) -> None:
    """Adds to some names those that they are computed from."""
    for s in reversed(host):
        if isinstance(s, HostLet):
            needed.update(names(s.value) if s.name in needed else ())
        elif defines(s.then, needed) or defines(s.otherwise, needed):
            needed.update(names(s.condition))
            _add_read(s.then, needed)
            _add_read(s.otherwise, needed)


def defines(host: tuple[HostStatement, ...], needed: set[str]) -> set[str]:
    """Those of the needed names that the statements define."""
    out: set[str] = set()
    for s in host:
        if isinstance(s, HostLet):
            out |= {s.name} & needed
        else:
            out |= defines(s.then, needed) | defines(s.otherwise, needed)
    return out


def _host(host: tuple[HostStatement, ...], needed: set[str], indent: str = STEP) -> list[str]:
    out: list[str] = []
    for s in host:
        if isinstance(s, HostLet):
            out += [f"{indent}{s.name} = {spell(s.value)}"] if s.name in needed else []
            continue
        then, otherwise = (_host(arm, needed, indent + STEP) for arm in (s.then, s.otherwise))
        if then or otherwise:
            unset = sorted(defines(s.then, needed) ^ defines(s.otherwise, needed))
            out += [f"{indent}{' = '.join(unset)} = math.nan"] if unset else []
            out += [f"{indent}if {spell(s.condition)}:", *(then or [f"{indent}{STEP}pass"])]
            out += [f"{indent}else:", *otherwise] if otherwise else []
    return out
