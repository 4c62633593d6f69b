"""Static shapes: what each value of a rule is one of, and what happens to that where values meet.

A value is a number on the host (it depends on hyperparameters and `t` alone), one number for the model, one for each
tensor, or a matrix whose two sizes are symbols: a per-element value is `rows x cols`, a per-row value `rows x 1`.
Axes before the last two are a batch, and a parameter of fewer than two axes counts as one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce, Scope

Level = Literal["host", "model", "tensor", "matrix"]
LEVELS: tuple[Level, ...] = ("host", "model", "tensor", "matrix")
_RANK = {level: rank for rank, level in enumerate(LEVELS)}


@dataclass(frozen=True, slots=True)
class Shape:
    """`rows` and `cols` are symbols ("rows", "cols", "1") and count only at the level "matrix"."""

    level: Level
    rows: str = "1"
    cols: str = "1"

    def __str__(self) -> str:
        names = {"host": "a number", "model": "one value a model", "tensor": "one value a tensor"}
        return names.get(self.level, f"{self.rows} x {self.cols}")


HOST = Shape("host")
MODEL = Shape("model")
TENSOR = Shape("tensor")
ELEMENT = Shape("matrix", "rows", "cols")
OF_SCOPE: dict[Scope, Shape] = {
    "element": ELEMENT,
    "row": Shape("matrix", "rows", "1"),
    "col": Shape("matrix", "1", "cols"),
    "matrix": Shape("matrix", "1", "1"),
    "tensor": TENSOR,
    "model": MODEL,
    "row_pair": Shape("matrix", "rows", "rows"),
    "col_pair": Shape("matrix", "cols", "cols"),
}
OF_GIVEN: dict[str, Shape] = {
    "g": ELEMENT, "theta": ELEMENT, "t": HOST, "ndim": HOST, "rows": HOST, "cols": HOST, "numel": HOST, "pi": HOST,
    "inf": HOST,
}  # fmt: skip


class ShapeError(Exception):
    """Shapes that do not fit; the message names them, `help` says how to get others."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


REDUCE = "`mean(x per row)` leaves one value a row, `per col` one a column; `.T` swaps them"
MULTIPLY = "`x @ x.T` is rows x rows, `x.T @ x` is cols x cols"


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape of an elementwise operation on two values. Raises ShapeError where a size is two things at once."""
    if a is b:
        return a
    if a.level != "matrix" or b.level != "matrix":
        return a if _RANK[a.level] >= _RANK[b.level] else b
    for x, y in ((a.rows, b.rows), (a.cols, b.cols)):
        if x != y and "1" not in (x, y):
            raise ShapeError(f"one value is {a}, the other {b}", REDUCE)
    return Shape("matrix", b.rows if a.rows == "1" else a.rows, b.cols if a.cols == "1" else a.cols)


def reduced(shape: Shape, scope: Scope) -> Shape:
    """What a reduction over a scope leaves of a value."""
    if scope in ("row", "col", "matrix", "element"):
        rows = shape.rows if scope in ("row", "element") else "1"
        cols = shape.cols if scope in ("col", "element") else "1"
        return Shape("matrix", rows, cols) if shape.level == "matrix" else shape
    return TENSOR if scope == "tensor" else MODEL


def matrix(op: str, shapes: tuple[Shape, ...]) -> Shape:
    """The shape of a matrix operation. Raises ShapeError where the sizes do not fit."""
    a = shapes[0]
    for s in shapes[:1] if op != "matmul" else shapes:
        if s.level != "matrix":
            help = "`g`, `theta` and states per element are matrices"
            raise ShapeError(f"a matrix operation needs matrices, and this is {s}", help)
    if op == "transpose":
        return Shape("matrix", a.cols, a.rows)
    if op == "matmul":
        b = shapes[1]
        if a.cols != b.rows:
            raise ShapeError(f"the left matrix is {a}, the right {b}: the inner sizes differ", MULTIPLY)
        return Shape("matrix", a.rows, b.cols)
    if op in ("inv_root", "eigenbasis", "identity") and a.rows != a.cols:
        raise ShapeError(f"this needs a square matrix, and this one is {a}", MULTIPLY)
    return a


def shape_of(expr: Expr, env: Mapping[str, Shape]) -> Shape:
    """The shape of a resolved expression, `env` giving those of names and states. Raises ShapeError."""
    match expr:
        case Number() | Bool():
            return HOST
        case Name(id=name) | Prev(state=name):
            return env[name]
        case Apply(args=args):
            return reduce(broadcast, (shape_of(a, env) for a in args))
        case Reduce(args=args, scope=scope):
            return reduced(reduce(broadcast, (shape_of(a, env) for a in args)), scope)
        case Matrix(op=op, args=args):
            return matrix(op, tuple(shape_of(a, env) for a in args))
        case Cast(value=value):
            return shape_of(value, env)
        case Noise():
            return ELEMENT
    raise TypeError(f"{type(expr).__name__} is not part of a checked rule")
