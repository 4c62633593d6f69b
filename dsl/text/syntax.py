"""The parse tree: every node that a `.opt` file can hold, frozen, with spans that do not count in equality.

Expressions are shared by the parse tree and the checked rule. The parser writes every `f(x)` as a `Call`; the checker
turns calls into `Apply`, `Reduce` and `Matrix` nodes once it knows what `f` is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Literal, cast, get_args

from ..diagnostics import NOWHERE, Span

Scope = Literal["element", "row", "col", "matrix", "tensor", "model", "row_pair", "col_pair"]
SCOPES: tuple[Scope, ...] = ("element", "row", "col", "matrix", "tensor", "model")
STATE_SCOPES: tuple[Scope, ...] = (*SCOPES, "row_pair", "col_pair")
"""A state may also hold one value for each pair of rows, or of columns: the square matrices of Shampoo and SOAP."""
DTYPES = ("float32", "bfloat16", "float16", "float64", "like_param", "int8", "fp8", "ufp8")
OUTPUTS = ("update", "step_size", "decay")
MAX_DEPTH = 120
"""Operations inside one another, calls of functions included: every pass recurses over expressions."""


def _span() -> Span:
    return field(default=NOWHERE, compare=False, repr=False)


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Number:
    """A literal. `text` is as typed, for the formatter; `value` is what counts."""

    value: float
    text: str = field(default="", compare=False)
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Bool:
    value: bool
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator of `operators.OPERATORS`, by its key there ("add", "sqrt", "where"), on its arguments."""

    op: str
    args: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args, key=value)`; `scope` is the `per SCOPE` after the first argument. Not in a checked rule."""

    function: str
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...] = ()
    scope: str | None = None
    span: Span = _span()
    function_span: Span = _span()
    scope_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Reduce:
    """A reduction of `operators.REDUCTIONS` over a scope; `dot` has two arguments, the others one."""

    op: str
    args: tuple[Expr, ...]
    scope: Scope
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix operation of `operators.MATRIX` on the last two axes: "matmul", "transpose", "inv_root", …"""

    op: str
    args: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Cast:
    """`cast(x, dtype)`: round x to the dtype; arithmetic on it stays in that dtype where a backend can."""

    value: Expr
    dtype: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Prev:
    """`prev(m)`: what the state held when the step began."""

    state: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Noise:
    """`noise()`: standard normal, one draw an element, reproducible; `index` tells the calls of a rule apart."""

    index: int
    span: Span = _span()


Expr = Number | Bool | Name | Apply | Call | Reduce | Matrix | Cast | Prev | Noise


# ---------------------------------------------------------------- declarations and statements


@dataclass(frozen=True, slots=True)
class Interval:
    """`in [low, high)`: which values a hyperparameter may take."""

    low: Expr
    high: Expr
    low_open: bool
    high_open: bool
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Prior:
    """`~ family(a, b)`, or `~ 1 - family(a, b)`: where the search draws from."""

    family: str
    args: tuple[Expr, ...]
    complement: Expr | None = None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Optimizer:
    name: str
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Use:
    """`use zoo.adamw`, `use std.schedules: warmup, cosine`, `use "./lib.opt"`."""

    path: str
    names: tuple[str, ...] = ()
    quoted: bool = False
    span: Span = _span()
    path_span: Span = _span()

    @property
    def rule(self) -> str:
        """What the used file's rule is called; "" where only functions are used."""
        stem = PurePosixPath(self.path).stem if self.quoted else self.path.rpartition(".")[2]
        return "" if self.names else stem


@dataclass(frozen=True, slots=True)
class Applies:
    condition: Expr
    otherwise: Call | None = None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ParamDecl:
    name: str
    type: str | None = None
    default: Expr | None = None
    interval: Interval | None = None
    prior: Prior | None = None
    doc: str = ""
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class StateDecl:
    name: str
    scope: str | None = None
    dtype: str | None = None
    init: Expr = Number(0.0, "0")
    when: Expr | None = None
    doc: str = ""
    span: Span = _span()
    name_span: Span = _span()
    annotation_span: Span = _span()


@dataclass(frozen=True, slots=True)
class InputDecl:
    name: str
    doc: str = ""
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Def:
    """`def f(x) = e` has a body of one `Return` and `brief` set."""

    name: str
    parameters: tuple[str, ...]
    body: tuple[Statement, ...]
    brief: bool = False
    doc: str = ""
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value`; `var` where the name may be rebound with `<-`."""

    name: str
    value: Expr
    var: bool = False
    doc: str = ""
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assign:
    """`name <- value`: a state, a `var`, `g` or `theta`."""

    name: str
    value: Expr
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Output:
    """`update = e`, `step_size = e`, `decay = e`."""

    name: str
    value: Expr
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Evaluate:
    """`evaluate theta = e`: what `optimizer.eval()` puts in place of the parameters."""

    name: str
    value: Expr
    span: Span = _span()
    name_span: Span = _span()


@dataclass(frozen=True, slots=True)
class When:
    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    span: Span = _span()
    then_span: Span = _span()


@dataclass(frozen=True, slots=True)
class Repeat:
    count: Expr
    body: tuple[Statement, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Short:
    """The short form's single expression."""

    value: Expr
    span: Span = _span()


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
    span: Span = _span()


# ---------------------------------------------------------------- walking


_CHILDLESS = frozenset(("str", "str | None", "float", "bool", "int", "Scope", "Span", "tuple[str, ...]"))
_HOLDERS: dict[type, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind) if f.type not in _CHILDLESS) for kind in get_args(Node)
}
"""The fields of each kind of node that may hold nodes."""


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one, in the order of their text."""
    for name in _HOLDERS[type(node)]:
        yield from _nodes(getattr(node, name))


def _nodes(value: object) -> Iterator[Node]:
    if type(value) in _HOLDERS:
        yield cast(Node, value)
    elif isinstance(value, tuple):
        for part in value:
            yield from _nodes(part)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first. Does not recurse, so depth is no limit."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(list(children(top))))


def names(node: Node) -> Iterator[str]:
    """Every identifier that an expression or statement reads; `prev(m)` reads `m`."""
    stack: list[Node] = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Apply):  # most nodes are, and have no other fields to look through
            stack.extend(top.args[::-1])
        elif isinstance(top, Name):
            yield top.id
        elif isinstance(top, Prev):
            yield top.state
        else:
            stack.extend(reversed(list(children(top))))
