"""A checked rule to a tree that can be printed, and to its text; checking the text gives the same rule back."""

from __future__ import annotations

from .rule import Applies, Interval, Param, Prior, Rule, State
from .text import syntax as s
from .text.expressions import Call
from .text.format import format_file
from .text.spelling import literal


def file_of(rule: Rule) -> s.File:
    """The rule as a tree to be printed: calls stay resolved, and what was inlined stays inlined.

    Only a fallback on a rule in a file of one's own is left out: its path means nothing elsewhere.
    """
    items: list[s.Item] = [s.Optimizer(rule.name), *_applies_lines(rule.applies)]
    items += [s.InputDecl(name) for name in rule.inputs]
    items += [_param_decl(p) for p in rule.params]
    items += [_state_decl(state) for state in rule.states]
    items += rule.body
    items += [] if rule.evaluate is None else [s.Evaluate("theta", rule.evaluate)]
    return s.File(tuple(items), rule.doc)


def text_of(rule: Rule) -> str:
    """The text whose check is this rule again, wherever it is kept; it ends in a newline."""
    return format_file(file_of(rule))


def _applies_lines(applies: Applies | None) -> list[s.Item]:
    if applies is None:
        return []
    if applies.otherwise is None or applies.use is None or applies.use.quoted:
        return [s.Applies(applies.condition)]
    call = Call(applies.use.rule, (), tuple((name, literal(value)) for name, value in applies.settings))
    return [applies.use, s.Applies(applies.condition, call)]


def _param_decl(p: Param) -> s.ParamDecl:
    default = None if p.default is None else literal(p.default)
    type_ = p.type if p.type == "int" or (p.type == "bool" and default is None) else None
    prior = None if p.prior is None else prior_of(p.prior)
    return s.ParamDecl(p.name, type_, default, _interval(p.interval), prior, p.doc)


def _interval(i: Interval | None) -> s.Interval | None:
    return None if i is None else s.Interval(literal(i.low), literal(i.high), i.low_open, i.high_open)


def prior_of(p: Prior) -> s.Prior:
    """A prior as its declaration says it."""
    complement = None if p.complement is None else literal(p.complement)
    return s.Prior(p.family, tuple(literal(a) for a in p.args), complement)


def _state_decl(state: State) -> s.StateDecl:
    scope = None if state.scope == "element" and state.dtype is None else state.scope
    return s.StateDecl(state.name, scope, state.dtype, state.init, state.when, state.doc)
