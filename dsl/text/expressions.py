"""The expressions of parse trees and of checked rules: frozen, with spans that do not count in equality.

The parser writes every `f(x)` as a `Call`; the checker turns calls into `Apply`, `Reduce` and `Matrix` nodes once it
knows what `f` is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..diagnostics import NOWHERE, Span

Scope = Literal["element", "row", "col", "matrix", "tensor", "model", "row_pair", "col_pair"]
SCOPES: tuple[Scope, ...] = ("element", "row", "col", "matrix", "tensor", "model")
DTYPES = ("float32", "bfloat16", "float16", "float64", "like_param", "int8", "fp8", "ufp8")
MAX_DEPTH = 120
"""Operations inside one another, calls of functions included: every pass recurses over expressions."""


def span_field() -> Span:
    """The field of a node that says where it was typed."""
    return field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal. `text` is as typed, for the formatter; `value` is what counts."""

    value: float
    text: str = field(default="", compare=False)
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Bool:
    value: bool
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator of `operators.OPERATORS`, by its key there ("add", "sqrt", "where"), on its arguments."""

    op: str
    args: tuple[Expr, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args, key=value)`; `scope` is the `per SCOPE` after the first argument. Not in a checked rule."""

    function: str
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...] = ()
    scope: str | None = None
    span: Span = span_field()
    function_span: Span = span_field()
    scope_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Reduce:
    """A reduction of `operators.REDUCTIONS` over a scope; `dot` has two arguments, the others one."""

    op: str
    args: tuple[Expr, ...]
    scope: Scope
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix operation of `operators.MATRIX` on the last two axes: "matmul", "transpose", "inv_root", …"""

    op: str
    args: tuple[Expr, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Cast:
    """`cast(x, dtype)`: round x to the dtype; arithmetic on it stays in that dtype where a backend can."""

    value: Expr
    dtype: str
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Prev:
    """`prev(m)`: what the state held when the step began."""

    state: str
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Noise:
    """`noise()`: standard normal, one draw an element, reproducible; `index` tells the calls of a rule apart."""

    index: int
    span: Span = span_field()


Expr = Number | Bool | Name | Apply | Call | Reduce | Matrix | Cast | Prev | Noise
