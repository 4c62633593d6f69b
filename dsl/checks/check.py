"""The parse tree to a rule: `syntax.File -> Rule`, or everything that is wrong with the file at once.

The order of work is the order of a file: what it uses, what it declares, what it does; then what only the whole shows.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from dataclasses import replace
from keyword import iskeyword
from pathlib import Path
from typing import Any, TypeVar

from ..diagnostics import MAX_ERRORS, Diagnostic, Label, OptError, Span
from ..operators import FUNCTIONS, REDUCTIONS
from ..rule import ANYTHING, Param, Rule, State, Value, flattened
from ..rule import Applies as RuleApplies
from ..text.expand import expand
from ..text.expressions import Apply, Expr, Name, Number
from ..text.syntax import (
    OUTPUTS,
    Applies,
    Assign,
    Def,
    Evaluate,
    File,
    InputDecl,
    Item,
    Let,
    Optimizer,
    Output,
    ParamDecl,
    Repeat,
    Return,
    Short,
    StateDecl,
    Statement,
    Use,
    When,
)
from ..text.walking import walk
from . import declare
from .body import Body, state_entity
from .library import Library, bring
from .resolve import Resolver
from .scope import Entity, declared_twice
from .shapes import ELEMENT, HOST
from .static import require_outside, require_static

T = TypeVar("T")
Single = TypeVar("Single", Optimizer, Applies, Evaluate)
NO_UPDATE = """write one, for instance:
      optimizer SGD
      param lr = 0.01
      update = g"""


def check(file: File, base: Path | None = None) -> Rule:
    """The rule that a parse tree stands for.

    `base` is the folder that `use "./lib.opt"` starts from; without it, a rule can use only what optc brings along.
    Raises OptError with at most ten errors.
    """
    checker = _Checker(expand(file), base)
    rule = checker.rule()
    if checker.problems:
        first = {(d.code, d.span.start, d.span.source.name): d for d in reversed(checker.problems)}
        problems = sorted(first.values(), key=lambda d: d.span.start)
        raise OptError(*problems[:MAX_ERRORS])
    return rule


class _Checker:
    def __init__(self, file: File, base: Path | None) -> None:
        self.file = file
        self.by_kind: dict[type, list[Any]] = {}
        for item in file.items:
            self.by_kind.setdefault(type(item), []).append(item)
        self.problems: list[Diagnostic] = []
        self.resolver = Resolver(self.problems.append, lambda d, c, a: a[0])
        self.library: Library = bring(self.items(Use), base, self.problems.append)
        self.body = Body(self.resolver)

    def items(self, kind: type[T]) -> list[T]:
        return self.by_kind.get(kind, [])

    def one(self, kind: type[Single], what: str) -> Single | None:
        """The first item of a kind of which a rule has one at most."""
        found = self.items(kind)
        self.problems += [declared_twice(what, again.span, found[0].span) for again in found[1:]]
        return found[0] if found else None

    def rule(self) -> Rule:
        self._no_lone_expression()
        self._functions()
        params = self._params()
        self._inputs()
        states = self._states()
        applies = self._applies()
        statements = [i for i in self.file.items if isinstance(i, (Let, Assign, Output, When, Repeat, Return))]
        self._read(statements)
        evaluate = self._evaluate()
        self._complete()
        inputs = tuple(i.name for i in self.items(InputDecl))
        body = tuple(self.body.out)
        params = tuple(self._capped(p) for p in params)
        return Rule(self._name(), params, states, body, self.file.doc, inputs, applies, evaluate)

    # ------------------------------------------------------------ declarations

    def _name(self) -> str:
        named = self.one(Optimizer, "optimizer")
        if named is not None:
            name = named.name
            if name.startswith("_") or name in _PYTHON or iskeyword(name):
                message = f"`{name}` cannot be the name of a class"
                self.problems.append(Diagnostic("E104", message, named.name_span, help="write it in CamelCase"))
            return name
        return camel_case(Path(self.file.span.source.name).stem)

    def _declare(self, name: str, span: Span, entity: Entity) -> bool:
        """Make a name known, unless it is already."""
        known = self.resolver.names.get(name)
        if known is not None or name in OUTPUTS:
            self.problems.append(declared_twice(name, span, None if known is None else known.span))
            return False
        self.resolver.names[name] = entity
        return True

    def _params(self) -> tuple[Param, ...]:
        out = []
        for decl in self.items(ParamDecl):
            param = declare.param(decl, self.problems.append)
            entity = Entity(decl.name, "param", HOST, param.type == "bool", decl.name_span)
            if self._declare(decl.name, decl.name_span, entity):
                out.append(param)
                self.body.allowed[decl.name] = param.interval or ANYTHING
        return tuple(out)

    def _capped(self, param: Param) -> Param:
        """A hyperparameter that counts a loop may not be more than loops may be."""
        if param.name not in self.body.capped:
            return param
        interval = self.body.allowed[param.name]
        if param.default is not None and param.default > interval.high:
            span = next(d.name_span for d in self.items(ParamDecl) if d.name == param.name)
            message = f"`{param.name}` counts a loop, and its default is more than {interval.high:g}"
            self.problems.append(Diagnostic("E206", message, span, help="every backend unrolls loops; count less"))
        return replace(param, interval=interval)

    def _inputs(self) -> None:
        for decl in self.items(InputDecl):
            self._declare(decl.name, decl.name_span, Entity(decl.name, "input", ELEMENT, False, decl.name_span))

    def _states(self) -> tuple[State, ...]:
        out, fresh = [], []
        everything = self.resolver.names
        self.resolver.names = {n: e for n, e in everything.items() if n not in ("g", "t") and e.kind != "input"}
        for decl in self.items(StateDecl):
            with self.body.block() as own:
                state = declare.state(decl, self.resolver)
            require_outside(state.init, own, decl.init.span, self.resolver, "a first value", ("g", "t"))
            if state.when is not None:
                require_static(state.when, self.resolver, "the existence of a state")
            if state.when is not None:
                self.body.conditional[decl.name] = (state.when, decl)
            out.append(state)
            fresh.append((decl, state_entity(decl)))
        self.resolver.names = everything
        kept = [s for s, (decl, e) in zip(out, fresh, strict=True) if self._declare(decl.name, decl.name_span, e)]
        return tuple(kept)

    def _functions(self) -> None:
        known: dict[str, Def] = dict(self.library.functions)
        for d in self.items(Def):
            if d.name in FUNCTIONS or d.name in REDUCTIONS or d.name in ("prev", "cast", "noise", "rows", "cols"):
                message = f"`{d.name}` is a function of the language"
                self.problems.append(Diagnostic("E103", message, d.name_span, help="choose another name"))
            elif d.name in known and d.name not in self.library.functions:
                self.problems.append(declared_twice(d.name, d.name_span, known[d.name].name_span))
            elif len(set(d.parameters)) < len(d.parameters):
                message = f"two parameters of `{d.name}` have the same name"
                self.problems.append(Diagnostic("E103", message, d.name_span))
            known[d.name] = d
        self.resolver.functions = known

    def _applies(self) -> RuleApplies | None:
        found = self.one(Applies, "applies when")
        if found is None:
            return None
        condition = self.resolver.condition(found.condition)
        if condition.ok:
            require_static(condition.expr, self.resolver, "`applies when`")
        call = found.otherwise
        if call is None:
            return RuleApplies(condition.expr)
        other = self.library.rule(call, self.problems.append)
        settings: list[tuple[str, Value]] = []
        for name, value in call.keywords if other is not None else ():
            setting = declare.setting(name, value, other, call, self.problems.append)  # type: ignore[arg-type]
            settings += [] if setting is None else [(name, setting)]
        brought = next((u for u in reversed(self.items(Use)) if u.rule == call.function), None)
        return RuleApplies(condition.expr, other, tuple(settings), brought)

    # ------------------------------------------------------------ statements

    def _read(self, statements: Sequence[Item]) -> None:
        if self.resolver.functions:  # what is inlined must not take a name that stands anywhere in the file
            nodes = [n for item in self.file.items for n in walk(item)]
            self.body.taken = {n.id for n in nodes if isinstance(n, Name)} | set(self.resolver.names)
            self.body.taken |= {n.name for n in nodes if isinstance(n, Let)}
        ahead = {i.name: i.name_span for i in statements if isinstance(i, Let)}
        self.resolver.later = ahead
        self.body.read(tuple(statements))  # type: ignore[arg-type]

    def _evaluate(self) -> Expr | None:
        found = self.one(Evaluate, "evaluate theta")
        if found is None:
            return None
        if found.name != "theta":
            message = f"`evaluate {found.name}` means nothing"
            self.problems.append(Diagnostic("E303", message, found.name_span, help="write `evaluate theta = ...`"))
        hidden = {n for n, e in self.resolver.names.items() if e.kind in ("let", "var", "input")}
        everything = self.resolver.names
        self.resolver.names = {n: e for n, e in everything.items() if n not in hidden}
        with self.body.block() as own:
            value = self.resolver.real(found.value)
        require_outside(value.expr, own, found.value.span, self.resolver, "evaluation", ("g",))
        self.resolver.names = everything
        return value.expr

    # ------------------------------------------------------------ the whole

    def _no_lone_expression(self) -> None:
        for item in self.items(Short):
            help = "write `update = ...`; an expression alone is the short form, and the only line of its file"
            if isinstance(item.value, Apply) and item.value.op == "eq":
                help = "`==` compares: write `name <- expression` for a state, `let name = expression` for a value"
            self.problems.append(Diagnostic("E305", "an expression that goes nowhere", item.span, help=help))

    def _complete(self) -> None:
        """A rule must move theta on every path, and know by how much."""
        if any(d.code in ("E303", "E305", "E101") for d in self.problems):
            return  # the missing update is most likely the line that was misspelt
        sure = _surely(self.body.out)
        if "theta" in sure:
            return
        if "update" not in sure:
            self._no_update()
            return
        given = {s.name for s in _outputs(tuple(self.body.out))}
        if "step_size" not in sure:
            lr = self.resolver.names.get("lr")
            if lr is None or lr.kind != "param":
                span = self.body.done["update"]
                help = "declare `param lr = 1e-3`, or write `step_size = ...`"
                self.problems.append(Diagnostic("E307", "no step size: this rule has no `lr`", span, help=help))
                return
            self.body.out[:] = _completed(self.body.out, Output("step_size", Name("lr")))
        if "decay" in given and "decay" not in sure:
            self.body.out[:] = _completed(self.body.out, Output("decay", Number(0.0, "0")))

    def _no_update(self) -> None:
        span = self.file.span
        done = self.body.done.get("update") or self.body.done.get("theta")
        if done is not None:
            help = "give it in the other arm of the `when` too"
            self.problems.append(Diagnostic("E301", "no update on some paths", done, help=help))
            return
        end = Span(span.source, len(span.source.text.rstrip()), len(span.source.text.rstrip()))
        empty = not self.file.items
        message = "no update: this file is empty" if empty else "no update: this rule never moves theta"
        labels: tuple[Label, ...] = ()
        self.problems.append(Diagnostic("E301", message, end, labels=labels, help=NO_UPDATE))


_PYTHON = frozenset(dir(builtins)) | {"torch", "triton", "tl", "math", "Optimizer", "Tensor", "Any"}
"""What a class must not be called, since the module that it lives in speaks of these."""


def _outputs(body: tuple[Statement, ...]) -> list[Output]:
    return [s for s in flattened(body) if isinstance(s, Output)]


def _surely(body: Iterable[Statement]) -> set[str]:
    """The outputs, and theta, that get a value whichever arms are taken."""
    out: set[str] = set()
    for s in body:
        if isinstance(s, (Output, Assign)):
            out.add(s.name)
        elif isinstance(s, When):
            out |= _surely(s.then) & _surely(s.otherwise)
    return out


def _completed(body: Iterable[Statement], default: Output) -> tuple[Statement, ...]:
    """The statements with an output on every path: its default where an arm lacks what the other gives, or all do."""

    def arms(s: Statement) -> Statement:
        if not isinstance(s, When) or all(default.name != o.name for o in _outputs((s,))):
            return s
        return replace(s, then=_completed(s.then, default), otherwise=_completed(s.otherwise, default))

    out = tuple(map(arms, body))
    return out if default.name in _surely(out) else (*out, default)


def camel_case(stem: str) -> str:
    """The class name that a file name stands for: `sign_sgd` is SignSgd; a name with no letters is Rule."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in stem).split()
    name = "".join(w[0].upper() + w[1:] for w in words)
    return name if name and name[0].isalpha() and name not in _PYTHON else f"Rule{name}"
