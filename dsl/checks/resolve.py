"""Expressions of the parse tree to expressions of a rule: every call resolved, every name known, every shape inferred.

Problems are reported and resolution goes on, so that one file's errors all appear at once; a value that went wrong has
no type and silences what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import is_
from typing import NamedTuple, cast

from ..diagnostics import Diagnostic, OptError, Span
from ..operators import FUNCTIONS, MATRIX, OPERATORS, REDUCTIONS, Operator
from ..text.expressions import (
    DTYPES,
    MAX_DEPTH,
    SCOPES,
    Apply,
    Bool,
    Call,
    Cast,
    Expr,
    Matrix,
    Name,
    Noise,
    Number,
    Prev,
    Reduce,
)
from ..text.syntax import Def
from . import constants
from .scope import GIVENS, MEANT_BY, Entity, unknown_function, unknown_name
from .shapes import ELEMENT, HOST, Shape, ShapeError, broadcast, matrix, reduced


class Typed(NamedTuple):
    """A resolved expression with its shape. `ok` is False where an error was reported for it or for a part of it.

    `constant` says that it may be made of literals alone, which is then worth working out.
    """

    expr: Expr
    shape: Shape = HOST
    boolean: bool = False
    ok: bool = True
    constant: bool = False


def wrong(expr: Expr) -> Typed:
    return Typed(expr, ok=False)


@dataclass
class Resolver:
    """`names` is what can be seen now; `later` is where the file defines what cannot be seen yet."""

    report: Callable[[Diagnostic], None]
    inline: Callable[[Def, Call, list[Typed]], Typed]
    names: dict[str, Entity] = field(default_factory=lambda: dict(GIVENS))
    later: dict[str, Span] = field(default_factory=dict)
    functions: dict[str, Def] = field(default_factory=dict)
    reading: Callable[[str, Span], None] = lambda state, span: None
    noises: int = 0
    depth: int = 0

    def expr(self, e: Expr) -> Typed:
        """Resolve one expression. Raises OptError where calls and operations nest too deep to go on."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} operations and calls inside one another, counted after inlining"
            raise OptError(
                Diagnostic("E004", message, e.span, help="name a part of it with `let`, outside the function")
            )
        typed = self._expr(e)
        self.depth -= 1  # where something is raised, this resolver is done for
        return typed

    def _expr(self, e: Expr) -> Typed:
        match e:
            case Name():
                return self._name(e)
            case Apply():
                return self._apply(e, OPERATORS[e.op], [self.expr(a) for a in e.args])
            case Number():
                return self._number(e)
            case Bool():
                return Typed(e, HOST, True, constant=True)
            case Matrix():
                return self._matrix(e.op, e, [self.expr(a) for a in e.args])
            case Call():
                return self._call(e)
        raise TypeError(f"{type(e).__name__} does not come from the parser")

    def real(self, e: Expr) -> Typed:
        """Resolve an expression that must be a number; a condition counts as 0 or 1 only inside arithmetic."""
        return self.number(self.expr(e), e.span)

    def number(self, typed: Typed, span: Span) -> Typed:
        """The same for what is resolved already."""
        if typed.ok and typed.boolean:
            help = "write `where(condition, 1, 0)` for a number"
            self.report(Diagnostic("E202", "this is a condition, and a number belongs here", span, help=help))
            return wrong(typed.expr)
        return typed

    def condition(self, e: Expr) -> Typed:
        """Resolve an expression that must be a condition."""
        typed = self.expr(e)
        if typed.ok and not typed.boolean:
            help = "compare it with something: `x > 0`"
            self.report(Diagnostic("E202", "this is a number, and a condition belongs here", e.span, help=help))
            return wrong(typed.expr)
        return typed

    def _number(self, e: Number) -> Typed:
        fault = constants.literal(e)
        if fault is not None:
            self.report(fault)
        return Typed(e, ok=fault is None, constant=True)

    def _name(self, e: Name) -> Typed:
        entity = self.names.get(e.id)
        if entity is None:
            self.report(unknown_name(e.id, e.span, self.names, self.later))
            return wrong(e)
        if entity.kind == "state":
            self.reading(entity.name, e.span)
        named = e if entity.name == e.id else replace(e, id=entity.name)
        return Typed(named, entity.shape, entity.boolean, entity.ok, constant=entity.kind == "given")

    # ------------------------------------------------------------ operators

    def _apply(self, e: Expr, op: Operator, args: list[Typed]) -> Typed:
        parts = tuple([a.expr for a in args])
        unchanged = isinstance(e, Apply) and all(map(is_, parts, e.args))
        result = cast(Apply, e) if unchanged else Apply(op.name, parts, e.span)
        first, alike = args[0].shape, True
        for arg in args:
            if not arg.ok:
                return wrong(result)
            alike = alike and arg.shape is first
        for i, arg in enumerate(args if op.takes else ()):
            if op.takes_at(i) == "bool" and not arg.boolean:
                help = f"compare it with something: `{op.signature}` takes conditions"
                self.report(
                    Diagnostic("E202", "this is a number, and a condition belongs here", arg.expr.span, help=help)
                )
                return wrong(result)
        constant = args[-1].constant  # only then can there be a fault
        if constant and (fault := constants.faults(result)) is not None:
            self.report(fault)
            return wrong(result)
        shape = first if alike else self._fit(e.span, lambda: reduce(broadcast, (a.shape for a in args)))
        if shape is None:
            return wrong(result)
        picks = op.name == "where" and args[1].boolean and args[2].boolean
        constant = constant and all(a.constant for a in args)
        return Typed(_nested(result, op), shape, op.gives == "bool" or picks, constant=constant)

    def _fit(self, span: Span, infer: Callable[[], Shape]) -> Shape | None:
        try:
            return infer()
        except ShapeError as error:
            self.report(Diagnostic("E203", f"shapes do not fit: {error}", span, help=error.help))
            return None

    def _matrix(self, op: str, e: Expr, args: list[Typed]) -> Typed:
        result = Matrix(op, tuple(a.expr for a in args), e.span)
        if not all(a.ok for a in args):
            return wrong(result)
        shape = self._fit(e.span, lambda: matrix(op, tuple(a.shape for a in args)))
        return wrong(result) if shape is None else Typed(result, shape)

    # ------------------------------------------------------------ calls

    def _call(self, e: Call) -> Typed:
        own = self.functions.get(e.function)
        special = _SPECIAL.get(e.function)
        if own is None and special is not None:
            return special(self, e)
        args = [self.expr(a) for a in e.args]
        signature = _signature(e.function, own)
        if signature is None:
            self.report(unknown_function(e.function, e.function_span, self.functions))
            return wrong(e)
        if not self._arity(e, *signature):
            return wrong(e)
        if own is not None:
            return self.inline(own, e, args) if all(a.ok for a in args) else wrong(e)
        if e.function in REDUCTIONS:
            return self._reduce(e, args)
        if e.function in MATRIX:
            return self._matrix(e.function, e, args)
        return self._apply(e, FUNCTIONS[e.function], args)

    def _arity(self, e: Call, written: str, least: int, most: int | None) -> bool:
        """Whether a call has as many arguments as its function takes, none by name, and `per` only in a reduction."""
        if e.keywords:
            message = f"`{e.function}` takes no arguments by name"
            self.report(Diagnostic("E201", message, e.keywords[0][1].span, help=f"its signature is `{written}`"))
            return False
        count = len(e.args)
        if count < least or (most is not None and count > most):
            takes = f"{least}" if least == most else f"at least {least}"
            message = f"`{e.function}` takes {takes} argument{'s' * (takes != '1')}, not {count}"
            help = f"its signature is `{written}`{MEANT_BY.get((e.function, count), '')}"
            self.report(Diagnostic("E201", message, e.span, help=help))
            return False
        if e.scope is not None and (e.function not in REDUCTIONS or e.function in self.functions):
            message = f"`{e.function}` works on each element; `per {e.scope}` belongs in a reduction"
            self.report(Diagnostic("E201", message, e.scope_span, help=f"reductions are {', '.join(REDUCTIONS)}"))
            return False
        return True

    def _reduce(self, e: Call, args: list[Typed]) -> Typed:
        scope = e.scope or "tensor"
        if scope not in SCOPES or scope == "element":
            help = f"a reduction is per {', '.join(SCOPES[1:-1])} or {SCOPES[-1]}"
            self.report(Diagnostic("E204", f"unknown scope `{scope}`", e.scope_span, help=help))
            return wrong(e)
        result = Reduce(e.function, tuple(a.expr for a in args), scope, e.span)
        if not all(a.ok for a in args):
            return wrong(result)
        shape = self._fit(e.span, lambda: reduced(reduce(broadcast, (a.shape for a in args)), scope))
        if shape is None:
            return wrong(result)
        if all(a.shape.level == "host" for a in args):
            message = f"`{e.function}` of a number that is the same for every element"
            self.report(Diagnostic("E203", message, e.span, help="a reduction needs a tensor, such as `g` or a state"))
            return wrong(result)
        return Typed(result, shape)

    def _prev(self, e: Call) -> Typed:
        if not self._arity(e, "prev(state)", 1, 1):
            return wrong(e)
        arg = e.args[0]
        entity = self.names.get(arg.id) if isinstance(arg, Name) else None
        if entity is None or entity.kind != "state":
            help = "`prev(m)` is what the state m held when the step began"
            self.report(Diagnostic("E201", "`prev` takes the name of a state", arg.span, help=help))
            return wrong(e)
        self.reading(entity.name, e.span)
        return Typed(Prev(entity.name, e.span), entity.shape)

    def _cast(self, e: Call) -> Typed:
        if not self._arity(e, "cast(x, dtype)", 2, 2):
            return wrong(e)
        value, dtype = self.expr(e.args[0]), e.args[1]
        known = [d for d in DTYPES if d not in ("int8", "fp8", "ufp8", "like_param")]
        if not isinstance(dtype, Name) or dtype.id not in known:
            self.report(Diagnostic("E204", "unknown dtype", dtype.span, help=f"a cast is to {', '.join(known)}"))
            return wrong(e)
        return value._replace(expr=Cast(value.expr, dtype.id, e.span))

    def _noise(self, e: Call) -> Typed:
        if not self._arity(e, "noise()", 0, 0):
            return wrong(e)
        self.noises += 1
        return Typed(Noise(self.noises - 1, e.span), ELEMENT)

    def _size(self, e: Call) -> Typed:
        """`rows(X)` and `cols(X)` are known from the shape of X alone."""
        if not self._arity(e, f"{e.function}(X)", 1, 1):
            return wrong(e)
        arg = self.expr(e.args[0])
        if not arg.ok:
            return wrong(e)
        size = (arg.shape.rows if e.function == "rows" else arg.shape.cols) if arg.shape.level == "matrix" else "1"
        return Typed(Number(1.0, "1", e.span) if size == "1" else Name(size, e.span), constant=True)


