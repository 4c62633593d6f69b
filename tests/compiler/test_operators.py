"""Every operator, on the host, by torch and by Triton, against its meaning in numpy, special values included."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
import torch

from optc.compiler.emit.inline import source
from optc.compiler.emit.parts import PARTS, runtime
from optc.compiler.emit.scalars import SCALARS
from optc.compiler.emit.torch import MATRIX as TORCH_MATRIX
from optc.compiler.emit.torch import OVER_ALL, TORCH
from optc.compiler.emit.torch import REDUCTIONS as TORCH_REDUCTIONS
from optc.compiler.emit.triton import TRITON
from optc.compiler.load import load
from optc.dsl.operators import MATRIX, OPERATORS, REDUCTIONS
from optc.dsl.rule import Param, Rule
from optc.dsl.text.expressions import Apply, Expr, Name, Number
from optc.dsl.text.syntax import Assign, Output

VALUES = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 1e-30, -1e30, 7.25, np.inf, -np.inf, np.nan)
INEXACT = {"pow", "cbrt", "exp", "log", "sin", "cos", "tanh", "erf"}
"""Operators that IEEE 754 does not define to the last bit; the others must agree exactly."""
EITHER_ZERO = {"min", "max", "clip"}
"""Operators of 0 and -0 that may give either."""


@pytest.mark.parametrize("table", [SCALARS, TORCH, TRITON], ids=["scalars", "torch", "triton"])
def test_every_operator_has_a_spelling(table: dict[str, Any]) -> None:
    assert set(table) == set(OPERATORS)


def test_every_reduction_and_matrix_operation_has_a_spelling() -> None:
    assert set(TORCH_REDUCTIONS) == set(OVER_ALL) == set(REDUCTIONS)
    assert set(TORCH_MATRIX) == set(MATRIX)


def test_no_two_files_that_share_a_module_define_the_same_name() -> None:
    names = [source(f).names for f in runtime(PARTS)]
    for a, b in itertools.combinations(names, 2):
        assert not a & b


def grid(op: str) -> np.ndarray[Any, Any]:
    """All combinations of the special values as arguments of an operator, one a column."""
    arity = OPERATORS[op].arity
    return np.array(list(itertools.product(VALUES, repeat=arity))).T


def as_condition(op: str, i: int, x: Any) -> Any:
    return np.greater(x, 0) if OPERATORS[op].takes_at(i) == "bool" else x


def expected(op: str) -> np.ndarray[Any, Any]:
    with np.errstate(all="ignore"):
        args = [as_condition(op, i, x) for i, x in enumerate(grid(op))]
        return np.asarray(OPERATORS[op].numpy(np, *args), np.float64)


def applied(op: str, names: list[str]) -> Expr:
    """The operator on names, those that it takes as conditions compared with 0."""
    takes = OPERATORS[op].takes_at
    args = (Apply("gt", (Name(n), Number(0.0))) if takes(i) == "bool" else Name(n) for i, n in enumerate(names))
    return Apply(op, tuple(args))


def assert_same(op: str, actual: Any, wanted: Any, rtol: float) -> None:
    np.testing.assert_allclose(actual, wanted, rtol=rtol if op in INEXACT else 0, atol=0)
    if op not in EITHER_ZERO:
        zero = wanted == 0
        np.testing.assert_array_equal(np.signbit(actual[zero]), np.signbit(wanted[zero]))


@pytest.mark.parametrize("op", OPERATORS)
def test_on_the_host(op: str) -> None:
    names = ["a", "b", "c"][: OPERATORS[op].arity]
    params = tuple(Param(n, default=0.0) for n in names)
    body = (Output("update", Apply("mul", (Name("g"), applied(op, names)))), Output("step_size", Number(1.0)))
    module = sys.modules[load(Rule("OnHost", params, body=body), target="torch").__module__]
    rows = [module.scalars(*map(float, column), 1.0, 1, 1, 1, 1) for column in grid(op).T]
    which = max(range(len(rows[0])), key=lambda i: len({repr(r[i]) for r in rows}))
    assert_same(op, np.array([float(r[which]) for r in rows]), expected(op), 1e-15)


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("op", OPERATORS)
def test_on_tensors(op: str, backend: str) -> None:
    names = ["theta", "g", "h"][: OPERATORS[op].arity]
    rule = Rule("OnTensors", body=(Assign("theta", applied(op, names)),), inputs=("h",))
    columns = [torch.tensor(x) for x in grid(op)]
    theta = columns[0].clone().requires_grad_()
    theta.grad = columns[1] if len(columns) > 1 else torch.zeros_like(theta)
    extra = columns[2] if len(columns) > 2 else torch.zeros_like(theta)
    load(rule)([theta], backend=backend).step(inputs={"h": [extra]})
    rtol = 1e-13 if op == "pow" else 1e-14  # exp(y log x) loses as many bits as y log x has before the point
    assert_same(op, theta.detach().numpy(), expected(op), rtol)
