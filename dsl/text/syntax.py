"""The parse tree of a file: declarations and statements, frozen, with spans that do not count in equality."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..diagnostics import Span
from .expressions import SCOPES, Call, Expr, Number, Scope, span_field

STATE_SCOPES: tuple[Scope, ...] = (*SCOPES, "row_pair", "col_pair")
"""A state may also hold one value for each pair of rows, or of columns: the square matrices of Shampoo and SOAP."""
OUTPUTS = ("update", "step_size", "decay")


@dataclass(frozen=True, slots=True)
class Interval:
    """`in [low, high)`: which values a hyperparameter may take."""

    low: Expr
    high: Expr
    low_open: bool
    high_open: bool
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Prior:
    """`~ family(a, b)`, or `~ 1 - family(a, b)`: where the search draws from."""

    family: str
    args: tuple[Expr, ...]
    complement: Expr | None = None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Optimizer:
    name: str
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Use:
    """`use zoo.adamw`, `use std.schedules: warmup, cosine`, `use "./lib.opt"`."""

    path: str
    names: tuple[str, ...] = ()
    quoted: bool = False
    span: Span = span_field()
    path_span: Span = span_field()

    @property
    def rule(self) -> str:
        """What the used file's rule is called; "" where only functions are used."""
        stem = PurePosixPath(self.path).stem if self.quoted else self.path.rpartition(".")[2]
        return "" if self.names else stem


@dataclass(frozen=True, slots=True)
class Applies:
    condition: Expr
    otherwise: Call | None = None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class ParamDecl:
    name: str
    type: str | None = None
    default: Expr | None = None
    interval: Interval | None = None
    prior: Prior | None = None
    doc: str = ""
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class StateDecl:
    name: str
    scope: str | None = None
    dtype: str | None = None
    init: Expr = Number(0.0, "0")
    when: Expr | None = None
    doc: str = ""
    span: Span = span_field()
    name_span: Span = span_field()
    annotation_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class InputDecl:
    name: str
    doc: str = ""
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Def:
    """`def f(x) = e` has a body of one `Return` and `brief` set."""

    name: str
    parameters: tuple[str, ...]
    body: tuple[Statement, ...]
    brief: bool = False
    doc: str = ""
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value`; `var` where the name may be rebound with `<-`."""

    name: str
    value: Expr
    var: bool = False
    doc: str = ""
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Assign:
    """`name <- value`: a state, a `var`, `g` or `theta`."""

    name: str
    value: Expr
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Output:
    """`update = e`, `step_size = e`, `decay = e`."""

    name: str
    value: Expr
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Evaluate:
    """`evaluate theta = e`: what `optimizer.eval()` puts in place of the parameters."""

    name: str
    value: Expr
    span: Span = span_field()
    name_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class When:
    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    span: Span = span_field()
    then_span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Repeat:
    count: Expr
    body: tuple[Statement, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Short:
    """The short form's single expression."""

    value: Expr
    span: Span = span_field()


Statement = Let | Assign | Output | Evaluate | When | Repeat | Return
Item = Optimizer | Use | Applies | ParamDecl | StateDecl | InputDecl | Def | Short | Statement
Node = Expr | Item | Interval | Prior


@dataclass(frozen=True, slots=True)
class Comment:
    """A `#` comment. `line` is where it stands; `alone` says that nothing but spaces precedes it."""

    text: str
    alone: bool
    line: int = field(compare=False)


@dataclass(frozen=True)
class File:
    """A parsed file. `doc` is the text of its leading `##` lines; `folded` where it was not plain ASCII."""

    items: tuple[Item, ...]
    doc: str = ""
    comments: tuple[Comment, ...] = ()
    folded: tuple[tuple[Span, str], ...] = field(default=(), compare=False)
    span: Span = span_field()
