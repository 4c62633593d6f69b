"""Rule → what is known of its names before any step runs: states as each step begins, names after each statement.

The facts of states are found by running the rule on facts until nothing changes. Nothing is rewritten here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from ..rule import Rule, assigned
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When
from .facts import CONDITION, HOST, SHAPES, UNKNOWN, Fact, apply, literal, observes_zero_sign, reduced, rounded
from .leaf_facts import GIVEN, NOISE, of_param

Facts = dict[str, Fact]


class Analysis:
    """Facts of a rule's names while its statements are followed in order.

    `start` holds what is known of every name as a step begins. `zero_signs_matter` says that somewhere in the rule the
    sign of a zero may be seen, so that no rewrite may change one.
    """

    def __init__(self, rule: Rule) -> None:
        self.zero_signs_matter = False
        self.prev: dict[str, Fact] = {}
        self.start = {**GIVEN, **dict.fromkeys(rule.inputs, UNKNOWN), **{p.name: of_param(p) for p in rule.params}}
        self._find_states(rule)
        self.zero_signs_matter = False
        env = dict(self.start)
        self._block(rule.body, env)
        for e in (s.init for s in rule.states):
            self.of(e, env)
        if rule.evaluate is not None:
            self.of(rule.evaluate, env)

    def of(self, e: Expr, env: dict[str, Fact]) -> Fact:
        """The fact of an expression where `env` holds those of the names it reads."""
        match e:
            case Number(value=value):
                return literal(value)
            case Bool():
                return CONDITION._replace(shape=HOST)
            case Name(id=name):
                return env.get(name, UNKNOWN)
            case Prev(state=name):
                return self.prev.get(name, UNKNOWN)
            case Apply(op=op, args=args):
                return self.combine(
                    op, tuple(self.of(a, env) for a in args), same=len(args) == 2 and args[0] == args[1]
                )
            case Cast(value=value):
                return rounded(self.of(value, env))
            case Reduce(op=op, args=args, scope=scope):
                return reduced(op, [self.of(a, env) for a in args], SHAPES[scope])
            case Matrix(op=op, args=args):
                for a in args:
                    self.of(a, env)
                self.zero_signs_matter |= op not in ("matmul", "transpose")
                return UNKNOWN
            case Noise():
                return NOISE
        return UNKNOWN

    def combine(self, op: str, args: tuple[Fact, ...], same: bool = False) -> Fact:
        """The fact of an operator's result, noting whether it can see the sign of a zero."""
        self.zero_signs_matter |= observes_zero_sign(op, args)
        return apply("square", args[:1]) if same and op == "mul" else apply(op, args)

    def follow(self, s: Statement, env: dict[str, Fact]) -> None:
        """Bring `env` from before a statement to after it."""
        match s:
            case Let(name=name, value=value) | Assign(name=name, value=value):
                fact = self.of(value, env)
                if name != "theta":
                    env[name] = fact
            case Output(value=value):
                self.of(value, env)
            case When(condition=condition, then=then, otherwise=otherwise):
                self.of(condition, env)
                left, right = dict(env), dict(env)
                self._block(then, left)
                self._block(otherwise, right)
                env |= {n: left.get(n, UNKNOWN).either(right.get(n, UNKNOWN)) for n in {*left, *right}}
            case Repeat(count=count, body=body):
                self.of(count, env)
                self.forget(body, env)
                self._block(body, env)

    def forget(self, body: Iterable[Statement], env: dict[str, Fact]) -> None:
        """Nothing is known any more of what a block gives values to."""
        env |= dict.fromkeys(assigned(body), UNKNOWN)

    def _block(self, body: Iterable[Statement], env: dict[str, Fact]) -> None:
        for s in body:
            self.follow(s, env)

    def _find_states(self, rule: Rule) -> None:
        shapes = {s.name: SHAPES[s.scope] for s in rule.states}

        def after(before: Facts) -> Facts:
            self.prev = before
            env = {**self.start, **before}
            self._block(rule.body, env)
            return {name: env[name]._replace(shape=shape) for name, shape in shapes.items()}

        initial = {s.name: self.of(s.init, self.start)._replace(shape=shapes[s.name]) for s in rule.states}
        self.start |= settle(initial, after)
        self.prev = {name: self.start[name] for name in shapes}


def settle(initial: Facts, after: Callable[[Facts], Facts]) -> Facts:
    """Facts of states that hold before and after every step, from those before the first; widened until they do."""
    facts = initial
    for attempt in range(4):
        new = after(facts)
        joined = {name: fact.either(new[name]) for name, fact in facts.items()}
        if joined == facts:
            return facts
        facts = joined if attempt == 0 else {n: _widened(facts[n], joined[n]) for n in joined}
    return {name: UNKNOWN._replace(shape=fact.shape) for name, fact in facts.items()}


def _widened(before: Fact, after: Fact) -> Fact:
    low = after.low if after.low == before.low else (0.0 if after.low >= 0 else -inf)
    return after._replace(low=low, high=after.high if after.high == before.high else inf)
