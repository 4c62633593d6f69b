"""Rule × values of hyperparameters → the rule with those values written in; the hyperparameters stay declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from ..rule import Rule, RuleStatement, Value
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Number, Reduce
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When


def literal(value: Value) -> Expr:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return Bool(value)
    return Apply("neg", (Number(-float(value)),)) if value < 0 else Number(float(value))


def substitute(rule: Rule, values: Mapping[str, Value]) -> Rule:
    """The rule with each named hyperparameter replaced by its value."""
    exprs = {name: literal(value) for name, value in values.items()}
    states = tuple(
        replace(s, init=_expr(s.init, exprs), when=None if s.when is None else _expr(s.when, exprs))
        for s in rule.states
    )
    evaluate = None if rule.evaluate is None else _expr(rule.evaluate, exprs)
    body = cast(tuple[RuleStatement, ...], _block(rule.body, exprs))
    return replace(rule, states=states, body=body, evaluate=evaluate)


def _block(body: tuple[Statement, ...], exprs: Mapping[str, Expr]) -> tuple[Statement, ...]:
    return tuple(_statement(s, exprs) for s in body)


def _statement(s: Statement, exprs: Mapping[str, Expr]) -> Statement:
    match s:
        case Let() | Assign() | Output():
            return replace(s, value=_expr(s.value, exprs))
        case When():
            arms = (_block(s.then, exprs), _block(s.otherwise, exprs))
            return replace(s, condition=_expr(s.condition, exprs), then=arms[0], otherwise=arms[1])
        case Repeat():
            return replace(s, count=_expr(s.count, exprs), body=_block(s.body, exprs))
    return s


def _expr(e: Expr, exprs: Mapping[str, Expr]) -> Expr:
    match e:
        case Name(id=name):
            return exprs.get(name, e)
        case Apply() | Reduce() | Matrix():
            return replace(e, args=tuple(_expr(a, exprs) for a in e.args))
        case Cast():
            return replace(e, value=_expr(e.value, exprs))
    return e
