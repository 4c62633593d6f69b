"""The facts of the operator table hold of the numpy meanings in it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy

from optc.dsl.operators import FUNCTIONS, INFIX, OPERATORS, Operator

POINTS = np.array([-30.0, -2.5, -1.0, -1e-3, 0.0, 1e-3, 0.5, 1.0, 3.0, 30.0])
UNARY = [op for op in OPERATORS.values() if op.arity == 1 and op.takes_at(0) == "real"]
BINARY = [op for op in OPERATORS.values() if op.arity == 2 and op.takes_at(0) == "real"]


def on(op: Operator, *args: object) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(op.numpy(np, *args))


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_unary_facts(op: Operator) -> None:
    y, mirrored = on(op, POINTS), on(op, -POINTS)
    if op.parity is not None:
        np.testing.assert_array_equal(mirrored, -y if op.parity == "odd" else y)
    if op.monotone:
        real = y[~np.isnan(y)]
        assert np.all(np.diff(real) * op.monotone >= 0)
    inside = y[~np.isnan(y)]
    assert np.all((inside >= op.bounds[0]) & (inside <= op.bounds[1]))


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
def test_binary_facts(op: Operator) -> None:
    x, y = np.meshgrid(POINTS, POINTS)
    if op.commutative:
        np.testing.assert_array_equal(on(op, x, y), on(op, y, x))
    if op.parity == "odd":
        np.testing.assert_array_equal(on(op, -x, y), -on(op, x, y))


@pytest.mark.parametrize("op", [o for o in OPERATORS.values() if o.gives == "real"], ids=lambda op: op.name)
def test_sympy_means_what_numpy_means(op: Operator) -> None:
    for values in [(0.7, 1.3, 0.4), (2.0, 0.5, 3.0), (0.25, -0.75, 2.0)]:
        args = [values[0] > 0.5 if op.takes_at(i) == "bool" else values[i] for i in range(op.arity)]
        exact = [sympy.true if a is True else sympy.false if a is False else sympy.Float(a, 30) for a in args]
        ours = float(on(op, *args))
        if not math.isnan(ours):
            assert math.isclose(ours, float(sympy.N(op.sympy(sympy, *exact))), rel_tol=1e-13, abs_tol=1e-300)


def test_every_row_is_reachable_by_one_spelling() -> None:
    spelled = set(FUNCTIONS) | set(INFIX.values()) | {"neg", "not"}
    assert spelled == set(OPERATORS)
    assert all(row.doc and row.signature for row in OPERATORS.values())
