"""The one table of what can be applied to numbers: every backend spells exactly these operators, no others.

Each row gives an operator's name, how it is written, its arguments, what it means in numpy (the oracle's meaning) and
in sympy, the facts that rewrites and explanations may rely on, and one line of documentation. Reductions and matrix
operations, which change shapes, have smaller tables of their own. Nothing is imported here until a meaning is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["real", "bool"]
Parity = Literal["odd", "even"]
Meaning = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operator:
    """An elementwise operator.

    `symbol` is set for what is written between or before its arguments; all others are written as calls.
    `parity` speaks of unary operators, or of each argument of a product-like one; `monotone` is +1 or -1 where the
    operator never falls or never rises in its (only) argument; `bounds` encloses every result that is not NaN.
    """

    name: str
    parameters: tuple[str, ...]
    doc: str
    numpy: Meaning
    sympy: Meaning
    symbol: str | None = None
    takes: tuple[Kind, ...] = ()
    gives: Kind = "real"
    variadic: bool = False
    commutative: bool = False
    associative: bool = False
    parity: Parity | None = None
    monotone: int = 0
    bounds: tuple[float, float] = (-float("inf"), float("inf"))

    @property
    def arity(self) -> int:
        return len(self.parameters)

    @property
    def signature(self) -> str:
        if self.symbol is None:
            return f"{self.name}({', '.join(self.parameters)}{', ...' if self.variadic else ''})"
        return f" {self.symbol} ".join(self.parameters) if self.arity == 2 else f"{self.symbol} {self.parameters[0]}"

    def takes_at(self, index: int) -> Kind:
        return self.takes[index] if self.takes else "real"


def _numpy_erf(np: Any, x: Any) -> Any:
    from math import erf

    return np.vectorize(erf, otypes=[np.float64])(x)


def _numpy_pow(np: Any, x: Any, y: Any) -> Any:
    # C's pow says that (-inf)^0.5 is inf; here every negative base with a fractional exponent is NaN.
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.where((x < 0) & (y != np.floor(y)), np.nan, np.power(x, y))


def _sympy_mod(sp: Any, x: Any, y: Any) -> Any:
    return x - y * sp.floor(x / y)


_X, _XY = ("x",), ("x", "y")
_HALF = (0.0, float("inf"))
_UNIT = (-1.0, 1.0)
_BOOL2: tuple[Kind, ...] = ("bool", "bool")

_ROWS = (
    Operator("add", _XY, "sum", lambda np, x, y: np.add(x, y), lambda sp, x, y: x + y,
             "+", commutative=True, associative=True),
    Operator("sub", _XY, "difference", lambda np, x, y: np.subtract(x, y), lambda sp, x, y: x - y, "-"),
    Operator("mul", _XY, "product", lambda np, x, y: np.multiply(x, y), lambda sp, x, y: x * y,
             "*", commutative=True, associative=True, parity="odd"),
    Operator("div", _XY, "quotient", lambda np, x, y: np.divide(x, y), lambda sp, x, y: x / y, "/", parity="odd"),
    Operator("mod", _XY, "remainder with the sign of the divisor",
             lambda np, x, y: np.mod(x, y), _sympy_mod, "mod"),
    Operator("pow", _XY, "power; NaN where a negative base has a fractional exponent",
             _numpy_pow, lambda sp, x, y: x**y, "^"),
    Operator("neg", _X, "negation", lambda np, x: np.negative(x), lambda sp, x: -x, "-", parity="odd", monotone=-1),
    Operator("lt", _XY, "less than", lambda np, x, y: np.less(x, y), lambda sp, x, y: sp.Lt(x, y), "<", gives="bool"),
    Operator("le", _XY, "at most", lambda np, x, y: np.less_equal(x, y), lambda sp, x, y: sp.Le(x, y),
             "<=", gives="bool"),
    Operator("gt", _XY, "greater than", lambda np, x, y: np.greater(x, y), lambda sp, x, y: sp.Gt(x, y),
             ">", gives="bool"),
    Operator("ge", _XY, "at least", lambda np, x, y: np.greater_equal(x, y), lambda sp, x, y: sp.Ge(x, y),
             ">=", gives="bool"),
    Operator("eq", _XY, "equal", lambda np, x, y: np.equal(x, y), lambda sp, x, y: sp.Eq(x, y),
             "==", gives="bool", commutative=True),
    Operator("ne", _XY, "not equal", lambda np, x, y: np.not_equal(x, y), lambda sp, x, y: sp.Ne(x, y),
             "!=", gives="bool", commutative=True),
    Operator("and", _XY, "both", lambda np, x, y: np.logical_and(x, y), lambda sp, x, y: sp.And(x, y),
             "and", takes=_BOOL2, gives="bool", commutative=True, associative=True),
    Operator("or", _XY, "either", lambda np, x, y: np.logical_or(x, y), lambda sp, x, y: sp.Or(x, y),
             "or", takes=_BOOL2, gives="bool", commutative=True, associative=True),
    Operator("not", _X, "negation of a condition", lambda np, x: np.logical_not(x), lambda sp, x: sp.Not(x),
             "not", takes=("bool",), gives="bool"),
    Operator("sqrt", _X, "square root; NaN below 0", lambda np, x: np.sqrt(x), lambda sp, x: sp.sqrt(x),
             monotone=1, bounds=_HALF),
    Operator("cbrt", _X, "real cube root", lambda np, x: np.cbrt(x), lambda sp, x: sp.real_root(x, 3),
             parity="odd", monotone=1),
    Operator("exp", _X, "exponential", lambda np, x: np.exp(x), lambda sp, x: sp.exp(x), monotone=1, bounds=_HALF),
    Operator("log", _X, "natural logarithm; NaN below 0", lambda np, x: np.log(x), lambda sp, x: sp.log(x), monotone=1),
    Operator("sin", _X, "sine of radians", lambda np, x: np.sin(x), lambda sp, x: sp.sin(x),
             parity="odd", bounds=_UNIT),
    Operator("cos", _X, "cosine of radians", lambda np, x: np.cos(x), lambda sp, x: sp.cos(x),
             parity="even", bounds=_UNIT),
    Operator("tanh", _X, "hyperbolic tangent", lambda np, x: np.tanh(x), lambda sp, x: sp.tanh(x),
             parity="odd", monotone=1, bounds=_UNIT),
    Operator("erf", _X, "error function", _numpy_erf, lambda sp, x: sp.erf(x), parity="odd", monotone=1, bounds=_UNIT),
    Operator("sign", _X, "-1, 0 or 1; sign(NaN) is NaN", lambda np, x: np.sign(x), lambda sp, x: sp.sign(x),
             parity="odd", monotone=1, bounds=_UNIT),
    Operator("abs", _X, "absolute value", lambda np, x: np.abs(x), lambda sp, x: sp.Abs(x),
             parity="even", bounds=_HALF),
    Operator("floor", _X, "the largest whole number that is not larger",
             lambda np, x: np.floor(x), lambda sp, x: sp.floor(x), monotone=1),
    Operator("square", _X, "x*x", lambda np, x: np.square(x), lambda sp, x: x**2, parity="even", bounds=_HALF),
    Operator("min", _XY, "the smaller; NaN if either is", lambda np, x, y: np.minimum(x, y),
             lambda sp, x, y: sp.Min(x, y), variadic=True, commutative=True, associative=True),
    Operator("max", _XY, "the larger; NaN if either is", lambda np, x, y: np.maximum(x, y),
             lambda sp, x, y: sp.Max(x, y), variadic=True, commutative=True, associative=True),
    Operator("clip", ("x", "low", "high"), "min(max(x, low), high)",
             lambda np, x, low, high: np.minimum(np.maximum(x, low), high),
             lambda sp, x, low, high: sp.Min(sp.Max(x, low), high)),
    Operator("lerp", ("a", "b", "w"), "a + w*(b - a)", lambda np, a, b, w: np.add(a, np.multiply(w, np.subtract(b, a))),
             lambda sp, a, b, w: a + w * (b - a)),
    Operator("where", ("condition", "x", "y"), "x where the condition holds, else y",
             lambda np, c, x, y: np.where(c, x, y), lambda sp, c, x, y: sp.Piecewise((x, c), (y, True)),
             takes=("bool", "real", "real")),
)  # fmt: skip

OPERATORS: dict[str, Operator] = {row.name: row for row in _ROWS}
FUNCTIONS: dict[str, Operator] = {row.name: row for row in _ROWS if row.symbol is None}
INFIX: dict[str, str] = {row.symbol: row.name for row in _ROWS if row.symbol is not None and row.arity == 2}


@dataclass(frozen=True, slots=True)
class Whole:
    """What takes more than one element at a time.

    A reduction makes one value of many in a scope, the tensor unless `per` says otherwise; a matrix operation works on
    the last two axes, and those before them are a batch.
    """

    name: str
    parameters: tuple[str, ...]
    doc: str


REDUCTIONS: dict[str, Whole] = {
    row.name: row
    for row in (
        Whole("sum", _X, "sum"),
        Whole("mean", _X, "sum divided by the number of elements"),
        Whole("norm", _X, "square root of the sum of squares"),
        Whole("rms", _X, "square root of the mean of squares"),
        Whole("max_of", _X, "largest element; NaN if any is"),
        Whole("dot", _XY, "sum of the products"),
    )
}


MATRIX: dict[str, Whole] = {
    row.name: row
    for row in (
        Whole("matmul", ("A", "B"), "matrix product, written A @ B"),
        Whole("transpose", ("A",), "the last two axes swapped, written A.T"),
        Whole("identity", ("A",), "the identity matrix of the size of a square A"),
        Whole("orthogonalize", ("A",), "U V^T of the singular value decomposition A = U S V^T"),
        Whole("inv_root", ("A", "p"), "A^(-1/p) of a symmetric positive semi-definite A"),
        Whole("eigenbasis", ("A",), "orthonormal eigenvectors of a symmetric A, as columns, ascending"),
        Whole("qr_basis", ("A",), "the orthonormal factor Q of A = Q R"),
    )
}

GIVEN: dict[str, str] = {
    "g": "the gradient",
    "theta": "the parameter at the start of the step",
    "t": "the number of the step, from 1, counted per parameter",
    "ndim": "the number of the parameter's axes",
    "rows": "the size of its last axis but one",
    "cols": "the size of its last axis",
    "numel": "the number of its elements",
    "pi": "3.14159...",
    "inf": "infinity",
}
