"""What the parser calls as it reads: one method a grammar rule, each makes one node of the parse tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..diagnostics import Span
from ..operators import INFIX
from . import syntax as s
from .expressions import Apply, Bool, Call, Expr, Matrix, Name, Number


class Located(str):
    """A token: its text, its kind in the grammar, and where it stands."""

    __slots__ = ("span", "type")
    type: str
    span: Span

    def __new__(cls, kind: str, text: str, span: Span) -> Located:
        token = str.__new__(cls, text)
        token.type, token.span = kind, span
        return token


def cover(first: Any, *others: Any) -> Span:
    """The span of parts in the order of their text, some of which may be missing."""
    last = first
    for part in others:
        last = part if part is not None else last
    span: Span = first.span
    return Span(span.source, span.start, last.span.end)


class Builder:
    """Stateless, so that one serves every text and thread."""

    def file(self, *items: Any) -> tuple[s.Item, ...]:
        return tuple(item for item in items if item is not None)

    # ------------------------------------------------------------ declarations

    def optimizer(self, word: Located, name: Located) -> s.Optimizer:
        return s.Optimizer(str(name), cover(word, name), name.span)

    def use(self, word: Located, path: Located, *names: Located | None) -> s.Use:
        given = tuple(n for n in names if n is not None)
        quoted = path.type == "STRING"
        return s.Use(str(path), tuple(map(str, given)), quoted, cover(word, path, *given), path.span)

    def path(self, *names: Located) -> Located:
        return Located("PATH", ".".join(names), cover(*names))

    def quoted(self, text: Located) -> Located:
        return Located("STRING", text[1:-1], text.span)

    def applies(self, word: Located, _: Located, condition: Expr, otherwise: Call | None) -> s.Applies:
        return s.Applies(condition, otherwise, cover(word, condition, otherwise))

    def param(self, word: Located, name: Located, kind: Located | None, *rest: Any) -> s.ParamDecl:
        default, interval, prior = rest
        span = cover(word, name, kind, default, interval, prior)
        type_ = None if kind is None else str(kind)
        return s.ParamDecl(str(name), type_, default, interval, prior, "", span, name.span)

    def state(self, word: Located, name: Located, annotation: Any, init: Expr, *when: Any) -> s.StateDecl:
        scope, dtype, spans = annotation or (None, None, ())
        condition = when[1]
        span = cover(word, name, init, condition)
        place = spans[0].to(spans[-1]) if spans else name.span
        return s.StateDecl(str(name), scope, dtype, init, condition, "", span, name.span, place)

    def annotation(self, scope: Located, dtype: Located | None) -> tuple[str, str | None, tuple[Span, ...]]:
        spans = (scope.span,) if dtype is None else (scope.span, dtype.span)
        return str(scope), None if dtype is None else str(dtype), spans

    def dtype_only(self, dtype: Located) -> tuple[None, str, tuple[Span, ...]]:
        return None, str(dtype), (dtype.span,)

    def interval(self, word: Located, opens: Located, low: Expr, high: Expr, closes: Located) -> s.Interval:
        return s.Interval(low, high, opens == "(", closes == ")", cover(opens, closes))

    def prior(self, tilde: Located, one: Located | None, _: Any, family: Located, __: Any, *rest: Any) -> s.Prior:
        *args, close = rest
        return s.Prior(str(family), tuple(args), None if one is None else self.number(one), cover(tilde, close))

    def input(self, word: Located, name: Located) -> s.InputDecl:
        return s.InputDecl(str(name), "", cover(word, name), name.span)

    def def_brief(self, word: Located, name: Located, _: Any, *rest: Any) -> s.Def:
        *parameters, __, value = rest
        body = (s.Return(value, value.span),)
        return self._def(word, name, parameters, body, True, value.span)

    def def_block(self, word: Located, name: Located, _: Any, *rest: Any) -> s.Def:
        *parameters, __, (body, span) = rest
        return self._def(word, name, parameters, body, False, span)

    def _def(self, word: Located, name: Located, parameters: Any, body: Any, brief: bool, end: Span) -> s.Def:
        given = tuple(str(p) for p in parameters if p is not None)
        return s.Def(str(name), given, body, brief, "", word.span.to(end), name.span)

    def short(self, value: Expr) -> s.Short:
        return s.Short(value, value.span)

    # ------------------------------------------------------------ statements

    def let(self, word: Located, name: Located, value: Expr) -> s.Let:
        return s.Let(str(name), value, False, "", cover(word, value), name.span)

    def var(self, word: Located, name: Located, value: Expr) -> s.Let:
        return s.Let(str(name), value, True, "", cover(word, value), name.span)

    def assign(self, name: Located, value: Expr) -> s.Assign:
        return s.Assign(str(name), value, cover(name, value), name.span)

    def output(self, name: Located, value: Expr) -> s.Output:
        return s.Output(str(name), value, cover(name, value), name.span)

    def evaluate(self, word: Located, name: Located, value: Expr) -> s.Evaluate:
        return s.Evaluate(str(name), value, cover(word, value), name.span)

    def when(self, word: Located, condition: Expr, block: Any, otherwise: Any) -> s.When:
        then, then_span = block
        other, end = otherwise or ((), then_span)
        return s.When(condition, then, other, word.span.to(end), then_span)

    def else_(self, block: Any) -> Any:
        return block

    def else_when(self, word: Located, condition: Expr, block: Any, otherwise: Any) -> Any:
        nested = self.when(word, condition, block, otherwise)
        return (nested,), nested.span

    def repeat(self, word: Located, count: Expr, block: Any) -> s.Repeat:
        body, end = block
        return s.Repeat(count, body, word.span.to(end))

    def return_(self, word: Located, value: Expr) -> s.Return:
        return s.Return(value, cover(word, value))

    def block(self, opens: Located, *rest: Any) -> tuple[tuple[s.Statement, ...], Span]:
        *body, closes = rest
        return tuple(body), cover(opens, closes)

    # ------------------------------------------------------------ expressions

    def binary(self, x: Expr, symbol: Located, y: Expr) -> Expr:
        if symbol.type == "AT":
            return Matrix("matmul", (x, y), cover(x, y))
        return Apply(INFIX[str(symbol)], (x, y), cover(x, y))

    def unary(self, symbol: Located, x: Expr) -> Expr:
        return Apply("not" if symbol.type == "NOT" else "neg", (x,), cover(symbol, x))

    def attribute(self, x: Expr, name: Located) -> Expr:
        if name == "T":
            return Matrix("transpose", (x,), cover(x, name))
        return Call(f".{name}", (x,), (), None, cover(x, name), name.span)

    def number(self, text: Located) -> Number:
        return Number(float(text), str(text), text.span)

    def name(self, name: Located) -> Name:
        return Name(str(name), name.span)

    def true(self, word: Located) -> Bool:
        return Bool(True, word.span)

    def false(self, word: Located) -> Bool:
        return Bool(False, word.span)

    def group(self, opens: Located, value: Expr, closes: Located) -> Expr:
        return replace(value, span=cover(opens, closes))

    def call(self, function: Located, opens: Located, *rest: Any) -> Call:
        *given, closes = rest
        args, keywords, scope, scope_span = [], [], None, function.span
        for part in given:
            match part:
                case None:
                    continue
                case ("per", value, word):
                    scope, scope_span = str(word), word.span
                    args.append(value)
                case ("key", name, value):
                    keywords.append((str(name), value))
                case _:
                    args.append(part)
        span = cover(function, closes)
        return Call(str(function), tuple(args), tuple(keywords), scope, span, function.span, scope_span)

    def scoped(self, value: Expr, scope: Located) -> Any:
        return "per", value, scope

    def keyword(self, name: Located, value: Expr) -> Any:
        return "key", name, value
