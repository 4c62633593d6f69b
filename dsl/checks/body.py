"""Statements of the parse tree to statements of a rule: names introduced, functions inlined, both arms of a `when` met.

One `Body` reads one rule from top to bottom. What it writes goes to `out`; a call of a function first writes the
function's own statements there (`inline.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from ..diagnostics import Diagnostic, Fix, Label, OptError, Span
from ..meant import nearest, slip
from ..recent import Recent
from ..rule import Interval
from ..text.expressions import Expr, Name
from ..text.syntax import OUTPUTS, Assign, Evaluate, Let, Output, Repeat, Return, StateDecl, Statement, When
from ..text.walking import names, walk
from .inline import Inliner
from .resolve import Resolver, Typed
from .scope import Entity, EntityKind, declared_twice, renamed
from .shapes import ELEMENT, OF_SCOPE, Shape, ShapeError, broadcast
from .static import ceiling, implied, require_static

MAX_LOOPS = 4
MAX_TURNS = 100


class _Sound(NamedTuple):
    """An expression in which nothing was wrong: the names in it, what they meant, and what it is."""

    names: tuple[str, ...]
    entities: list[Entity | None]
    typed: Typed


_SOUND = Recent[Expr, _Sound]()


@dataclass
class Body:
    """`done` holds where each state and output got its value on the path that is being read."""

    resolver: Resolver
    conditional: dict[str, tuple[Expr, StateDecl]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    allowed: dict[str, Interval] = field(default_factory=dict)
    capped: set[str] = field(default_factory=set)
    out: list[Statement] = field(default_factory=list)
    done: dict[str, Span] = field(default_factory=dict)
    path: list[tuple[Expr, bool]] = field(default_factory=list)
    loops: int = 0
    turns: float = 1.0
    prefix: str = ""

    def __post_init__(self) -> None:
        self.resolver.inline = Inliner(self)
        self.resolver.reading = self._exists

    def report(self, problem: Diagnostic) -> None:
        self.resolver.report(problem)

    def read(self, statements: tuple[Statement, ...]) -> None:
        for s in statements:
            match s:
                case Let():
                    self._let(s)
                case Assign():
                    self._assign(s)
                case Output():
                    self._output(s)
                case When():
                    self._when(s)
                case Repeat():
                    self._repeat(s)
                case Return():
                    help = "only a function returns; a rule ends with `update = ...`"
                    self.report(Diagnostic("E305", "`return` outside a function", s.span, help=help))
                case Evaluate():
                    help = "write it after the rule, outside any block"
                    self.report(Diagnostic("E305", "`evaluate` inside a block", s.span, help=help))

    # ------------------------------------------------------------ statements

    def _let(self, s: Let) -> None:
        value = self._resolved(s.value)
        known = self.resolver.names.get(s.name)
        if s.name in OUTPUTS or (known is not None and (known.kind == "given" or known.span is not None)):
            self.report(declared_twice(s.name, s.name_span, known.span if known is not None else None))
            return
        name = self.fresh(s.name) if self.prefix else s.name
        self.resolver.names[s.name] = _entity(s.name_span, name, "var" if s.var else "let", value)
        same = name == s.name and value.expr is s.value
        self.out.append(s if same else Let(name, value.expr, s.var, s.doc, s.span, s.name_span))

    def _resolved(self, e: Expr) -> Typed:
        """A statement's expression: what was sound, and reads names that mean what they did, need not be read again.

        Where functions or conditional states are about, a line's meaning is not a matter of its names alone.
        """
        resolver = self.resolver
        if resolver.functions or self.conditional:
            return resolver.expr(e)
        known = _SOUND.get(e)
        if known is not None and known.entities == [*map(resolver.names.get, known.names)]:
            return known.typed
        noises = resolver.noises
        typed = resolver.expr(e)
        if typed.ok and resolver.noises == noises:
            read = tuple(names(e))
            _SOUND.note(e, _Sound(read, [*map(resolver.names.get, read)], typed))
        return typed

    def _assign(self, s: Assign) -> None:
        value = self.resolver.number(self._resolved(s.value), s.value.span)
        target = self.resolver.names.get(s.name)
        if target is None:
            self._unknown_target(s)
        elif target.kind == "var":
            self._rebind(s, target, value)
        elif target.kind == "state" or s.name in ("theta", "g"):
            self._store(s, target, value)
        else:
            help = {
                "param": "a hyperparameter is fixed by the caller; keep a changing value in a `state`",
                "let": "declare it with `var` to rebind it, with `state` to keep it",
            }.get(target.kind, "declare a `state` to keep a value")
            labels = () if target.span is None else (Label(target.span, "declared here"),)
            self.report(Diagnostic("E303", f"`{s.name}` cannot be changed", s.name_span, labels=labels, help=help))

    def _unknown_target(self, s: Assign) -> None:
        if s.name in OUTPUTS:
            self.report(Diagnostic("E303", f"`{s.name}` is not kept", s.name_span, help=f"write `{s.name} = ...`"))
            return
        targets = [n for n, e in self.resolver.names.items() if e.kind in ("state", "var")] + ["g", "theta"]
        certain = renamed(s.name, targets) or slip(s.name, targets)
        meant = certain or nearest(s.name, targets)
        declare = f"declare it: `state {s.name} = 0`"
        help = f"did you mean `{meant}`? Else {declare}" if meant else declare
        fix = Fix(s.name_span, certain) if certain else None
        self.report(Diagnostic("E101", f"unknown state `{s.name}`", s.name_span, help=help, fix=fix))

    def _rebind(self, s: Assign, target: Entity, value: Typed) -> None:
        if value.ok and target.ok and value.shape != target.shape:
            if self.joined(value.shape, target.shape) is None:
                self._misfit(s, f"`{s.name}` is {target.shape}", value)
                return
            self.resolver.names[s.name] = target._replace(shape=value.shape)
        self.out.append(Assign(target.name, value.expr, s.span, s.name_span))

    def _store(self, s: Assign, target: Entity, value: Typed) -> None:
        if self.prefix:
            help = "return the value, and assign it where the function is called"
            self.report(Diagnostic("E303", f"a function cannot change `{s.name}`", s.name_span, help=help))
            return
        if s.name in self.done and s.name != "g":
            labels = (Label(self.done[s.name], "first here"),)
            help = "it has one `<-` on each path; put the steps between in a `let`"
            help += "; decoupled weight decay is `decay = wd`" if s.name == "theta" else ""
            self.report(Diagnostic("E304", f"`{s.name}` is assigned twice", s.name_span, labels=labels, help=help))
        if s.name == "theta" and "update" in self.done:
            self._both(s.name_span, self.done["update"])
        self.done[s.name] = s.name_span
        if value.ok and self.joined(value.shape, target.shape) != target.shape:
            self._misfit(s, f"`{s.name}` is kept as {target.shape}", value)
        self._exists(s.name, s.name_span)
        self.out.append(Assign(target.name, value.expr, s.span, s.name_span))

    def joined(self, a: Shape, b: Shape) -> Shape | None:
        try:
            return broadcast(a, b)
        except ShapeError:
            return None

    def _misfit(self, s: Assign, is_: str, value: Typed) -> None:
        message = f"shapes do not fit: {is_}, and this value is {value.shape}"
        self.report(Diagnostic("E203", message, s.value.span, help="reduce it `per` the scope that the state has"))

    def _both(self, here: Span, there: Span) -> None:
        help = "keep one: `update = e` is theta <- theta - step_size*(e + decay*theta)"
        labels = (Label(there, "and here"),)
        self.report(Diagnostic("E302", "both `update` and `theta <-` are given", here, labels=labels, help=help))

    def _exists(self, state: str, span: Span) -> None:
        """A state with a condition may be used only where that condition is known to hold."""
        if state not in self.conditional:
            return
        condition, decl = self.conditional[state]
        if not implied(condition, self.path):
            labels = (Label(decl.span, "its condition is here"),)
            help = "put this inside a `when` of the same condition"
            self.report(Diagnostic("E207", f"`{state}` does not always exist", span, labels=labels, help=help))

    def _output(self, s: Output) -> None:
        value = self.resolver.number(self._resolved(s.value), s.value.span)
        if s.name not in OUTPUTS:
            self._not_output(s, value)
            return
        if self.prefix:
            help = "return the value instead"
            self.report(Diagnostic("E305", f"`{s.name}` inside a function", s.name_span, help=help))
            return
        if s.name in self.done:
            self.report(declared_twice(s.name, s.name_span, self.done[s.name]))
        if s.name == "update" and "theta" in self.done:
            self._both(s.name_span, self.done["theta"])
        self.done[s.name] = s.name_span
        if value.ok and self.joined(value.shape, ELEMENT) != ELEMENT:
            message = f"shapes do not fit: theta is {ELEMENT}, and this value is {value.shape}"
            self.report(Diagnostic("E203", message, s.value.span, help="transpose it with `.T`, or reduce it"))
        self.out.append(Output(s.name, value.expr, s.span, s.name_span))

    def _not_output(self, s: Output, value: Typed) -> None:
        visible = self.resolver.names
        known = renamed(s.name, (n for n, e in visible.items() if e.kind == "state")) or s.name
        target = visible.get(known)
        if target is not None and (target.kind in ("state", "var") or s.name in ("g", "theta")):
            message, help = f"`{s.name}` changes with `<-`, not `=`", f"write `{known} <- ...`"
            self.report(Diagnostic("E303", message, s.name_span, help=help, fix=_arrow(s, known)))
            return
        meant, new = nearest(s.name, OUTPUTS), f"`let {s.name} = ...`"
        if s.name in names(s.value):
            new = f"`{s.name} <- ...`, and `state {s.name} = 0` above: it keeps its value between steps"
        help = f"did you mean `{meant}`? A new value is {new}" if meant else f"write {new}"
        fix = Fix(s.name_span, meant) if meant and meant not in self.done and slip(s.name, OUTPUTS) else None
        self.report(Diagnostic("E303", f"`{s.name}` is not an output of a rule", s.name_span, help=help, fix=fix))
        visible.setdefault(s.name, _entity(s.name_span, s.name, "let", value))

    # ------------------------------------------------------------ blocks

    @contextmanager
    def block(self) -> Iterator[list[Statement]]:
        outer, self.out = self.out, []
        try:
            yield self.out
        finally:
            self.out = outer

    def _when(self, s: When) -> None:
        condition = self.resolver.condition(s.condition)
        if condition.ok:
            require_static(condition.expr, self.resolver, "`when`")
        before, done = dict(self.resolver.names), dict(self.done)
        arms, envs, dones = [], [], []
        for holds, statements in ((True, s.then), (False, s.otherwise)):
            self.resolver.names, self.done = dict(before), dict(done)
            self.path.append((condition.expr, holds))
            with self.block() as out:
                self.read(statements)
            self.path.pop()
            arms.append(tuple(out))
            envs.append(self.resolver.names)
            dones.append(self.done)
        self.resolver.names = self._met(before, *envs)
        self.done = {**dones[1], **dones[0]}
        self.out.append(When(condition.expr, arms[0], arms[1], s.span))

    def _met(self, before: dict[str, Entity], a: dict[str, Entity], b: dict[str, Entity]) -> dict[str, Entity]:
        """A `let` made in both arms escapes; one made in one arm does not."""
        out = dict(before)
        for name in a.keys() & b.keys():
            x, y = a[name], b[name]
            shape = self.joined(x.shape, y.shape)
            if x.name != y.name:
                continue
            if shape is None or x.boolean != y.boolean:
                if x.span is not None and x.ok and y.ok:
                    message = f"`{name}` is {x.shape} in one arm and {y.shape} in the other"
                    self.report(Diagnostic("E203", f"shapes do not fit: {message}", x.span))
                continue
            out[name] = x._replace(shape=shape, ok=x.ok and y.ok)
        return out

    def _repeat(self, s: Repeat) -> None:
        count = self.resolver.real(s.count)
        if count.ok:
            require_static(count.expr, self.resolver, "`repeat`")
        self.loops += 1
        if self.loops > MAX_LOOPS:
            help = "their counts multiply; write one loop, or a function"
            raise OptError(Diagnostic("E004", f"more than {MAX_LOOPS} loops inside one another", s.span, help=help))
        outside, before = self.turns, dict(self.resolver.names)
        self.turns *= max(1.0, self._bounded(count.expr)) if count.ok else 1.0
        with self.block() as out:
            self.read(s.body)
        self.turns, self.loops = outside, self.loops - 1
        self.resolver.names = {n: e for n, e in self.resolver.names.items() if n in before}
        self.out.append(Repeat(count.expr, tuple(out), s.span))

    def _bounded(self, count: Expr) -> float:
        """The most that a count can be. Every backend unrolls loops, so all around a line may not exceed MAX_TURNS.

        A hyperparameter in a count that has no upper bound of its own gets this one.
        """
        free = {part.id for part in walk(count) if isinstance(part, Name)}
        for name in free & self.allowed.keys():
            if self.allowed[name].high == inf:
                self.allowed[name] = replace(self.allowed[name], high=MAX_TURNS, high_open=False)
                self.capped.add(name)
        most = ceiling(count, self.allowed)
        if most * self.turns <= MAX_TURNS:
            return most
        together = ", with the loops around it," if self.turns > 1 else ""
        help = "every backend unrolls loops; count less"
        if free & self.allowed.keys():
            help = f"give the hyperparameter an interval, such as `in [1, {MAX_TURNS}]`, or write `min(n, {MAX_TURNS})`"
        elif free:
            help = f"write `min(n, {MAX_TURNS})`, n being what is counted"
        self.report(Diagnostic("E206", f"this count{together} may exceed {MAX_TURNS}", count.span, help=help))
        return 1.0

    # ------------------------------------------------------------ for functions

    def fresh(self, name: str) -> str:
        base = f"{self.prefix}_{name}" if self.prefix else name
        fresh, n = base, 1
        while fresh in self.taken:
            n += 1
            fresh = f"{base}_{n}"
        self.taken.add(fresh)
        return fresh


def _arrow(s: Output, known: str) -> Fix:
    """`known <-` for the name and the `=` of a statement, with the gap that is between them."""
    source, begin, gap = s.name_span.source, s.name_span.start, s.name_span.end
    equals = source.text.index("=", gap)
    return Fix(Span(source, begin, equals + 1), f"{known}{source.text[gap:equals]}<-")


def _entity(span: Span, name: str, kind: EntityKind, value: Typed) -> Entity:
    return Entity(name, kind, value.shape if value.ok else ELEMENT, value.boolean, span, value.ok)


def state_entity(decl: StateDecl) -> Entity:
    scope = decl.scope if decl.scope in OF_SCOPE else "element"
    return Entity(decl.name, "state", OF_SCOPE[scope], False, decl.name_span)
