"""Every kind of bad input gets its diagnostic: the text as a user sees it, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from optc.dsl.diagnostics import OptError, to_json
from optc.dsl.load import rule_from_text

SCALED = "def f(x) = x*g\n"
HEAD = "param lr = 0.1\nparam beta1 = 0.9\nstate m = 0\n"

# name -> (code of each error, the text)
CASES: dict[str, tuple[list[str], str]] = {
    # the characters and the shape of the text
    "absolute_bars": (["E002"], "update = |g|"),
    "augmented": (["E001"], HEAD + "m += g\nupdate = m"),
    "arrow_in_expression": (["E001"], HEAD + "update = where(g <-1, g, m)"),
    "assigned_by_comparing": (["E305"], HEAD + "m == beta1*m + g\nupdate = m"),
    "walrus": (["E001"], HEAD + "let a = g\nm := beta1*m\nupdate = m"),
    "step_subscript": (["E001"], HEAD + "m <- beta1*m_{t-1} + g\nupdate = m"),
    "ternary": (["E001"], HEAD + "update = g if t > 10 else m"),
    "module_function": (["E001"], HEAD + "update = torch.sign(m)"),
    "method": (["E001"], HEAD + "m.mul_(beta1).add_(g)\nupdate = m"),
    "floor_division": (["E001"], HEAD + "update = g//2"),
    "slash_comment": (["E001"], "// SGD\n" + HEAD + "update = g"),
    "scope_behind_comma": (["E001"], HEAD + "update = g/norm(g, per row)"),
    "scope_behind_bracket": (["E001"], HEAD + "update = g/norm(g) per row"),
    "two_declarations_a_line": (["E001"], HEAD + "param a = 1, b = 2\nupdate = a*b*g"),
    "two_lets_a_line": (["E001"], HEAD + "let a = m/(1 - beta1^t), b = 2\nupdate = a*b*g"),
    "capital_statement": (["E001"], "Optimizer SGD\n" + HEAD + "update = g"),
    "unclosed_interval": (["E001"], "param lr = 0.1 in [0, 1\nupdate = g"),
    "condition_as_default": (["E306"], "param lr = 0.1 > 0\nupdate = g"),
    "fullwidth_sign": (["E002"], HEAD + "update ＝ g"),
    "two_updates": (["E103"], HEAD + "update = g\nupdate = m"),
    "attribute": (["E105"], HEAD + "update = g.shape"),
    "chained_comparison": (["E001"], HEAD + "update = where(0 < g < 1, g, m)"),
    "control_character": (["E002"], "update = g\x00"),
    "cyrillic_letter": (["E002"], "let а = 1\nupdate = g"),
    "import_os": (["E002"], "update = __import__('os')"),
    "juxtaposed": (["E001"], "update = 2g"),
    "keyword_as_name": (["E001"], "let when = 1"),
    "line_ends_after_operator": (["E001"], HEAD + "update = g +\n"),
    "missing_bracket": (["E001", "E001"], HEAD + "let a = (1 + 2\nlet b = 2 * * 3\nupdate = g"),
    "no_operator": (["E001"], "update = sqrt g"),
    "python_if": (["E001"], "if g > 0 { }"),
    "stray_bracket": (["E001"], "update = g)"),
    "unclosed_block": (["E001"], HEAD + "when beta1 > 0 {\nupdate = g"),
    # names
    "unknown_name": (["E101"], HEAD + "m <- bta1*m + (1 - beta1)*g\nupdate = m"),
    "unknown_gradient": (["E101"], HEAD + "update = grad"),
    "product_without_operator": (["E101"], HEAD + "update = beta1m"),
    "step_below_a_name": (["E101"], HEAD + "update = mt"),
    "standard_name_of_nothing": (["E101"], HEAD + "update = mhat"),
    "step_below_a_state": (["E303"], HEAD + "m_t = beta1*m + g\nupdate = m"),
    "let_left_out": (["E303"], HEAD + "mhat = m/2\nupdate = mhat"),
    "one_fault_told_once": (["E202"], HEAD + "let up = m or g > 0\nupdate = where(up, g, m)"),
    "largest_element": (["E201"], HEAD + "update = g/max(g^2)"),
    "theta_twice": (["E304"], HEAD + "theta <- 0.9*theta\ntheta <- theta - lr*g"),
    "gradient_before_the_first_step": (
        ["E101", "E305"],
        "param lr = 1\nstate a = g\n" + SCALED + "state b = f(theta)\nupdate = a*b",
    ),
    "noise_before_the_first_step": (["E305"], "param lr = 1\nstate a = noise()\nupdate = g*a"),
    "statements_before_the_first_step": (["E305"], "param lr = 1\n" + SCALED + "state a = f(2*theta)\nupdate = a"),
    "noise_in_evaluation": (["E305"], HEAD + "update = g\nevaluate theta = theta + noise()"),
    "gradient_in_a_call_of_evaluation": (["E305"], HEAD + SCALED + "update = g\nevaluate theta = f(theta)"),
    "statements_in_evaluation": (["E305"], HEAD + "def f(x) = x*x\nupdate = g\nevaluate theta = f(2*m)"),
    "unknown_function": (["E105"], HEAD + "update = rsqrt(g)"),
    "function_as_name": (["E101"], HEAD + "update = sqrt*g"),
    "use_before_definition": (["E102"], HEAD + "let a = b*g\nlet b = 2\nupdate = a"),
    "let_cycle": (["E102"], HEAD + "let a = b\nlet b = a\nupdate = b"),
    "declared_twice": (["E103"], HEAD + "state m = 1\nupdate = m"),
    "declares_given": (["E103"], HEAD + "let g = 1\nupdate = m"),
    "class_named_class": (["E104"], "optimizer class\n" + HEAD + "update = g"),
    "class_named_torch": (["E104"], "optimizer torch\n" + HEAD + "update = g"),
    "class_named_super": (["E104"], "optimizer super\n" + HEAD + "update = g"),
    "python_keyword": (["E104"], "param lambda = 0\nparam lr = 1\nupdate = g"),
    "reserved_param": (["E104"], "param maximize = 0\nparam lr = 1\nupdate = g"),
    "recursive_def": (["E106"], HEAD + "def f(x) = f(x)\nupdate = f(g)"),
    "mutual_recursion": (["E106"], HEAD + "def f(x) = h(x)\ndef h(x) = f(x)\nupdate = f(g)"),
    "unknown_library": (["E107"], "use zoo.adamv\n" + HEAD + "update = g"),
    "file_above": (["E107"], 'use "../secret.opt"\n' + HEAD + "update = g"),
    # arguments, kinds and shapes
    "wrong_arity": (["E201"], HEAD + "update = clip(g, 1)"),
    "keyword_argument": (["E201"], HEAD + "update = clip(g, low = 1, high = 2)"),
    "scope_on_elementwise": (["E201"], HEAD + "update = sqrt(g per row)"),
    "number_as_condition": (["E202"], HEAD + "update = where(g, 1, 2)"),
    "condition_as_number": (["E202"], HEAD + "update = g > 0"),
    "col_into_row": (["E203"], HEAD + "state R : per row = 0\nR <- mean(g^2 per col)\nupdate = g/R"),
    "inner_sizes": (["E203"], HEAD + "update = g @ g"),
    "root_of_no_square": (["E203"], HEAD + "update = inv_root(g, 2) @ g"),
    "transposed_sum": (["E203"], HEAD + "update = g + g.T"),
    "unknown_scope": (["E204"], HEAD + "state s : per rows = 0\nupdate = g"),
    "unknown_dtype": (["E204"], HEAD + "state s : per element bfloat = 0\nupdate = g"),
    "dynamic_when": (["E205"], HEAD + "when g > 0 { update = g } else { update = m }"),
    "unbounded_repeat": (["E206"], HEAD + "var x = g\nrepeat 1000000000 { x <- x + 1 }\nupdate = x"),
    "repeat_of_too_much": (["E206"], HEAD + "param n : int = 500\nvar x = g\nrepeat n { x <- x + 1 }\nupdate = x"),
    "repeat_of_any_multiple": (
        ["E206"],
        HEAD + "param n : int = 5\nvar x = g\nrepeat n + 1 { x <- x + 1 }\nupdate = x",
    ),
    "repeat_that_grows": (["E206"], HEAD + "param n : int = 3\nvar x = g\nrepeat 10/n { x <- x + 1 }\nupdate = x"),
    "repeat_of_a_size": (["E206"], HEAD + "var x = g\nrepeat rows { x <- x + 1 }\nupdate = x"),
    "standard_names": (["E101"] * 2, "state m = 0\nm <- beta1*m + g\nupdate = m - eta*theta"),
    "state_with_an_equals_sign": (["E303", "E101"], "param lr = 0.1\nm = 0.9*m + g\nupdate = m"),
    "repeats_multiply": (["E206"], HEAD + "var x = g\nrepeat 20 { repeat 20 { x <- x + 1 } }\nupdate = x"),
    "conditional_state": (["E207", "E207"], HEAD + "state s = 0 when beta1 > 0\ns <- g\nupdate = s"),
    # what a rule must and must not do
    "empty": (["E301"], ""),
    "only_comments": (["E301"], "# nothing\n## at all\n"),
    "no_update": (["E301"], HEAD + "m <- g"),
    "update_in_one_arm": (["E301"], HEAD + "when beta1 > 0 { update = g }"),
    "update_and_theta": (["E302"], HEAD + "update = g\ntheta <- theta - lr*g"),
    "equals_for_state": (["E303"], HEAD + "m = beta1*m + g\nupdate = m"),
    "misspelt_update": (["E303"], HEAD + "updat = g"),
    "assigned_param": (["E303"], HEAD + "lr <- 2*lr\nupdate = g"),
    "assigned_twice": (["E304"], HEAD + "m <- g\nm <- 2*g\nupdate = m"),
    "return_outside": (["E305"], HEAD + "update = g\nreturn g"),
    "gradient_in_evaluation": (["E305"], HEAD + "update = g\nevaluate theta = theta + g"),
    "lone_expression": (["E305"], HEAD + "g*2"),
    "default_outside_interval": (["E306"], "param lr = 2 in (0, 1)\nupdate = g"),
    "empty_interval": (["E306"], "param lr = 1 in (1, 1]\nupdate = g"),
    "int_with_fraction": (["E306"], "param n : int = 1.5\nparam lr = 1\nupdate = n*g"),
    "no_lr": (["E307"], "update = g"),
    # numbers
    "too_large": (["E401"], "update = 1e999*g\nparam lr = 1"),
    "too_small": (["E401"], "param lr = 1e-50\nupdate = g"),
    "division_by_zero": (["E401"], HEAD + "update = g/(1 - 1)"),
    "log_of_negative": (["E401"], HEAD + "update = g*log(0 - 1)"),
    "huge_exponent": (["E402"], HEAD + "update = g^1000"),
    "nested_too_deep": (["E004"], "update = " + "(" * 101 + "g" + ")" * 101),
    "minus_tower": (["E004"], HEAD + "update = " + "-" * 300 + "g"),
    "ten_errors_at_most": (["E101"] * 10, HEAD + "".join(f"let a{i} = q{i}\n" for i in range(20)) + "update = g"),
}


def problems(text: str) -> OptError:
    with pytest.raises(OptError) as caught:
        rule_from_text(text, "rule.opt")
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_codes(name: str) -> None:
    codes, text = CASES[name]
    assert [d.code for d in problems(text).diagnostics] == codes


SOMETIMES = HEAD + "state s = 0 when beta1 > 0.5\nupdate = g\n"
SURE = (
    "when beta1 > 0.5 { s <- g }",
    "when beta1 > 0.5 and lr > 0 { s <- g }",
    "when lr > 0 { when beta1 > 0.5 { s <- g } }",
    "when not (beta1 <= 0.5) { s <- g }",
    "when beta1 <= 0.5 { let x = 1 } else { s <- g }",
    "when beta1 <= 0.5 or lr > 1 { let x = 1 } else { s <- g }",
)
UNSURE = (
    "when beta1 >= 0.5 { s <- g }",
    "when beta1 > 0.5 or lr > 0 { s <- g }",
    "when not (beta1 > 0.5) { s <- g }",
    "when beta1 > 0.5 { let x = 1 } else { s <- g }",
    "when beta1 <= 0.5 and lr > 1 { let x = 1 } else { s <- g }",
    "when not (beta1 <= 0.5 and lr > 1) { s <- g }",
)


@pytest.mark.parametrize("block", SURE)
def test_a_state_may_be_used_where_its_condition_is_known_to_hold(block: str) -> None:
    assert rule_from_text(SOMETIMES + block).states[-1].name == "s"


@pytest.mark.parametrize("block", UNSURE)
def test_and_nowhere_else(block: str) -> None:
    assert [d.code for d in problems(SOMETIMES + block).diagnostics] == ["E207"]


def test_text(golden: Callable[[str, str], None]) -> None:
    """One golden page of every diagnostic, as a user reads it."""
    pages = [f"==== {name}\n{problems(text)}\n" for name, (_, text) in CASES.items()]
    golden("diagnostics.txt", "\n".join(pages))


def test_json(golden: Callable[[str, str], None]) -> None:
    names = ("unknown_name", "declared_twice", "use_before_definition", "juxtaposed")
    report = {name: [to_json(d) for d in problems(CASES[name][1]).diagnostics] for name in names}
    golden("diagnostics.json", json.dumps(report, indent=2) + "\n")


def test_every_span_lies_in_the_text() -> None:
    for _, text in CASES.values():
        for d in problems(text).diagnostics:
            for span in (d.span, *(label.span for label in d.labels)):
                assert 0 <= span.start <= span.end <= len(span.source.text)


def test_caret_stands_under_the_fault_after_tabs_and_wide_letters() -> None:
    text = HEAD + "let a = 1  # 重\nupdate =\tβ₁*g"
    lines = str(problems(text.replace("β₁", "bta1"))).splitlines()
    source = next(line for line in lines if "update" in line)
    caret = next(line for line in lines if "^^^^" in line)
    assert source.index("bta1") == caret.index("^^^^")


def test_control_characters_never_reach_the_terminal() -> None:
    shown = str(problems("update = \x1b[31mg"))
    assert "\x1b" not in shown


def test_too_large() -> None:
    assert [d.code for d in problems("# " + "x" * 300_000).diagnostics] == ["E003"]


def test_a_name_as_long_as_the_file_does_not_fill_the_screen() -> None:
    with pytest.raises(OptError) as caught:
        rule_from_text(f"param lr = 0.1\nupdate = {'a' * 200_000}")
    assert len(str(caught.value)) < 3000 and "unknown name `aaa" in str(caught.value)
