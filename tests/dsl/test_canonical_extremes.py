"""One hash, one value, where squares overflow and underflow: the interpreter at the ends of float64's range.

What is drawn has no sum of three terms, no product of three factors and no common factor: there the canonical form
promises less. Sizes are powers of two, so that nothing but roots and subnormal numbers is rounded.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random

import numpy as np
from numpy.typing import NDArray

from optc.dsl.algebra.canonical import canonical
from optc.dsl.text.expressions import Apply, Expr, Name, Number
from optc.dsl.text.format import format_expr

from .trajectories import FREE, free_rule, values_at

Array = NDArray[np.float64]
LARGE, SMALL, SUBNORMAL, LEAST = 2.0**664, 2.0**-664, 2.0**-1030, 2.0**-1074
SIZES = (0.0, LEAST, SUBNORMAL, SMALL, 2.0**-512, 1.0, 4.0, 2.0**512, LARGE, 2.0**1023, np.inf)
EXTREME = (*SIZES, *(-x for x in SIZES), np.nan)
GRID = [a.ravel() for a in np.meshgrid(EXTREME, EXTREME, EXTREME)]
UNARY = ("neg", "abs", "sign", "square", "sqrt", "sqrt", "inverse")
BINARY = ("add", "sub", "mul", "mul", "div", "div", "min", "pow")
LITERALS = (0.0, 1.0, 2.0, 0.5, 4.0, 0.25, 2.0**-100, 2.0**100)
POWERS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0)


def drawn(random: Random, depth: int) -> Expr:
    if depth == 0 or random.random() < 0.1:
        return Name(random.choice(FREE)) if random.random() < 0.7 else Number(random.choice(LITERALS))
    op = random.choice(UNARY if random.random() < 0.4 else BINARY)
    x = drawn(random, depth - 1)
    if op == "inverse":
        return Apply("div", (Number(1.0), x))
    if op == "pow":
        return Apply("pow", (x, Number(random.choice(POWERS))))
    return Apply(op, (x,) if op in UNARY else (x, drawn(random, depth - 1)))


def factors(e: Expr) -> int:
    """How many factors a product has at least, once a sum of like terms, c*x + d*x, is a product too."""
    match e:
        case Apply(op="mul" | "add" | "sub"):
            return sum(factors(a) for a in e.args)
        case Apply(op="square" | "pow" | "div"):
            return 2 if e.op != "div" or isinstance(e.args[1], Number) else 1
        case Apply(op="neg" | "abs" | "sign", args=(x,)):
            return factors(x)
    return 1


def terms(e: Expr) -> int:
    match e:
        case Apply(op="add" | "sub"):
            return 2
        case Apply(op="neg" | "mul" | "div"):
            return max(map(terms, e.args))
    return 1


def is_simple(e: Expr) -> bool:
    """Whether nothing in an expression can be regrouped."""
    if not isinstance(e, Apply):
        return True
    long = (e.op == "mul" and factors(e) > 2) or (
        e.op == "div" and isinstance(e.args[1], Number) and factors(e.args[0]) > 1
    )
    wide = e.op in ("add", "sub") and (max(map(terms, e.args)) > 1 or min(map(factors, e.args)) > 1)
    return not long and not wide and all(map(is_simple, e.args))


def test_one_hash_is_one_value_at_the_ends_of_the_range() -> None:
    random = Random(1)
    heaps: dict[str, dict[str, Expr]] = defaultdict(dict)
    for _ in range(12000):
        e = drawn(random, random.choice((1, 2, 2, 3, 3)))
        if is_simple(e):
            heaps[canonical(free_rule(e)).hash][format_expr(e)] = e
    shared = [heap for heap in heaps.values() if len(heap) > 1]
    assert sum(len(heap) for heap in shared) > 300, "the test draws too few equal rules to mean anything"
    for heap in shared:
        texts = list(heap)
        expected = values_at(GRID, free_rule(heap[texts[0]]))
        for text in texts[1:]:
            found = values_at(GRID, free_rule(heap[text]))
            message = f"{texts[0]} and {text}"
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=8 * LEAST, err_msg=message)
