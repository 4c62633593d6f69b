"""Rule → the rule with its switches where they are, by default or as given: no `when` is left that they decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ..operators import OPERATORS
from ..rule import Rule, Value
from ..text.expressions import Apply, Bool, Expr, Name, Number
from ..text.syntax import Output, Repeat, Statement, When

NO_DECAY = Output("decay", Number(0.0, "0"))
"""What an arm without decay says where the other has some, and a rule on its own need not say."""


def settled(rule: Rule, given: Mapping[str, Value] = MappingProxyType({})) -> Rule:
    """The rule as it runs under some values of hyperparameters and sizes, else at its defaults.

    Hyperparameters that only the other arms read go, and so do their states.
    """
    if all(s.when is None for s in rule.states) and not any(isinstance(s, When) for s in rule.statements()):
        return rule
    values = {**{p.name: p.default for p in rule.params if p.default is not None}, **given}
    states = tuple(
        replace(s, when=None if value is True else s.when)
        for s in rule.states
        if (value := None if s.when is None else decided(s.when, values)) is not False
    )
    body = tuple(s for s in _settled(rule.body, values) if s != NO_DECAY)
    out = replace(rule, states=states, body=body)
    gone = rule.reads() - out.reads()
    return replace(out, params=tuple(p for p in rule.params if p.name not in gone))


def _settled(body: Iterable[Statement], values: Mapping[str, Any]) -> Iterable[Statement]:
    for s in body:
        if isinstance(s, When):
            then, otherwise = tuple(_settled(s.then, values)), tuple(_settled(s.otherwise, values))
            value = decided(s.condition, values)
            if value is None:
                yield replace(s, then=then, otherwise=otherwise)
            else:
                yield from then if value else otherwise
        elif isinstance(s, Repeat):
            yield replace(s, body=tuple(_settled(s.body, values)))
        else:
            yield s


def decided(condition: Expr, values: Mapping[str, Any]) -> bool | None:
    """What a condition is under some values of hyperparameters, or None where sizes decide as well."""
    with np.errstate(all="ignore"):
        value = _value(condition, values)
    return None if value is None else bool(value)


def _value(e: Expr, values: Mapping[str, Any]) -> Any:
    match e:
        case Number() | Bool():
            return e.value
        case Name(id=name):
            return values.get(name)
        case Apply(op=op, args=args):
            known = [_value(a, values) for a in args]
            return None if any(x is None for x in known) else OPERATORS[op].numpy(np, *known)
    return None
