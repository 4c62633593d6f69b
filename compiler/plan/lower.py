"""Turns a checked rule into a plan: splits host from tensors, numbers from structure. Prints nothing.

What depends on hyperparameters, `t` and sizes alone goes to the host; conditions of `when` and counts of `repeat`
become flags; everything else stays with the tensors, in the order of the text.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from ...dsl.algebra.analysis import Analysis
from ...dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ...dsl.rule import Rule, State
from ...dsl.text.expressions import Apply, Bool, Expr, Name, Number
from ...dsl.text.syntax import Assign
from ..emit.optimizer_class import KEYWORDS
from .homes import RESULT, Homes
from .plan import QUANTISED, Memory, Plan, Segment, verify
from .segments import Builder

"""Keyword arguments that every generated optimizer has, so that no hyperparameter may."""

GROUP_KEYS = frozenset({"param_names", "initial_lr", "step"})

KEPT_BESIDE = {
    "step": "the count of steps",
    "trained": "the parameter itself while evaluation sees another",
    "master": "the parameter in float32",
    "missing_bits": "what the parameter lacks of a float32",
}
"""What may stand beside the states in an optimizer's memory of a parameter."""


def lower(rule: Rule, reserved: frozenset[str] = frozenset()) -> Plan:
    """The verified plan of a checked rule. `reserved` are identifiers that the generated module needs for itself.

    Raises OptError where a name of the rule would collide with what a torch optimizer already calls by that name.
    """
    _refuse(rule)
    return verify(_plan(rule, reserved))


def _refuse(rule: Rule) -> None:
    for p in rule.params:
        if p.name in KEYWORDS | GROUP_KEYS:
            raise OptError(_taken(p.name, "hyperparameter", "torch's own keyword argument or group entry of that name"))
    for s in rule.states:
        if s.name in KEPT_BESIDE:
            raise OptError(_taken(s.name, "state", f"what is kept beside states: {KEPT_BESIDE[s.name]}"))
        if s.dtype in QUANTISED:
            _refuse_codes(s, rule)


def _refuse_codes(state: State, rule: Rule) -> None:
    """Refuses a block-quantised state where blocks make no sense, or its scales would have another's name."""
    if state.scope != "element":
        text = f"state `{state.name}` is {state.dtype} per {state.scope}: only states per element are block-quantised"
        raise OptError(Diagnostic("E403", text, state.init.span, help="declare it bfloat16 or float32"))
    if abs(literal(state.init) or 0.0) == inf:
        text = f"state `{state.name}` is {state.dtype}, whose blocks have no infinity to begin with"
        raise OptError(Diagnostic("E403", text, state.init.span, help="declare it bfloat16 or float32"))
    if any(s.name == f"{state.name}_scale" for s in rule.states):
        raise OptError(_taken(f"{state.name}_scale", "state", f"entry for the scales of `{state.name}`"))


def _taken(name: str, what: str, why: str) -> Diagnostic:
    text = f"the {what} `{name}` collides with {why}"
    return Diagnostic("E104", text, NOWHERE, help=f"rename it, `{name}_` for one")


def _plan(rule: Rule, reserved: frozenset[str]) -> Plan:
    homes = Homes(rule, reserved)
    facts = Analysis(rule).start
    memories = tuple(_memory(homes, s, facts[s.name].nonnegative) for s in rule.states)
    step = Builder(homes).step(("theta", "g", *rule.inputs, *(s.name for s in rule.states)))
    computed = tuple(s for s, m in zip(rule.states, memories, strict=True) if m.fill is None)
    return Plan(
        name=rule.name,
        doc=rule.doc,
        params=tuple((p, homes.names.of(p.name)) for p in rule.params),
        host=homes.host,
        flags=tuple(homes.flags),
        memories=memories,
        extra_inputs=rule.inputs,
        step=step,
        initial=_initial(homes, computed) if computed else None,
        evaluate=None if rule.evaluate is None else _evaluate(homes, rule.evaluate),
        serves=None if rule.applies is None else homes.rename(rule.applies.condition),
        fallback=_fallback(rule, reserved),
    )


def _memory(homes: Homes, state: State, nonnegative: bool) -> Memory:
    if state.dtype == "ufp8" and not nonnegative:
        text = f"state `{state.name}` is ufp8, which has no sign, and is not proven to be 0 or above at every step"
        raise OptError(Diagnostic("E403", text, state.init.span, help="declare it fp8, or store max(…, 0)"))
    return Memory(
        key=state.name,
        name=homes.names.of(state.name),
        scope=state.scope,
        dtype=None if state.dtype == "float32" else state.dtype,
        fill=literal(state.init),
        flag=None if state.when is None else homes.flag(state.when, "bool"),
        written=any(isinstance(s, Assign) and s.name == state.name for s in homes.rule.statements()),
        nonnegative=nonnegative,
    )


def _initial(homes: Homes, states: tuple[State, ...]) -> Segment:
    builder = Builder(homes)
    body = tuple(part for s in states for part in builder.bind(f"first {s.name}", s.init))
    return builder.segment(("theta",), body, tuple(homes.names.of(f"first {s.name}") for s in states))


def _evaluate(homes: Homes, value: Expr) -> Segment:
    builder = Builder(homes)
    body = tuple(builder.bind(RESULT, value))
    return builder.segment(("theta", *(s.name for s in homes.rule.states)), body, (RESULT,))


def _fallback(rule: Rule, reserved: frozenset[str]) -> Plan | None:
    if rule.applies is None or rule.applies.otherwise is None:
        return None
    other, given = rule.applies.otherwise, dict(rule.applies.settings)
    params = tuple(replace(p, default=given.get(p.name, p.default)) for p in other.params)
    return lower(replace(other, params=params, applies=None), reserved)


def literal(value: Expr) -> float | None:
    """The number that an expression plainly is, its sign included, or None."""
    match value:
        case Number():
            return value.value
        case Bool():
            return float(value.value)
        case Name("inf"):
            return float("inf")
        case Apply("neg", (inner,)):
            number = literal(inner)
            return None if number is None else -number
    return None
