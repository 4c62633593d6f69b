"""What is known before any number is: conditions on hyperparameters and sizes, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..algebra.facts import UNKNOWN, Fact, apply, literal
from ..diagnostics import Diagnostic, Span
from ..rule import Interval
from ..text.expressions import Apply, Call, Expr, Name, Noise, Number, Prev, Reduce
from ..text.syntax import Statement
from ..text.walking import walk
from .resolve import Resolver

SIZES = frozenset(("ndim", "rows", "cols", "numel", "pi", "inf"))
A_SIZE = Interval(0, math.inf, False, True)
OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}


def require_static(e: Expr, resolver: Resolver, where: str) -> None:
    """Report the part of an expression that is not known before the step runs."""
    params = {entity.name for entity in resolver.names.values() if entity.kind == "param"}
    for part in walk(e):
        moving = isinstance(part, (Reduce, Noise, Prev, Call)) or (
            isinstance(part, Name) and part.id not in SIZES and part.id not in params
        )
        if moving:
            message = f"{where} is decided before the step runs, and this changes from step to step"
            help = "it may depend on hyperparameters, `ndim`, `rows`, `cols` and `numel`; else use `where(c, x, y)`"
            resolver.report(Diagnostic("E205", message, part.span, help=help))
            return


def require_outside(
    e: Expr, own: Sequence[Statement], span: Span, resolver: Resolver, where: str, without: Sequence[str]
) -> None:
    """Report what an expression outside the step asks for and only the step has.

    `own` are the statements that its calls of functions brought along, `without` the given names that are not there.
    """
    parts = list(walk(e))
    missing = [f"`{part.id}`" for part in parts if isinstance(part, Name) and part.id in without]
    missing += ["random numbers" for part in parts if isinstance(part, Noise)]
    if own:
        message, help = f"{where} is one expression, and a call in it takes statements", "write out what it computes"
        resolver.report(Diagnostic("E305", message, span, help=help))
    elif missing:
        help = "only the step has it: write it there, and keep it in a `state`"
        resolver.report(Diagnostic("E305", f"{where} has no {missing[0]}", span, help=help))


def ceiling(count: Expr, allowed: Mapping[str, Interval]) -> float:
    """A number that a count never exceeds, with hyperparameters as `allowed`; infinity where none is known."""
    fact = _fact(count, allowed)
    return math.inf if fact.nan or fact.infinite else fact.high


def _fact(e: Expr, allowed: Mapping[str, Interval]) -> Fact:
    match e:
        case Number(value=value):
            return literal(value)
        case Name(id="inf"):
            return literal(math.inf)
        case Name(id=name):
            valid = allowed.get(name, A_SIZE)
            return Fact(valid.low, valid.high, 0 in valid, math.inf in valid or -math.inf in valid, nan=False)
        case Apply(op=op, args=args):
            return apply(op, tuple(_fact(a, allowed) for a in args))
    return UNKNOWN


def implied(condition: Expr, path: list[tuple[Expr, bool]]) -> bool:
    """Whether a condition holds wherever all of `path` does. Says no where it cannot tell."""
    facts = [fact for test, holds in path for fact in _facts(test, holds)]
    if isinstance(condition, Apply) and condition.op == "and":
        return all(implied(part, path) for part in condition.args)
    if isinstance(condition, Apply) and condition.op == "or":
        return any(implied(part, path) for part in condition.args)
    return condition in facts


def _facts(test: Expr, holds: bool) -> list[Expr]:
    """What a test that holds, or one that does not, says outright."""
    if isinstance(test, Apply) and test.op == "not":
        return _facts(test.args[0], not holds)
    if isinstance(test, Apply) and test.op == ("and" if holds else "or"):
        return [fact for part in test.args for fact in _facts(part, holds)]
    if holds:
        return [test]
    if isinstance(test, Apply) and test.op in OPPOSITE:
        return [Apply(OPPOSITE[test.op], test.args)]
    return [Apply("not", (test,))]
