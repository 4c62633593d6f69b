"""The table of named rewrites: each turns one expression into a cheaper one of the same values.

The law. Values are extended reals (see `facts.py`), and a rewrite must be exact there: NaN and infinities stay where
they were, and so do the signs of zeros wherever the rule could tell. Reordering a sum or a product, or taking a factor
out of a sum, may change rounding, and may meet or avoid the overflow and underflow of an intermediate value; nothing
else may change. So `x*0`, `x - x`, `x/x`, `2*x - x`, `sqrt(x^2)`, `1/(1/x)` and `x^-2` stand as written.
"""

from __future__ import annotations

from ..operators import OPERATORS
from . import rewrite_chains as chains
from . import rewrite_operators as operators
from .known import Rewrite

EVEN = tuple(o.name for o in OPERATORS.values() if o.parity == "even")

REWRITES: tuple[Rewrite, ...] = (
    Rewrite(
        "fold literals",
        tuple(o.name for o in OPERATORS.values()),
        operators.fold,
        "float64 arithmetic now instead of later; a result that is not finite, or underflows, is left as written",
    ),
    Rewrite(
        "neutral element",
        ("add", "sub", "mul", "div", "pow"),
        operators.neutral,
        "x*1, x/1, x^1, x - 0 and x + -0 are x, NaN too; x + 0 is x but for -0 + 0 = 0, so only where none can tell",
    ),
    Rewrite(
        "signs",
        ("neg", "add", "sub", "mul", "div"),
        operators.signs,
        "negation is exact; -(a - b) is b - a but for the sign of a zero, so only where none can tell",
    ),
    Rewrite("even function", EVEN, operators.even, "abs, cos and square do not see their argument's sign"),
    Rewrite(
        "idempotent",
        ("sign", "floor", "abs", "min", "max", "and", "or"),
        operators.idempotent,
        "applying them again changes nothing, NaN included; literals of one min or max are compared now",
    ),
    Rewrite(
        "bound never met",
        ("min", "max", "clip"),
        operators.bounded,
        "x is within the bound for every value, and min(NaN, c) is NaN",
    ),
    Rewrite(
        "sign of a multiple",
        ("sign",),
        operators.unscaled_sign,
        "a factor of at least 1 cannot underflow, and infinity keeps its sign",
    ),
    Rewrite(
        "powers",
        ("pow", "mul"),
        operators.powers,
        "x*x reaches no size that x^3 does not pass; x^0.5 is a root only where x >= 0: (-inf)^0.5 is inf",
    ),
    Rewrite(
        "roots",
        ("square",),
        operators.roots,
        "sqrt(x)^2 is x only where x >= 0 is proven, NaN stays; sqrt(x^2) is not |x|, since x^2 may overflow",
    ),
    Rewrite(
        "conditions",
        ("not", "where", "and", "or"),
        operators.conditions,
        "`not (a == b)` is `a != b` for NaN too; `not (a < b)` is not `a >= b`, and stays",
    ),
    Rewrite(
        "host factors",
        ("mul", "div"),
        chains.host_factors,
        "products of extended reals associate and commute; a divisor moves only where its size is known to be moderate",
    ),
    Rewrite(
        "like terms",
        ("add", "sub"),
        chains.like_terms,
        "coefficients of one sign add up whatever x is, infinite or NaN",
    ),
    Rewrite(
        "common factor",
        ("add", "sub"),
        chains.common_factor,
        "a finite factor distributes over a sum, NaN and infinities too",
    ),
)
