"""Rule → what can be said of it without training anything: each property with "yes", "no" or "unknown", and in words.

"yes" is proven on the rule's normal form, at the default hyperparameters where those matter; "no" has a witness, a
short run that shows it; "unknown" is neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, log10
from typing import Literal

from ..algebra.dead import dead_states
from ..algebra.facts import ELEMENT, Fact, literal
from ..algebra.normal_facts import fact_of, leaf_facts
from ..algebra.simplify import simplify
from ..algebra.study import Study, at_defaults, study
from ..meaning.graph import Node, reachable
from ..rule import Rule
from .bounds import bound, pinned
from .characters import FLIP, NONE, SCALE, ZERO, Group, Special, Weight, Weights
from .symbolic import Symbolic, UnknownError, from_sympy
from .typeset import typeset_expr
from .witness import is_homogeneous, is_odd, rests

Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Property:
    """One finding: `name` is stable, `text` is a sentence."""

    name: str
    answer: Answer
    text: str


def properties(rule: Rule) -> tuple[Property, ...]:
    """All properties of a rule, in a fixed order."""
    effective = simplify(at_defaults(rule))
    s = study(effective)
    return (scaling(s), oddness(s), bounded(s), resting(s), *long_run(s), states(rule))


# ---------------------------------------------------------------- scaling and flipping the gradient


NEGLIGIBLE = 1e-5
"""A literal up to this, added to something, is there to keep a quotient finite, as a hyperparameter named eps is."""


def _weight(s: Study, group: Group, small_is_zero: bool) -> Weight:
    def leaf(node: Node) -> Weight:
        if node.op == "given" and node.data == "g":
            return Fraction(1)
        return ZERO if small_is_zero and node.op == "param" and str(node.data).startswith("eps") else NONE

    assert s.direction is not None
    negligible = NEGLIGIBLE if small_is_zero else 0.0
    return group.reduced(Weights(group, s.nodes, s.memory, leaf, s.normal.one, negligible).of[s.direction])


def scaling(s: Study) -> Property:
    """Of what degree the update is homogeneous in the gradient."""
    name = "homogeneous in the gradient"
    if s.direction is not None:
        for small, but in ((False, ""), (True, ", but for eps")):
            weight = _weight(s, SCALE, small)
            if not isinstance(weight, Special):
                return Property(name, "yes", f"{_degree(weight)}{but}")
    if not is_homogeneous(s.rule):
        return Property(name, "no", "scaling all gradients changes the update's direction")
    return Property(name, "unknown", "no degree was found")


def _degree(weight: Fraction) -> str:
    if weight == 0:
        return "degree 0: the update does not change when all gradients are scaled"
    return f"degree {weight}: scaling all gradients by c scales the update by c{'' if weight == 1 else f'^{weight}'}"


def oddness(s: Study) -> Property:
    name = "odd in the gradient"
    if s.direction is not None and _weight(s, FLIP, False) in (Fraction(1), ZERO):
        return Property(name, "yes", "flipping all gradients flips the update")
    if not is_odd(s.rule):
        return Property(name, "no", "flipping all gradients does not flip the update")
    return Property(name, "unknown", "not proven")


# ---------------------------------------------------------------- size, rest


def bounded(s: Study) -> Property:
    size = bound(s)
    if size is None:
        return Property("bounded", "unknown", "no bound on |update| was found")
    return Property("bounded", "yes", f"|update| <= {_rounded_up(size)} for any finite gradients")


def _rounded_up(size: float) -> str:
    """Four digits, none of which promises too much."""
    if size == 0:
        return "0"
    last = 10.0 ** (floor(log10(size)) - 3)
    return f"{ceil(size / last * (1 - 1e-12)) * last:.4g}"


def resting(s: Study) -> Property:
    """Whether a zero gradient on zero states leaves theta in place, decoupled decay aside."""
    name = "rests at zero gradient"
    but = ", but for weight decay" if s.decays else ""
    if s.direction is not None and _at_rest(s):
        return Property(name, "yes", f"zero gradients and zero states leave theta in place{but}")
    if not rests(s.rule):
        return Property(name, "no", "theta moves although every gradient has been zero")
    return Property(name, "unknown", "not proven")


ANYWHERE = Fact(infinite=False, nan=False)


def _at_rest(s: Study) -> bool:
    """Whether the direction is 0 where the gradient and all states that start at 0 are, and those states stay 0."""
    at_zero = {name for name, (init, _) in s.memory.items() if s.nodes[init] == Node("number", (), "0.0")}
    zero = literal(0.0)._replace(shape=ELEMENT)
    known = leaf_facts(pinned(s.rule), dict.fromkeys(at_zero, zero))

    def leaf(node: Node) -> Fact:
        if node.op == "given" and node.data in ("g", "theta"):
            return zero if node.data == "g" else ANYWHERE
        return known(node)

    facts: list[Fact] = [ANYWHERE] * len(s.nodes)
    assert s.direction is not None
    still = [s.direction, *(s.memory[name][1] for name in at_zero)]
    for i in reachable(s.nodes, still):
        facts[i] = fact_of(s.nodes[i], facts, leaf)
    return all(facts[i].low == facts[i].high == 0 and not facts[i].nan for i in still)


# ---------------------------------------------------------------- as t grows


def long_run(s: Study) -> tuple[Property, ...]:
    """What the step size tends to, and where a gradient that never changes drives the states and the update."""
    y = Symbolic(s.rule, s.traced)
    out = [_limit_of("step size in the long run", lambda: y.limit(y.of(s.traced.outputs["step_size"])), y)]
    found = y.steady({name: m.update for name, m in s.traced.states.items()})
    rest = [name for name in s.memory if name not in found]
    parts = [f"{name} → {_shown(value, y)}" for name, value in found.items()]
    if "update" in s.traced.outputs and not rest:
        try:
            late = y.of(s.traced.outputs["update"]).subs({y.leaf(name): value for name, value in found.items()})
            parts.append(f"update → {_shown(y.tidy(y.limit(late)), y)}")
        except UnknownError:
            rest.append("update")
    text = ", ".join(parts) + (f"; not found: {', '.join(rest)}" if rest and parts else "")
    answer: Answer = "yes" if parts and not rest else "unknown"
    return (*out, Property("under a constant gradient", answer, text or "nothing was found"))


def _limit_of(name: str, find: Callable[[], object], y: Symbolic) -> Property:
    try:
        return Property(name, "yes", _shown(find(), y))
    except (UnknownError, KeyError):
        return Property(name, "unknown", "no limit was found")


def _shown(value: object, y: Symbolic) -> str:
    if value is None:
        raise UnknownError("infinities meet")
    ends = y.swing(value)
    if ends is None:
        return typeset_expr(from_sympy(value))
    low, high = (typeset_expr(from_sympy(end)) for end in ends)
    return f"no limit: it swings between {low} and {high}"


def states(rule: Rule) -> Property:
    dead = dead_states(rule)
    if dead:
        return Property("every state matters", "no", f"nothing depends on {', '.join(dead)}")
    return Property("every state matters", "yes", "the update depends on every state")
