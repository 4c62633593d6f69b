"""A call of a function to the function's own statements, written where the call stands, and the name of its result.

The statements are read by the `Body` that met the call, under names that appear nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..diagnostics import Diagnostic, Label, OptError
from ..text.expressions import Call, Name
from ..text.syntax import Def, Let, Return, Statement, When
from .resolve import Typed, wrong
from .scope import GIVENS, Entity
from .static import require_static

if TYPE_CHECKING:
    from .body import Body

MAX_INLINED = 1000
CALL_DEPTH = 2
"""A call nests as deep as so many operations."""


@dataclass
class Inliner:
    """`calls` are the functions that are being read, the innermost last; `inlined` counts all that were."""

    body: Body
    calls: list[Def] = field(default_factory=list)
    inlined: int = 0

    def __call__(self, function: Def, call: Call, args: list[Typed]) -> Typed:
        if function in self.calls:
            help = "unroll it with `repeat n { ... }`"
            labels = (Label(function.name_span, "defined here"),)
            between = [f"`{f.name}`" for f in self.calls[self.calls.index(function) + 1 :]]
            by_way = f", by way of {' and '.join(between)}" if between else ""
            message = f"`{function.name}` calls itself{by_way}"
            self.body.report(Diagnostic("E106", message, call.span, labels=labels, help=help))
            return wrong(call)
        self.inlined += 1
        if self.inlined > MAX_INLINED:
            message = f"more than {MAX_INLINED} function calls, counted after inlining"
            raise OptError(Diagnostic("E004", message, call.span, help="call fewer functions from functions"))
        caller, prefix, frame = self.body.resolver.names, self.body.prefix, self._frame(function, args)
        self.body.prefix, self.body.resolver.names = function.name, frame
        self.calls.append(function)
        self.body.resolver.depth += CALL_DEPTH
        try:
            result = self._body_of(function)
        finally:
            self.body.resolver.depth -= CALL_DEPTH
            self.calls.pop()
            self.body.prefix, self.body.resolver.names = prefix, caller
        return result or wrong(call)

    def _frame(self, function: Def, args: list[Typed]) -> dict[str, Entity]:
        """What a function sees: its arguments, the hyperparameters, what is given."""
        frame = {n: e for n, e in self.body.resolver.names.items() if e.kind == "param"} | dict(GIVENS)
        for name, arg in zip(function.parameters, args, strict=True):
            if isinstance(arg.expr, Name):
                frame[name] = Entity(arg.expr.id, "let", arg.shape, arg.boolean)
                continue
            prefix, self.body.prefix = self.body.prefix, function.name
            fresh = self.body.fresh(name)
            self.body.prefix = prefix
            self.body.out.append(Let(fresh, arg.expr, span=arg.expr.span))
            frame[name] = Entity(fresh, "let", arg.shape, arg.boolean)
        return frame

    def _body_of(self, function: Def) -> Typed | None:
        last = function.body[-1] if function.body else None
        if function.brief and isinstance(last, Return):
            typed = self.body.resolver.expr(last.value)
            return typed if typed.ok else None
        result = self.body.fresh("result")
        shapes: list[Typed] = []
        if not self._returning(function, function.body, result, shapes):
            return None
        shape = shapes[0].shape
        for other in shapes[1:]:
            joined = self.body.joined(shape, other.shape)
            if joined is None or other.boolean != shapes[0].boolean:
                message = f"`{function.name}` returns {shape} in one place and {other.shape} in another"
                self.body.report(Diagnostic("E203", f"shapes do not fit: {message}", function.name_span))
                return None
            shape = joined
        return Typed(Name(result, function.name_span), shape, shapes[0].boolean)

    def _returning(self, f: Def, body: tuple[Statement, ...], result: str, shapes: list[Typed]) -> bool:
        """Read a function's statements, with `return e` as `let result = e`; whether every path returns."""
        last = body[-1] if body else None
        self.body.read(body[:-1])
        match last:
            case Return(value=value):
                typed = self.body.resolver.expr(value)
                shapes.append(typed)
                self.body.out.append(Let(result, typed.expr, span=last.span))
                return typed.ok
            case When(condition=condition, then=then, otherwise=otherwise) if otherwise:
                test = self.body.resolver.condition(condition)
                if test.ok:
                    require_static(test.expr, self.body.resolver, "`when`")
                before, arms, fine = dict(self.body.resolver.names), [], []
                for arm in (then, otherwise):
                    self.body.resolver.names = dict(before)
                    with self.body.block() as out:
                        fine.append(self._returning(f, arm, result, shapes))
                    arms.append(tuple(out))
                self.body.out.append(When(test.expr, arms[0], arms[1], last.span))
                return all(fine) and test.ok
        place = last.span if last is not None else f.name_span
        help = "end it, or every arm of its last `when`, with `return ...`"
        self.body.report(Diagnostic("E305", f"`{f.name}` does not return a value on every path", place, help=help))
        return False
