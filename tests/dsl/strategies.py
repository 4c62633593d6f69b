"""Random rules for property tests: every operator, standard states, hyperparameters, free inputs.

Two kinds of expressions. *Exact* ones use +, -, *, min, max and the like on dyadic numbers, so that float64 rounds
nothing and regrouping changes no bit. *Smooth* ones apply roots, quotients and other functions to exact ones, and
combine the results by sums and products: there rounding differs, but no comparison, root or pole can see it.
"""

from __future__ import annotations

from math import inf, nan

from hypothesis import strategies as st

from optc.dsl.operators import OPERATORS
from optc.dsl.rule import Interval, Param, Rule, State
from optc.dsl.text.expressions import Apply, Expr, Name, Number
from optc.dsl.text.syntax import Assign, Let, Output

DYADIC = (0.0, 0.5, 1.0, 2.0, 3.0, 0.25)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, inf, -inf, nan)
SETTINGS = {"lr": 0.25, "beta1": 0.5, "beta2": 0.75, "eps": 0.125, "wd": 0.5}
INPUTS = ("h", "k")
EXACT_UNARY = ("neg", "abs", "sign", "square", "floor")
EXACT_BINARY = ("add", "sub", "mul", "min", "max")
SMOOTH_UNARY = ("sqrt", "cbrt", "log", "sin", "cos", "tanh", "erf")
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def apply(op: str, *args: Expr) -> Expr:
    assert len(args) == OPERATORS[op].arity or OPERATORS[op].variadic
    return Apply(op, args)


def op(names: tuple[str, ...], *args: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.builds(apply, st.sampled_from(names), *args)


LEAVES: st.SearchStrategy[Expr] = st.one_of(
    st.sampled_from(("g", "theta", "m", "v", *INPUTS, *SETTINGS)).map(Name),
    st.sampled_from(DYADIC).map(Number),
)


def _larger_exact(e: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        op(EXACT_BINARY, e, e),
        op(EXACT_UNARY, e),
        op(("clip",), e, e, e),
        op(("lerp",), e, e, e),
        op(("where",), conditions(e), e, e),
        op(("pow",), e, st.sampled_from((1.0, 2.0, 3.0)).map(Number)),
    )


def conditions(e: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    compared = op(COMPARISONS, e, e)
    return st.one_of(compared, op(("not",), compared), op(("and", "or"), compared, compared))


EXACT = st.recursive(LEAVES, _larger_exact, max_leaves=6)
SMOOTH = st.recursive(
    st.one_of(
        EXACT,
        op(SMOOTH_UNARY, EXACT),
        op(("div",), EXACT, EXACT),
        op(("pow",), EXACT, st.sampled_from((0.5, -0.5, -1.0, -2.0, 0.0)).map(Number)),
        st.builds(lambda a, b: apply("div", a, apply("add", apply("sqrt", b), Name("eps"))), EXACT, EXACT),
        op(("exp",), op(("tanh",), EXACT)),
    ),
    lambda e: st.one_of(op(("add", "sub", "mul"), e, e), op(("neg", "abs"), e), op(("min", "max"), e, e)),
    max_leaves=5,
)


def average(state: str, decay: str, of: Expr) -> Assign:
    """state <- decay*state + (1 - decay)*of"""
    kept = apply("mul", Name(decay), Name(state))
    added = apply("mul", apply("sub", Number(1.0), Name(decay)), of)
    return Assign(state, apply("add", kept, added))


HALF_OPEN = {"low": 0.0, "low_open": False, "high_open": True}
PARAMS = (
    Param("lr", default=0.25, interval=Interval(0.0, inf, True, True)),
    Param("beta1", default=0.5, interval=Interval(0.0, 1.0, False, True)),
    Param("beta2", default=0.75, interval=Interval(0.0, 1.0, False, True)),
    Param("eps", default=0.125, interval=Interval(0.0, inf, True, True)),
    Param("wd", default=0.5),
)
STATES = (State("m"), State("v"))


GRADIENT = Name("g")


def rule_of(update: Expr, moment: Expr = GRADIENT, local: Expr | None = None, decay: Expr | None = None) -> Rule:
    """The standard states around an update; `moment` is what m averages, `local` a value named x."""
    body = [average("m", "beta1", moment), average("v", "beta2", apply("square", Name("g")))]
    lets = [] if local is None else [Let("x", local)]
    outputs = [Output("update", update), Output("step_size", Name("lr"))]
    outputs += [] if decay is None else [Output("decay", decay)]
    return Rule("Drawn", PARAMS, STATES, (*body, *lets, *outputs), inputs=INPUTS)


def _with_local(update: Expr, local: Expr) -> Rule:
    return rule_of(apply("add", update, apply("mul", Name("x"), Name("x"))), local=local)


RULES: st.SearchStrategy[Rule] = st.one_of(
    st.builds(rule_of, SMOOTH),
    st.builds(rule_of, SMOOTH, EXACT),
    st.builds(_with_local, SMOOTH, SMOOTH),
    st.builds(rule_of, SMOOTH, decay=EXACT),
)
