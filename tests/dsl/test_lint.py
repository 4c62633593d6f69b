"""What is allowed and not meant: which warnings a text gets, and which it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optc.dsl.checks.check import check
from optc.dsl.checks.lint import PEDANTIC, STICKS, lint
from optc.dsl.checks.probe import _MEANING
from optc.dsl.checks.review import review
from optc.dsl.load import ZOO as ZOO_FOLDER
from optc.dsl.load import file_at, rule_from_file, rule_from_text, zoo_names
from optc.dsl.meaning.dtypes import CODE_BYTES
from optc.dsl.meaning.interpret import initial_states, settings, step
from optc.dsl.operators import OPERATORS
from optc.dsl.text.expressions import DTYPES
from optc.dsl.text.parser import parse

HEAD = "## A rule.\nparam lr = 0.1 in (0, inf)\nparam beta = 0.9 in [0, 1)\nparam eps = 1e-8 in (0, inf)\n"
M = HEAD + "state m = 0\nm <- beta*m + (1 - beta)*g\n"
V = "state v = 0\nv <- beta*v + (1 - beta)*g^2\n"
HALF = HEAD.replace("param eps = 1e-8 in (0, inf)\n", "")

# name -> (codes, text)
CASES: dict[str, tuple[list[str], str]] = {
    "no_eps": (["W501"], M + V + "update = m/sqrt(v)*eps"),
    "eps_inside": ([], M + V + "update = m/(sqrt(v) + eps)"),
    "power": (["W501"], M + V + "update = m*v^-0.5*eps"),
    "by_way_of_a_let": (["W501"], M + V + "let d = sqrt(v)\nupdate = eps*m/d"),
    "in_a_function": (["W501"], "def f(x, y) = x/y\n" + M + V + "update = eps*f(m, sqrt(v))"),
    "guarded": ([], M + V + "update = eps*where(v > 0, m/sqrt(v), 0)"),
    "bounded_below": ([], M + V + "update = m/max(sqrt(v), eps)"),
    "state_from_one": ([], HEAD + "state v = 1\nv <- max(beta*v, g^2)\nupdate = g/sqrt(v)*eps"),
    "whole_tensor": (["W501"], M + "update = eps*m/norm(m)"),
    "weights_in_it": ([], M + "update = eps*m/norm(m + theta)"),
    "bias_correction": ([], M + "update = m/(1 - beta^t) + 0*eps"),
    "late_bias_correction": (["W501"], M + "update = eps*m/(1 - beta^(t - 1))"),
    "in_both_arms": (["W501"], M + V + "when ndim > 1 { let d = v } else { let d = 2*v }\nupdate = eps*m/d"),
    "in_the_arm_not_taken": ([], M + V + "when beta > 0.95 { update = m/v } else { update = eps*m }"),
    "in_a_loop": (["W501"], M + "var x = m\nrepeat 3 { x <- x/norm(x) }\nupdate = eps*x"),
    "unread_state": (["W502"], M + V + "update = eps*m"),
    "unread_conditional_state": (["W502"], M + "state s : per row = 0 when beta > 0\nupdate = eps*m"),
    "unread_param": (["W503"], M + "update = m"),
    "read_by_a_condition_only": ([], M + "applies when ndim > eps\nupdate = m"),
    "sticking": (
        ["W504"],
        M.replace("m = 0", "m : per element bfloat16 = 0").replace("0.9", "0.999") + "update = eps*m",
    ),
    "sticking_lerp": (["W504"], HALF + "state m : bfloat16 = 0\nm <- lerp(m, g, 0.001)\nupdate = m*beta"),
    "sticking_difference": (["W504"], HALF + "state m : bfloat16 = 0\nm <- m + 0.002*(g - m)\nupdate = m*beta"),
    "sticking_float16": (["W504"], HALF + "state m : float16 = 0\nm <- 0.9997*m + 0.0003*g\nupdate = m*beta"),
    "sum_does_not_decay": ([], HALF + "state m : bfloat16 = 0\nm <- m + g\nupdate = m*beta"),
    "fast_bfloat16": ([], M.replace("m = 0", "m : per element bfloat16 = 0") + "update = eps*m"),
    "scheduled_decay": ([], HALF + "state m : bfloat16 = 0\nm <- (1 - t^-0.8)*m + g*t^-0.8\nupdate = m*beta"),
    "linear_codes_under_a_root": (["W506"], M + V.replace("v = 0", "v : int8 = 0") + "update = m/(sqrt(v) + eps)"),
    "linear_codes_of_a_corrected_average": (
        ["W506"],
        M + V.replace("v = 0", "v : int8 = 0") + "let h = v/(1 - beta^t)\nupdate = m*(h + eps)^-0.5",
    ),
    "linear_codes_of_the_momentum": ([], M.replace("m = 0", "m : int8 = 0") + V + "update = m/(sqrt(v) + eps)"),
    "linear_codes_above_the_bar": ([], M + V.replace("v = 0", "v : int8 = 0") + "update = sqrt(v)*m*eps"),
    "unsigned_codes": ([], M + V.replace("v = 0", "v : ufp8 = 0") + "update = m/(sqrt(v) + eps)"),
    "rate_twice": (["W507"], M + "update = lr*m/(abs(m) + eps)"),
    "new_theta_as_the_update": (["W507"], "theta - lr*g"),
    "rate_twice_by_way_of_a_let": (["W507"], M + "let step = -lr*m\nupdate = where(m > eps, -step, 2*step) - lr*g"),
    "rate_twice_under_a_schedule": (["W507"], M + "step_size = lr/sqrt(t)\nupdate = m*eps\ndecay = 0.01*lr"),
    "rate_in_one_term": ([], M + "update = m + lr*g/(abs(g) + eps)"),
    "rate_under_a_bar": ([], M + "update = m/(lr + eps)"),
    "rate_once": ([], M + "step_size = 1\nupdate = eps*lr*m"),
    "rate_in_theta": ([], M + "theta <- theta - eps*lr*m"),
    "pasted": (["W505"], M + "update = eps·m"),
    "pasted_once_a_line": (["W505", "W505"], M + "let a = 2·m·g\nlet b = √m\nupdate = eps*a*b"),
    "short_form": ([], "m/(sqrt(v) + eps)"),
    "short_form_without_eps": (["W501"], "m/sqrt(v)"),
}
ASKED_FOR: dict[str, tuple[list[str], str]] = {
    "old_and_new": (["W511"], M.replace("m <-", "let old = m\nm <-") + "update = eps*(m - old)"),
    "old_and_new_with_prev": ([], M + "update = eps*(m - prev(m))"),
    "only_old": ([], HEAD + "state m = 0\nupdate = eps*m\nm <- beta*m + g"),
    "unread_let": (["W512"], M + "let a = g\nupdate = eps*m"),
    "uncalled_function": (["W512"], M + "def f(x) = x\nupdate = eps*m"),
    "no_doc": (["W513"], M.replace("## A rule.\n", "") + "update = eps*m"),
    "no_interval": (["W514"], M.replace(" in [0, 1)", "") + "update = eps*m"),
    "prior_and_no_interval": ([], M.replace(" in [0, 1)", " ~ uniform(0, 1)") + "update = eps*m"),
    "short": ([], "m/(sqrt(v) + eps)"),
}


def codes(text: str, pedantic: bool = False) -> list[str]:
    file = parse(text, "rule.opt")
    return [d.code for d in lint(file, check(file), pedantic)]


@pytest.mark.parametrize("name", CASES)
def test_warnings(name: str) -> None:
    expected, text = CASES[name]
    assert codes(text) == expected


@pytest.mark.parametrize("name", ASKED_FOR)
def test_pedantic(name: str) -> None:
    expected, text = ASKED_FOR[name]
    assert codes(text, pedantic=True) == expected
    assert [c for c in codes(text) if c in PEDANTIC] == []


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_has_none(name: str) -> None:
    path = ZOO_FOLDER / f"{name}.opt"
    assert lint(file_at(path), rule_from_file(path)) == []


@pytest.mark.parametrize("name", [n for n, (c, _) in CASES.items() if c == ["W501"] and "late" not in n])
def test_a_division_by_zero_is_one(name: str) -> None:
    """The oracle agrees: from a gradient of zeros the first step makes NaN."""
    rule = rule_from_text(CASES[name][1])
    values = settings(rule)
    theta, g = np.ones((2, 3)), np.zeros((2, 3))
    with np.errstate(all="ignore"):
        moved, _ = step(rule, values, theta, g, initial_states(rule, values, theta), 1)
    assert np.isnan(moved).all()


@pytest.mark.parametrize("dtype", STICKS)
def test_the_figure_at_which_an_average_sticks(dtype: str) -> None:
    beta, gap = STICKS[dtype]
    m = torch.ones((), dtype=getattr(torch, dtype))
    for _ in range(20_000):
        m = (beta * m.float()).to(m.dtype)
    assert m.item() == pytest.approx(gap / (1 - beta), rel=0.02)


def test_the_help_is_a_rule_without_the_warning() -> None:
    (warning,) = lint(parse(CASES["no_eps"][1]), rule_from_text(CASES["no_eps"][1]))
    assert "`m/(sqrt(v) + eps)`" in warning.help


def test_what_a_dead_state_costs() -> None:
    text = M + "state s : per row float64 = 0\nstate q : like_param = 0\nupdate = eps*m"
    file = parse(text)
    first, second = (d.message for d in lint(file, check(file)))
    assert first.endswith("costs 8 bytes a row") and second.endswith("as many bytes a parameter as the parameter has")


def test_tables_are_complete() -> None:
    assert set(CODE_BYTES) == set(DTYPES) - {"like_param"}
    assert set(_MEANING) | {"where", "mod"} == set(OPERATORS)


def test_functions_of_a_library_are_checked_without_a_call() -> None:
    found = review("def f(x) = qqq(x) + zz\ndef h(x, y) = x @ y\ndef k(x) = clip(x, 1)\n", "lib.opt", None)
    assert [d.code for d in found] == ["E105", "E101", "E201"]
    assert review("def f(A, x) = A @ x.T\ndef h(x) = where(x, 1, 2)\n", "lib.opt", None) == ()
