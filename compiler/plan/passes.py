"""Cuts a step at its reductions: which are measured together, and what must be computed to measure them.

Each pass starts again from what is stored: nothing but the reduced values goes from one to the next, and only the
last pass writes. Matrix operations are not cut here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...dsl.checks.shapes import ELEMENT, HOST, OF_SCOPE, Shape, broadcast, reduced, shape_of
from ...dsl.text.expressions import Apply, Cast, Expr, Name, Noise, Reduce, Scope
from ...dsl.text.walking import names, walk
from .plan import Bind, Branch, Loop, Plan, Statement

NUMBERS: tuple[Scope, ...] = ("tensor", "model")
"""Scopes whose states are one number a tensor."""

LINES: tuple[Scope, ...] = ("row", "col", "matrix")
"""Scopes whose values are one for each row, column or matrix of a tensor."""

TERMS = {"norm": "square", "rms": "square", "dot": "mul"}
"""What is added up for a reduction that is more than a sum."""


class UncutError(Exception):
    """A reduction that cannot be cut, with the reason in words."""


@dataclass(frozen=True, slots=True)
class Column:
    """One reduction, measured in the pass number `depth`.

    The code calls what is added up, or compared, `term`, and the result `name`. `of` says what there is one term for:
    each element, row, column, matrix or tensor; `per` what there is one result for.
    """

    index: int
    depth: int
    op: str
    per: Scope
    of: Scope

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

    `noises` are the calls of `noise()`; the code has their values under names, `noise_name` says which. `line_states`
    says that there are states per row, column or matrix.
    """

    measures: tuple[Measure, ...]
    body: tuple[Statement, ...]
    noises: tuple[int, ...]
    line_states: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(c for m in self.measures for c in m.columns)

    @property
    def tiled(self) -> bool:
        """Whether a kernel must know rows from columns."""
        return bool(self.lines) or self.line_states

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The columns of one number a tensor, or one for all of them."""
        return tuple(c for c in self.columns if c.per in NUMBERS)

    @property
    def lines(self) -> tuple[Column, ...]:
        """The columns of one value for each row, column or matrix."""
        return tuple(c for c in self.columns if c.per in LINES)

    @property
    def counts(self) -> tuple[Scope, ...]:
        """What must be counted in every tensor: its elements, and whatever else a mean over it is taken of."""
        others = {c.of for c in self.numbers if c.op in ("mean", "rms")} - {"element"}
        return ("element", *(x for x in (*LINES, "tensor") if x in others))


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
    line_states = any(m.scope in LINES for m in plan.memories)
    return Passes(tuple(measures), _slice(body, set(plan.step.outputs))[0], tuple(sorted(noises)), line_states)


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
    """Puts a name in place of each reduction, and knows of every name how deep it is: the number of passes before."""

    def __init__(self, plan: Plan) -> None:
        self.columns: list[Column] = []
        self.depths: dict[str, int] = {}
        self.states = {m.name: OF_SCOPE[m.scope] for m in plan.memories}
        self.shapes: dict[str, Shape] = dict.fromkeys([*plan.step.inputs, *_noise_names(plan)], ELEMENT)
        self.shapes |= dict.fromkeys([*(s.name for s in plan.step.slots), "inf", "pi"], HOST) | self.states
        self.unsure: set[str] = set()

    def block(self, body: Iterable[Statement]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Branch):
                out.append(self._branch(s))
            elif isinstance(s, Loop):
                out.append(Loop(s.flag, self._loop(s)))
            elif isinstance(s.value, Reduce):
                out += self._reduction(s.name, replace(s.value, args=tuple(_named(a) for a in s.value.args)))
            else:
                s = Bind(s.name, _named(s.value))
                self._bound(s.name, self._depth(s.value), shape_of(s.value, self.shapes), set(names(s.value)))
                out.append(s)
        return tuple(out)

    def _branch(self, s: Branch) -> Branch:
        """A name that is of one shape behind one arm and of another behind the other is not to be reduced."""
        before = dict(self.shapes)
        then, after = self.block(s.then), self.shapes
        self.shapes = dict(before)
        otherwise = self.block(s.otherwise)
        for name, shape in after.items():
            other = self.shapes.get(name, shape)
            self.unsure |= {name} if other != shape else set()
            self.shapes[name] = broadcast(shape, other)
        return Branch(s.flag, then, otherwise)

    def _loop(self, s: Loop) -> tuple[Statement, ...]:
        """Twice, so that what a round leaves behind is known when the next one reads it."""
        before, shapes = len(self.columns), dict(self.shapes)
        self.block(s.body)
        self.unsure |= {name for name, shape in shapes.items() if self.shapes[name] != shape}
        body = self.block(s.body)
        if len(self.columns) > before:
            raise UncutError("reductions inside `repeat`")
        return body

    def _reduction(self, name: str, value: Reduce) -> list[Statement]:
        if value.scope not in (*LINES, *NUMBERS):
            raise UncutError(f"reductions per {value.scope}")
        term = Apply(TERMS[value.op], value.args) if value.op in TERMS else value.args[0]
        if not self.unsure.isdisjoint(names(term)):
            raise UncutError("reductions of a value whose shape depends on a condition")
        shape = shape_of(term, self.shapes)
        result = reduced(shape, value.scope)
        lines = value.scope in LINES and shape.level == "matrix"
        per: Scope = scope_of(result) if lines else "model" if value.scope == "model" else "tensor"
        column = Column(len(self.columns), self._depth(term) + 1, value.op, per, scope_of(shape))
        self.columns.append(column)
        self._bound(name, column.depth, result, set())
        return [Bind(column.term, term), Bind(name, Name(column.name))]

    def _bound(self, name: str, depth: int, shape: Shape, reads: set[str]) -> None:
        """Of a name that is bound on several paths, the deepest counts; a state has the shape that it is kept in."""
        self.depths[name] = max(depth, self.depths.get(name, 0))
        self.shapes[name] = self.states.get(name, shape)
        self.unsure |= {name} if reads & self.unsure and name not in self.states else set()

    def _depth(self, value: Expr) -> int:
        return max((self.depths.get(name, 0) for name in names(value)), default=0)


def scope_of(shape: Shape) -> Scope:
    """What there is one value of such a shape for. Raises UncutError for the shapes that matrix operations make."""
    if shape.level != "matrix":
        return "tensor"
    for scope in ("element", *LINES):
        if OF_SCOPE[scope] == shape:
            return scope
    raise UncutError(f"values of {shape}")


def _noise_names(plan: Plan) -> set[str]:
    return {noise_name(p.index) for b in plan.step.binds() for p in walk(b.value) if isinstance(p, Noise)}


def sliced(body: tuple[Statement, ...], outputs: set[str]) -> tuple[Statement, ...]:
    """Those statements that some names depend on."""
    return _slice(body, outputs)[0]


def needed(body: tuple[Statement, ...], outputs: set[str]) -> set[str]:
    """The names whose values before the statements those of some names behind them depend on."""
    return _slice(body, outputs)[1]


def _slice(body: tuple[Statement, ...], needed: set[str]) -> tuple[tuple[Statement, ...], set[str]]:
    """Those statements that some names depend on, and the names that these in turn depend on."""
    kept: list[Statement] = []
    for s in reversed(body):
        if isinstance(s, Bind):
            if s.name not in needed:
                continue
            needed = {*(needed - {s.name}), *names(s.value)}
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
