"""Rule → one number, what a step costs: weighted operators, by how often they run. It knows nothing of any machine.

Weights are relative to one addition, for one element of one parameter. What is computed once a step or once a tensor
costs next to nothing, but not nothing, so that folding it still pays.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..rule import Rule
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When
from .analysis import Analysis
from .facts import HOST, SHAPES, Fact

WEIGHTS: dict[str, float] = {
    "div": 4, "sqrt": 4, "mod": 6, "cbrt": 12, "pow": 16, "exp": 8, "log": 8, "sin": 8, "cos": 8, "tanh": 12, "erf": 12,
    "clip": 2, "lerp": 3,
}  # fmt: skip
"""Every operator that is not here weighs 1."""
NODE = 0.001
REDUCE, MATRIX, NOISE = 2.0, 1000.0, 10.0
OFTEN = {HOST: 0.01, SHAPES["model"]: 0.01, SHAPES["tensor"]: 0.01, SHAPES["matrix"]: 0.01,
         SHAPES["row"]: 0.1, SHAPES["col"]: 0.1}  # fmt: skip
"""How often a value of a shape is computed, per element of the parameter; once where the shape is not here."""


def of_apply(op: str, shape: int) -> float:
    """What one application costs, its arguments not counted."""
    return NODE + WEIGHTS.get(op, 1.0) * OFTEN.get(shape, 1.0)


def cost(rule: Rule) -> float:
    """What a step costs. Both arms of a `when` count, and the body of a `repeat` once."""
    analysis = Analysis(rule)
    env = dict(analysis.start)
    return _block(rule.body, analysis, env)


def _block(body: Iterable[Statement], analysis: Analysis, env: dict[str, Fact]) -> float:
    total = 0.0
    for s in body:
        match s:
            case Let(value=value) | Assign(value=value) | Output(value=value):
                total += of_expression(value, analysis, env)[0]
            case When(condition=condition, then=then, otherwise=otherwise):
                total += of_expression(condition, analysis, env)[0]
                total += _block(then, analysis, dict(env)) + _block(otherwise, analysis, dict(env))
            case Repeat(body=inner):
                total += _block(inner, analysis, dict(env))
        analysis.follow(s, env)
    return total


def of_expression(e: Expr, analysis: Analysis, env: dict[str, Fact]) -> tuple[float, Fact]:
    """An expression's cost where `env` holds the facts of what it reads, and its own fact."""
    if isinstance(e, Apply | Reduce | Matrix):
        parts = [of_expression(a, analysis, env) for a in e.args]
        below, facts = sum(c for c, _ in parts), tuple(f for _, f in parts)
        if isinstance(e, Apply):
            fact = analysis.combine(e.op, facts)
            return below + of_apply(e.op, fact.shape), fact
        fact = analysis.of(e, env)
        return below + (MATRIX if isinstance(e, Matrix) else REDUCE * OFTEN.get(facts[0].shape, 1.0)), fact
    if isinstance(e, Cast):
        below, fact = of_expression(e.value, analysis, env)
        return below + 1.0 * OFTEN.get(fact.shape, 1.0), analysis.of(e, env)
    assert isinstance(e, Number | Bool | Name | Prev | Noise)
    return NOISE if isinstance(e, Noise) else NODE, analysis.of(e, env)
