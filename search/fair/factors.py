"""A rule's step size to the factors of its schedule, and the rule without some of them; trains and tunes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isclose, prod

import numpy as np

from ...dsl.meaning.interpret import settings, step
from ...dsl.rule import Rule
from ...dsl.text.expressions import Apply, Expr, Name, Number
from ...dsl.text.syntax import Let, Output
from ...dsl.text.walking import children, names
from ..spaces.trees import filled

NOMINAL_LENGTH = 1000
CLOSE = 0.02
"""How near to 1 a schedule's peak is called 1: a cosine's first steps are a little below."""


def step_size(rule: Rule) -> Expr | None:
    """The step size with the values of the step that it names written out; None where the rule has none of its own."""
    outputs = [s.value for s in rule.body if isinstance(s, Output) and s.name == "step_size"]
    return filled(outputs[-1], _scalars(rule)) if outputs else None


def schedule_factors(rule: Rule) -> list[Expr]:
    """The factors of the step size that are functions of time alone, whatever the learning rate and the gradients.

    Bias corrections, which have the form 1 - beta^t, are no schedule.
    """
    whole = step_size(rule)
    given = {"t", "pi", "inf", *(p.name for p in rule.params)} - {"lr"}
    return [f for f in _factors(whole) if _reads_time(f) and set(names(f)) <= given] if whole is not None else []


def without(rule: Rule, dropped: Sequence[Expr]) -> Rule:
    """The rule without those factors of its step size.

    Plain numbers go with them where all that they did was to bring the factors' peak to 1, like the half of a cosine.
    """
    whole = step_size(rule)
    if whole is None or not dropped:
        return rule
    kept = [factor for factor in _factors(whole) if factor not in dropped]
    numbers = [factor for factor in kept if isinstance(factor, Number)]
    peak = prod(_peak(rule, factor) for factor in dropped)
    if numbers and isclose(peak * prod(n.value for n in numbers), 1.0, rel_tol=CLOSE):
        kept = [factor for factor in kept if not isinstance(factor, Number)]
    output = Output("step_size", _multiplied(kept))
    body = tuple(output if isinstance(s, Output) and s.name == "step_size" else s for s in rule.body)
    return replace(rule, body=body)


def _scalars(rule: Rule) -> dict[str, Expr]:
    """The values of a step that hyperparameters and `t` alone decide, each in terms of nothing else."""
    known: dict[str, Expr] = {}
    given = {"t", "pi", "inf", *(p.name for p in rule.params)}
    for s in rule.body:
        if isinstance(s, Let) and not s.var and set(names(s.value)) <= given | set(known):
            known[s.name] = filled(s.value, known)
    return known


def _factors(value: Expr) -> Iterator[Expr]:
    match value:
        case Apply("mul", args):
            for part in args:
                yield from _factors(part)
        case Apply("div", (above, below)):
            yield from (f for f in _factors(above) if f != Number(1.0))
            yield from (Apply("div", (Number(1.0, "1"), f)) for f in _factors(below))
        case _:
            yield value


def _reads_time(value: Expr) -> bool:
    match value:
        case Name("t"):
            return True
        case Apply("sub", (Number(1.0), Apply("pow", (_, Name("t"))))):
            return False
    return any(_reads_time(part) for part in children(value))  # type: ignore[arg-type]


def _multiplied(factors: Sequence[Expr]) -> Expr:
    out: Expr = factors[0] if factors else Number(1.0, "1")
    for factor in factors[1:]:
        match factor:
            case Apply("div", (Number(1.0), below)):
                out = Apply("div", (out, below))
            case _:
                out = Apply("mul", (out, factor))
    return out


def _peak(rule: Rule, factor: Expr) -> float:
    """The largest value of a factor over a run of NOMINAL_LENGTH steps, at the rule's defaults."""
    small = replace(
        rule, states=(), evaluate=None, applies=None, body=(Output("update", factor), Output("step_size", Number(1.0)))
    )
    missing = {p.name: NOMINAL_LENGTH for p in rule.params if p.default is None}
    values = settings(small, **missing)
    zero = np.zeros(())
    return max(-float(step(small, values, zero, zero, {}, t)[0]) for t in range(1, NOMINAL_LENGTH + 1, 9))
