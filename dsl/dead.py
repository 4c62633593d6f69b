"""Rule → which of its states and values anything depends on, and the rule without the others; computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

from .rule import Rule, RuleStatement
from .syntax import Apply, Assign, Expr, Let, Name, Output, Prev, Repeat, Statement, When, names


def live_names(rule: Rule) -> frozenset[str]:
    """Every name that theta, or what evaluation sees, depends on, at this step or a later one."""
    live = {"theta"} if rule.evaluate is None else {"theta", *names(rule.evaluate)}
    before = -1
    while len(live) != before:
        before = len(live)
        live |= {name for e in _read(rule.body, live) for name in _names(e)}
        for s in rule.states:
            live |= {n for e in (s.init, s.when) if e is not None and s.name in live for n in _names(e)}
    return frozenset(live)


def _names(e: Expr) -> Iterator[str]:
    """As `syntax.names`, but quicker: it looks at no field that holds no name."""
    pending = [e]
    while pending:
        top = pending.pop()
        if isinstance(top, Apply):
            pending += top.args
        elif isinstance(top, Name):
            yield top.id
        elif isinstance(top, Prev):
            yield top.state
        else:
            yield from names(top)


def _read(body: Iterable[Statement], live: set[str]) -> Iterator[Expr]:
    """What the statements that matter read, a block's own condition included if anything in it matters."""
    for s in body:
        match s:
            case Let(name=name) | Assign(name=name) if name not in live:
                pass
            case Let(value=value) | Assign(value=value) | Output(value=value):
                yield value
            case When(condition=condition, then=then, otherwise=otherwise):
                inside = [*_read(then, live), *_read(otherwise, live)]
                yield from (condition, *inside) if inside else ()
            case Repeat(count=count, body=block):
                inside = [*_read(block, live)]
                yield from (count, *inside) if inside else ()


def dead_states(rule: Rule) -> tuple[str, ...]:
    """States that use memory and change nothing."""
    live = live_names(rule)
    return tuple(s.name for s in rule.states if s.name not in live)


def without_dead(rule: Rule) -> Rule:
    """The rule without states and values of the step that nothing depends on. Hyperparameters stay."""
    live = live_names(rule)
    states = tuple(s for s in rule.states if s.name in live)
    return replace(rule, states=states, body=cast(tuple[RuleStatement, ...], _kept(rule.body, live)))


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
