"""Cuts a step at its reductions: which are measured together, and what must be computed to measure them.

Each pass starts again from what is stored: nothing but the reduced numbers goes from one to the next, and only the
last pass writes. Reductions over a tensor or over all of them are cut; those over rows and columns are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..dsl.syntax import Apply, Cast, Expr, Name, Noise, Reduce, Scope, walk
from .plan import Bind, Branch, Loop, Plan, Statement

NUMBERS: tuple[Scope, ...] = ("tensor", "model")
"""Scopes whose states are one number a tensor."""

TERMS = {"norm": "square", "rms": "square", "dot": "mul"}
"""What is added up for a reduction that is more than a sum."""


class UncutError(Exception):
    """A reduction that cannot be cut, with the reason in words."""


@dataclass(frozen=True, slots=True)
class Column:
    """One reduction, measured in the pass number `depth`.

    The code calls what is added up, or compared, `term`, and the result `name`.
    """

    index: int
    depth: int
    op: str
    scope: Scope

    @property
    def name(self) -> str:
        return f"reduced{self.index + 1}"

    @property
    def term(self) -> str:
        return f"term{self.index + 1}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A pass: the statements that the terms of its columns need, with the results of earlier passes as names."""

    body: tuple[Statement, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Passes:
    """All of a step: what to measure, one pass after the other, and then the step with the results in place.

    `noises` are the calls of `noise()`; the code has their values under names, `noise_name` says which.
    """

    measures: tuple[Measure, ...]
    body: tuple[Statement, ...]
    noises: tuple[int, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(c for m in self.measures for c in m.columns)


def cut(plan: Plan) -> Passes:
    """The passes of a plan's step. Raises UncutError where the reductions are not such as can be cut."""
    cutter = _Cutter(plan)
    body = cutter.block(plan.step.body)
    # A branch that is not taken leaves its terms unset; what is measured there then is of no consequence.
    body = (*(Bind(c.term, Name("theta")) for c in cutter.columns), *body)
    measures = []
    for depth in sorted({c.depth for c in cutter.columns}):
        columns = tuple(c for c in cutter.columns if c.depth == depth)
        measures.append(Measure(_slice(body, {c.term for c in columns})[0], columns))
    noises = {part.index for b in plan.step.binds() for part in walk(b.value) if isinstance(part, Noise)}
    return Passes(tuple(measures), _slice(body, set(plan.step.outputs))[0], tuple(sorted(noises)))


def noise_name(index: int) -> str:
    return f"noise{index}"


def _named(value: Expr) -> Expr:
    """The expression with every `noise()` under its name."""
    match value:
        case Noise(index=index):
            return Name(noise_name(index))
        case Apply() | Reduce():
            return replace(value, args=tuple(_named(a) for a in value.args))
        case Cast():
            return replace(value, value=_named(value.value))
    return value


class _Cutter:
    """Replaces each reduction by the name of its result, and binds its term just before."""

    def __init__(self, plan: Plan) -> None:
        self.columns: list[Column] = []
        self.depths: dict[str, int] = {}
        self.tensors = set(plan.step.inputs) - {m.name for m in plan.memories if m.scope in NUMBERS}
        self.tensors |= {noise_name(p.index) for b in plan.step.binds() for p in walk(b.value) if isinstance(p, Noise)}

    def block(self, body: Iterable[Statement]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Bind):
                s = Bind(s.name, _named(s.value))
            if isinstance(s, Branch):
                out.append(Branch(s.flag, self.block(s.then), self.block(s.otherwise)))
            elif isinstance(s, Loop):
                out.append(Loop(s.flag, self._loop(s)))
            elif isinstance(s.value, Reduce):
                out += self._reduction(s.name, s.value)
            else:
                self._bound(s.name, self._depth(s.value), self._is_tensor(s.value))
                out.append(s)
        return tuple(out)

    def _loop(self, s: Loop) -> tuple[Statement, ...]:
        """Twice, so that what a round leaves behind is known when the next one reads it."""
        before = len(self.columns)
        self.block(s.body)
        body = self.block(s.body)
        if len(self.columns) > before:
            raise UncutError("reductions inside `repeat`")
        return body

    def _reduction(self, name: str, value: Reduce) -> list[Statement]:
        if value.scope not in NUMBERS:
            raise UncutError(f"reductions per {value.scope}")
        term = Apply(TERMS[value.op], value.args) if value.op in TERMS else value.args[0]
        if not self._is_tensor(term):
            raise UncutError("reductions of a single number")
        column = Column(len(self.columns), self._depth(term) + 1, value.op, value.scope)
        self.columns.append(column)
        self._bound(name, column.depth, False)
        return [Bind(column.term, term), Bind(name, Name(column.name))]

    def _bound(self, name: str, depth: int, tensor: bool) -> None:
        """Of a name that is bound on several paths, the deepest and widest counts."""
        self.depths[name] = max(depth, self.depths.get(name, 0))
        self.tensors |= {name} if tensor else set()

    def _depth(self, value: Expr) -> int:
        return max((self.depths.get(part.id, 0) for part in walk(value) if isinstance(part, Name)), default=0)

    def _is_tensor(self, value: Expr) -> bool:
        return any(isinstance(part, Name) and part.id in self.tensors for part in walk(value))


def _slice(body: tuple[Statement, ...], needed: set[str]) -> tuple[tuple[Statement, ...], set[str]]:
    """Those statements that some names depend on, and the names that these in turn depend on."""
    kept: list[Statement] = []
    for s in reversed(body):
        if isinstance(s, Bind):
            if s.name not in needed:
                continue
            needed = (needed - {s.name}) | {part.id for part in walk(s.value) if isinstance(part, Name)}
            kept.append(s)
        elif isinstance(s, Branch):
            (then, before), (otherwise, other) = _slice(s.then, needed), _slice(s.otherwise, needed)
            needed = before | other
            kept += [Branch(s.flag, then, otherwise)] if then or otherwise else []
        else:
            inner, before = _slice(s.body, needed)
            while not before <= needed:
                needed = needed | before
                inner, before = _slice(s.body, needed)
            kept += [Loop(s.flag, inner)] if inner else []
    return tuple(reversed(kept)), needed