def _nested(e: Apply, op: Operator) -> Apply:
    """max(a, b, c) is max(max(a, b), c), so that every operator of a rule has its table's arity."""
    if not op.variadic or len(e.args) == op.arity:
        return e
    first, second, *rest = e.args
    return reduce(lambda x, y: Apply(op.name, (x, y), e.span), rest, Apply(op.name, (first, second), e.span))


def _signature(function: str, own: Def | None) -> tuple[str, int, int | None] | None:
    """(how it is written, fewest arguments, most arguments) of a function; None for an unknown one."""
    if own is not None:
        return f"{own.name}({', '.join(own.parameters)})", len(own.parameters), len(own.parameters)
    operator = FUNCTIONS.get(function)
    if operator is not None:
        return operator.signature, operator.arity, None if operator.variadic else operator.arity
    row = REDUCTIONS.get(function) or MATRIX.get(function)
    if row is None or function in ("matmul", "transpose"):
        return None
    scope = " per SCOPE" if function in REDUCTIONS else ""
    return f"{row.name}({', '.join(row.parameters)}{scope})", len(row.parameters), len(row.parameters)


_SPECIAL: dict[str, Callable[[Resolver, Call], Typed]] = {
    "prev": Resolver._prev,
    "cast": Resolver._cast,
    "noise": Resolver._noise,
    "rows": Resolver._size,
    "cols": Resolver._size,
}
