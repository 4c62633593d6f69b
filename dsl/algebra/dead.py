"""Rule → which of its states and values anything depends on, and the rule without the others; computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..rule import Rule
from ..text.expressions import Expr
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When
from ..text.walking import names


def live_names(rule: Rule) -> frozenset[str]:
    """Every name that theta, or what evaluation sees, depends on, at this step or a later one."""
    live = {"theta"} if rule.evaluate is None else {"theta", *names(rule.evaluate)}
    before = -1
    while len(live) != before:
        before = len(live)
        _read(rule.body, live)
        for s in rule.states:
            live |= {n for e in (s.init, s.when) if e is not None and s.name in live for n in names(e)}
    return frozenset(live)


def _read(body: Sequence[Statement], live: set[str]) -> bool:
    """Add what the statements that matter read, last first, a block's condition with it; whether any matters."""
    any_matters = False
    for s in reversed(body):
        matters = True
        reads: tuple[Expr, ...] = ()
        match s:
            case Let(name=name, value=value) | Assign(name=name, value=value):
                matters, reads = name in live, (value,)
            case Output(value=value):
                reads = (value,)
            case When(condition=condition, then=then, otherwise=otherwise):
                arms = [_read(arm, live) for arm in (then, otherwise)]
                matters, reads = any(arms), (condition,)
            case Repeat(count=count, body=block):
                matters, reads = _read(block, live), (count,)
        if matters:
            any_matters = True
            live.update(n for e in reads for n in names(e))
    return any_matters


def dead_states(rule: Rule) -> tuple[str, ...]:
    """States that use memory and change nothing."""
    live = live_names(rule)
    return tuple(s.name for s in rule.states if s.name not in live)


def without_dead(rule: Rule) -> Rule:
    """The rule without states and values of the step that nothing depends on. Hyperparameters stay."""
    live = live_names(rule)
    states = tuple(s for s in rule.states if s.name in live)
    return replace(rule, states=states, body=_kept(rule.body, live))


def without_unread(rule: Rule) -> Rule:
    """The rule without hyperparameters that nothing reads."""
    used = rule.reads()
    return replace(rule, params=tuple(p for p in rule.params if p.name in used))


def _kept(body: Iterable[Statement], live: frozenset[str]) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        match s:
            case Let(name=name) | Assign(name=name):
                out += [s] if name in live else []
            case When():
                arms = replace(s, then=_kept(s.then, live), otherwise=_kept(s.otherwise, live))
                out += [arms] if arms.then or arms.otherwise else []
            case Repeat():
                block = replace(s, body=_kept(s.body, live))
                out += [block] if block.body else []
            case _:
                out.append(s)
    return tuple(out)
