"""Rule × values of hyperparameters → the rule with those values written in; the hyperparameters stay declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..rule import Rule, Value
from ..text.expressions import Expr, Name
from ..text.spelling import literal
from ..text.walking import mapped, with_values


def substitute(rule: Rule, values: Mapping[str, Value]) -> Rule:
    """The rule with each named hyperparameter replaced by its value."""
    exprs = {name: literal(value) for name, value in values.items()}

    def filled(e: Expr) -> Expr:
        return exprs.get(e.id, e) if isinstance(e, Name) else mapped(e, filled)

    states = tuple(
        replace(s, init=filled(s.init), when=None if s.when is None else filled(s.when)) for s in rule.states
    )
    evaluate = None if rule.evaluate is None else filled(rule.evaluate)
    body = tuple(with_values(s, filled) for s in rule.body)
    return replace(rule, states=states, body=body, evaluate=evaluate)
