"""Finds results of a step that may be the memory of something that the step overwrites. It changes nothing.

`last <- theta` and `b <- a` name a tensor that is there already. Who stores results one after the other must copy these
before the first of them is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dsl.text.expressions import Cast, Expr, Matrix, Name
from .plan import Bind, Branch, Plan, Statement

Lenders = dict[str, frozenset[str]]
"""A name to the inputs whose memory it may be."""


def borrowed(plan: Plan) -> frozenset[str]:
    """The outputs of a plan's step that may be theta or a state of another name."""
    overwritten = {"theta", *(m.name for m in plan.memories if m.written)}
    of: Lenders = {name: frozenset({name}) for name in overwritten}
    _follow(plan.step.body, of)
    return frozenset(name for name in plan.step.outputs if _of(name, of) - {name})


def _follow(body: Sequence[Statement], of: Lenders) -> None:
    for s in body:
        if isinstance(s, Bind):
            of[s.name] = _lent(s.value, of)
        elif isinstance(s, Branch):
            other = dict(of)
            _follow(s.then, of)
            _follow(s.otherwise, other)
            _meet(of, other)
        else:
            before: Lenders = {}
            while before != of:  # a value may take a turn for each name that it goes through
                before, turned = dict(of), dict(of)
                _follow(s.body, turned)
                _meet(of, turned)


def _meet(of: Lenders, other: Lenders) -> None:
    of.update({name: _of(name, of) | lenders for name, lenders in other.items()})


def _lent(value: Expr, of: Lenders) -> frozenset[str]:
    match value:
        case Name(id=name):
            return _of(name, of)
        case Cast(value=inner) | Matrix(op="transpose", args=(inner,)):
            return _lent(inner, of)
    return frozenset()


def _of(name: str, of: Lenders) -> frozenset[str]:
    return of.get(name, frozenset())
