"""Rule → a rule of the same values that costs less: the named rewrites of `rewrites.py`, applied until none pays.

Bottom up, one statement after another, each rewrite kept only where it lowers the cost. What nothing reads any more is
dropped: values of the step, and states. Hyperparameters stay, since they are the optimizer's signature. Work is
bounded: a rule too large is returned as it is, and a rule that keeps on changing stops changing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..rule import Rule
from ..text.expressions import Apply, Bool, Expr, Matrix, Number
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When
from ..text.walking import children, mapped, walk
from . import cost
from .analysis import Analysis
from .dead import without_dead
from .facts import Fact
from .known import Builder, Known
from .rewrites import REWRITES

MAX_NODES = 20_000
MAX_DEPTH = 200
ROUNDS = 3
"""A folded literal may prove what the rewrites before it needed to know; a third round has never found anything."""


def simplify(rule: Rule) -> Rule:
    """The rule with every rewrite applied that lowers its cost; `cost(simplify(r)) <= cost(r)`.

    Values agree with the given rule's but for rounding, and for overflow and underflow inside sums and products that
    were regrouped, divisors of moderate size on the host among them; roots, other quotients and negative powers stay.
    NaN and infinities otherwise stand exactly where they stood. Never raises.
    """
    if not _is_small(rule):
        return rule
    for _ in range(ROUNDS):
        before, rule = rule, without_dead(_Simplifier(rule).rule())
        if rule == before:
            break
    if rule.applies is None or rule.applies.otherwise is None:
        return rule
    return replace(rule, applies=replace(rule.applies, otherwise=simplify(rule.applies.otherwise)))


def _is_small(rule: Rule) -> bool:
    exprs = [s.init for s in rule.states] + ([] if rule.evaluate is None else [rule.evaluate])
    nodes = 0
    for part in (*rule.body, *exprs):
        nodes += sum(1 for _ in walk(part))
        if nodes > MAX_NODES or _depth(part) > MAX_DEPTH:
            return False
    return True


def _depth(root: Expr | Statement) -> int:
    depth, level = 0, [root]
    while level and depth <= MAX_DEPTH:
        depth, level = depth + 1, [c for node in level for c in children(node)]  # type: ignore[misc]
    return depth


class _Simplifier:
    def __init__(self, rule: Rule) -> None:
        self.given = rule
        self.analysis = Analysis(rule)
        self.builder = Builder(REWRITES, zeros_free=not self.analysis.zero_signs_matter)

    def rule(self) -> Rule:
        env = dict(self.analysis.start)
        states = tuple(replace(s, init=self.expression(s.init, env)) for s in self.given.states)
        body = self.block(self.given.body, env)
        evaluate = self.given.evaluate
        return replace(
            self.given,
            states=states,
            body=body,
            evaluate=None if evaluate is None else self.expression(evaluate, env),
        )

    def block(self, body: Iterable[Statement], env: dict[str, Fact]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            out.extend(self.statement(s, env))
            self.analysis.follow(s, env)
        return tuple(out)

    def statement(self, s: Statement, env: dict[str, Fact]) -> tuple[Statement, ...]:
        match s:
            case Let() | Assign() | Output():
                return (replace(s, value=self.expression(s.value, env)),)
            case When():
                condition = self.expression(s.condition, env)
                then, otherwise = self.block(s.then, dict(env)), self.block(s.otherwise, dict(env))
                if isinstance(condition, Bool):
                    return then if condition.value else otherwise
                return (replace(s, condition=condition, then=then, otherwise=otherwise),)
            case Repeat():
                return (replace(s, count=self.expression(s.count, env), body=self.block(s.body, self.in_loop(s, env))),)
        return (s,)

    def in_loop(self, s: Repeat, env: dict[str, Fact]) -> dict[str, Fact]:
        """What holds as any round of the loop begins."""
        inside = dict(env)
        self.analysis.forget(s.body, inside)
        return inside

    def expression(self, e: Expr, env: dict[str, Fact]) -> Expr:
        return self.known(e, env).expr

    def known(self, e: Expr, env: dict[str, Fact]) -> Known:
        match e:
            case Number(value=value):
                return Known(e, self.analysis.of(e, env), cost.NODE, value=value)
            case Apply(op=op, args=args, span=span):
                return self.builder.make(op, *(self.known(a, env) for a in args), span=span)
        return self.opaque(_plain_transpose(mapped(e, lambda part: self.expression(part, env))), env)

    def opaque(self, e: Expr, env: dict[str, Fact]) -> Known:
        price, fact = cost.of_expression(e, self.analysis, env)
        return Known(e, fact, price)


def _plain_transpose(e: Expr) -> Expr:
    """A.T.T is A, exactly."""
    match e:
        case Matrix(op="transpose", args=(Matrix(op="transpose", args=(inner,)),)):
            return inner
    return e
