"""The formatter changes how a rule looks and nothing else, and has nothing left to change afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from optc.dsl.load import ZOO, rule_from_text, zoo, zoo_names
from optc.dsl.text.expand import expand
from optc.dsl.text.format import format_file
from optc.dsl.text.parser import parse
from optc.dsl.text.spelling import format_expr, number
from optc.dsl.text.syntax import Short
from optc.dsl.writing import text_of

UNTIDY = """
##a rule
# before the name
optimizer   Untidy
use std.schedules:warmup
param  lr=1e-3   in(0,inf)~loguniform( 1e-5 ,1e-1 )   ## the rate
param beta1 =.9 in [0,1)   # not a doc
param nesterov=true
param steps:int=5
state m=0
state  long_name : per row bfloat16 = 0   when ndim>=2


state v :bfloat16=1
# about f
def f(x,y)=x+ -y
def h(x){var a=x   # inside
   repeat steps{a<-a*2}
   # at the end
   return a}
m<-beta1*m+(1-beta1)*(g)
let a=(((g)))*2
let longer=f(a,h(m))
when nesterov and ndim>1{   # why
let d=1
}else when ndim==1{let d=2} else{
let d=3}
update=where(not(a<b)and c,a/(b*c),(a/b)*c)^-2  # trailing
# the end
"""


def test_style(golden: Callable[[str, str], None]) -> None:
    golden("formatted.opt", format_file(parse(UNTIDY)))


@pytest.mark.parametrize(
    "text",
    [
        UNTIDY,
        "g",
        "# only\n",
        "## only\n\n# and\n",
        "a\n\n\n\n",
        "let a = 1\n# c\n\n# d\nlet b = 2",
        "## doc\n\ndef f(x) = x\n",
        "## doc\n\n# c\n\ndef f(x) = x\n",
    ],
)
def test_same_tree_and_idempotent(text: str) -> None:
    once = format_file(parse(text))
    assert parse(once) == parse(text)
    assert format_file(parse(once)) == once


@pytest.mark.parametrize(
    "text",
    [
        "let a = (  # 1\n  1\n  # 2\n  + b)  # 3\nlet c = a\nupdate = c",
        "let a = 1  # 1\n\nlet b = (2\n  # 2\n  )\nupdate = a",
        "when ndim == 2 {  # 1\n update = g\n}\n# 2\nelse {  # 3\n update = a\n}",
        "when ndim == 2  # 1\n{  # 2\n  update = g\n\n}  # 3\n\n# 4\nelse\n{\n  update = a\n}  # 5",
    ],
)
def test_comments_inside_a_statement_are_kept_and_stay_where_they_are_put(text: str) -> None:
    once = format_file(parse(text))
    assert format_file(parse(once)) == once
    assert [c.text for c in parse(once).comments] == [c.text for c in parse(text).comments]
    assert parse(once).items == parse(text).items


def test_comments_stay_in_the_arm_that_they_stand_in() -> None:
    arms = """
when t == 1 {  # first
  m <- g
  # ends the first
} else when t == 2 {
  m <- m + g
  # ends the second
} else {
  # begins the third
  m <- 0.5*m + g
  # ends the third
}  # behind all"""
    text = f"param lr = 1\nstate m = 0\n{arms}\nupdate = m\n"
    assert format_file(parse(text)) == text


@pytest.mark.parametrize("path", sorted(ZOO.parent.rglob("*.opt")), ids=lambda p: p.stem)
def test_what_we_ship_is_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_file(parse(text)) == text


@pytest.mark.parametrize("name", zoo_names())
def test_a_rule_as_a_file_is_that_rule(name: str) -> None:
    rule = zoo(name)
    assert rule_from_text(text_of(rule), f"{name}.opt") == rule


def test_a_fallback_is_written_down_with_its_settings() -> None:
    text = "use zoo.adamw\nparam lr = 1\napplies when ndim > 1 otherwise adamw(lr = 2*1e-3)\nupdate = g"
    again = text_of(rule_from_text(text))
    assert "use zoo.adamw" in again and "applies when ndim > 1 otherwise adamw(lr = 2e-3)" in again
    assert rule_from_text(again) == rule_from_text(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a-(b-c)", "a - (b - c)"),
        ("(a-b)-c", "a - b - c"),
        ("(a*b)/(c*d)", "a*b/(c*d)"),
        ("-(a^2)", "-a^2"),
        ("(-a)^2", "(-a)^2"),
        ("a^(b^c)", "a^b^c"),
        ("(a^b)^c", "(a^b)^c"),
        ("2**(-x)", "2^-x"),
        ("- -a", "--a"),
        ("a*(-b)", "a*-b"),
        ("not (a and b) or c", "not (a and b) or c"),
        ("(a<b)==(c<d)", "(a < b) == (c < d)"),
        ("(a@b).T", "(a @ b).T"),
        ("a mod (b mod c)", "a mod (b mod c)"),
    ],
)
def test_brackets(text: str, plain: str) -> None:
    (item,) = parse(text).items
    assert isinstance(item, Short)
    assert format_expr(item.value) == plain
    assert parse(plain) == parse(text)


@pytest.mark.parametrize(
    "value", [0.0, 3.0, 1e-3, 1e-8, 5.4425e-9, 0.1 + 0.2, 1e22, 123456789.0, 5e-324, 1.7e308, 0.00015]
)
def test_numbers_read_back_as_themselves(value: float) -> None:
    assert float(number(value)) == value


def test_expanded_short_form(golden: Callable[[str, str], None]) -> None:
    short = "0.73*sign(g) + 3.63*m/(sqrt(v) + eps)"
    text = format_file(expand(parse(short, "evolved.opt")))
    golden("expanded.opt", text)
    assert rule_from_text(text, "x.opt") == rule_from_text(short, "x.opt")
