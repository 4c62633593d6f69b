"""Text to tree: what the grammar says, pasted mathematics, recovery after errors, and input made to hurt."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optc.dsl.checks.check import check
from optc.dsl.diagnostics import OptError
from optc.dsl.load import decode, rule_from_text
from optc.dsl.text.expressions import Apply, Expr, Name, Number
from optc.dsl.text.parser import parse
from optc.dsl.text.syntax import File, Let, Short
from optc.dsl.text.table import GRAMMAR
from optc.dsl.text.tokens import KEYWORDS
from optc.dsl.text.walking import children, walk


def expr(text: str) -> Expr:
    (item,) = parse(text).items
    assert isinstance(item, Short)
    return item.value


X, Y, Z = Name("x"), Name("y"), Name("z")


def two(op: str, a: Expr, b: Expr) -> Expr:
    return Apply(op, (a, b))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x + y*z", two("add", X, two("mul", Y, Z))),
        ("x - y - z", two("sub", two("sub", X, Y), Z)),
        ("x/y*z", two("mul", two("div", X, Y), Z)),
        ("-x^y", Apply("neg", (two("pow", X, Y),))),
        ("x^y^z", two("pow", X, two("pow", Y, Z))),
        ("x^-y", two("pow", X, Apply("neg", (Y,)))),
        ("x**y", two("pow", X, Y)),
        ("x mod y*z", two("mul", two("mod", X, Y), Z)),
        ("-x*y", two("mul", Apply("neg", (X,)), Y)),
        ("x < y and not z < x or y", two("or", two("and", two("lt", X, Y), Apply("not", (two("lt", Z, X),))), Y)),
        ("1.5e-3", Number(1.5e-3)),
        (".5", Number(0.5)),
        ("5.", Number(5.0)),
        ("(x\n +\n y)", two("add", X, Y)),
    ],
)
def test_precedence(text: str, tree: Expr) -> None:
    assert expr(text) == tree


@pytest.mark.parametrize(
    ("pasted", "plain"),
    [
        ("let a = β₁·m̂", "let a = beta1*mhat"),
        ("let a = g⊙g∘m", "let a = g*g*m"),
        ("let a = g²", "let a = g^2"),
        ("let a = β₁ᵗ", "let a = beta1^t"),
        ("let a = x⁻¹", "let a = x^-1"),
        ("let a = √(v̂) + ε", "let a = sqrt(vhat) + eps"),
        ("let a = √v", "let a = sqrt(v)"),
        ("let a = √v̂ × ∞", "let a = sqrt(vhat) * inf"),
        ("m ← x − y", "m <- x - y"),
        ("let a = x ≤ y ∧ ¬ (x ≠ y)", "let a = x <= y and not (x != y)"),
        ("let θ̃ = 1", "let thetatilde = 1"),
        ("let 𝑚 = 1", "let m = 1"),
        ("\ufefflet a = 1\r\nlet b = 2\r\n".replace("\r\n", "\n"), "let a = 1\nlet b = 2"),
        ("let\ta\t=\t1 # tab", "let a = 1 # tab"),
        ("let a = 1; let b = 2", "let a = 1\nlet b = 2"),
    ],
)
def test_pasted_mathematics(pasted: str, plain: str) -> None:
    assert parse(pasted).items == parse(plain).items


def test_folding_is_noted_and_spans_stay_on_the_original() -> None:
    text = "let a = β₁·m̂"
    file = parse(text)
    assert [(text[s.start : s.end], plain) for s, plain in file.folded] == [("β₁", "beta1"), ("·", "*"), ("m̂", "mhat")]
    let = file.items[0]
    assert isinstance(let, Let)
    assert text[let.value.span.start : let.value.span.end] == "β₁·m̂"


def test_every_node_has_a_span_of_its_own_text() -> None:
    text = "param lr = 1e-3 in (0, 1)\nstate m = 0\nm <- 0.9*m + (1 - 0.9)*clip(g, -1, 1)\nupdate = m\n"
    for item in parse(text).items:
        for node in walk(item):
            start, end = node.span.start, node.span.end
            assert 0 <= start < end <= len(text)
            if isinstance(node, (Name, Number)):
                assert text[start:end] in (getattr(node, "id", ""), getattr(node, "text", ""))
            for child in children(node):
                assert start <= child.span.start <= child.span.end <= end


def test_docs_and_comments() -> None:
    file = parse("## one\n## two\n# aside\nparam lr = 1  ## the rate\n## in units\nupdate = g  # step\n")
    assert file.doc == "one\ntwo"
    assert [getattr(i, "doc", None) for i in file.items] == ["the rate\nin units", None]
    assert [(c.text, c.alone) for c in file.comments] == [("# aside", True), ("# step", False)]


def test_errors_are_collected_across_lines_and_blocks() -> None:
    text = "let a = \nlet b = 1\nwhen x {\n let c = )\n let d = 2\n}\nlet e = 2 2\n"
    with pytest.raises(OptError) as caught:
        parse(text)
    assert [d.span.source.position(d.span.start)[0] for d in caught.value.diagnostics] == [1, 4, 7]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfeu\x00", "UTF-16"),
        (b"update = \xffg", "byte 9 is 0xff"),
        (b"caf\xe9", "byte 3 is 0xe9"),
    ],
)
def test_not_utf8(data: bytes, words: str) -> None:
    with pytest.raises(OptError, match=words):
        decode(data, "rule.opt")


HOSTILE = {
    "brackets": "(" * 200_000,
    "closing brackets": ")" * 200_000,
    "minuses": "update = " + "-" * 200_000 + "g",
    "nots": "update = " + "not " * 60_000 + "g",
    "powers": "update = " + "g^" * 100_000 + "g",
    "sum": "update = g" + " + g" * 60_000,
    "calls": "update = " + "sqrt(" * 40_000,
    "blocks": "when x { " * 25_000,
    "newlines": "\n" * 250_000,
    "semicolons": ";" * 250_000,
    "comments": "#\n" * 100_000,
    "one long name": "update = " + "x" * 250_000,
    "long number": "update = " + "9" * 250_000,
    "many errors": "let = 1\n" * 30_000,
    "many unknown characters": "$" * 200_000,
    "many statements": "".join(f"let a{i} = a{i - 1}\n" for i in range(14_000)),
    "transposes": "update = g" + ".T" * 100_000,
    "nested functions": "".join(f"def f{i + 1}(x) = f{i}(x) + f{i}(x)\n" for i in range(60)) + "update = f60(g)",
    "many minuses": "update = " + "-" * 19_000 + "g",
    "many powers": "update = " + "g^" * 9_000 + "g",
    "many terms": "update = g" + " + g" * 9_000,
    "many transposes": "update = g" + ".T" * 6_000,
    "many blocks": "when x { " * 5_000,
    "nine hundred elses": "when ndim > 1 { }" + " else when ndim > 2 { }" * 900,
    "a thousand errors": "let = 1\n" * 1_000,
    "a chain of lets": "".join(f"let a{i} = a{i - 1}\n" for i in range(3_000)),
    "unclosed brackets": "let a = (\n" * 4_000,
    "elses": "when x { }" + " else when x { }" * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_refused_in_words_and_soon(name: str) -> None:
    begin = time.process_time()
    with pytest.raises(OptError):
        rule_from_text(HOSTILE[name])
    assert time.process_time() - begin < 30  # a hang, not a race: each takes a second or two


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        file = parse(text)
    except OptError as error:
        assert error.diagnostics
        return
    assert isinstance(file, File)


WORDS = """
    optimizer use applies when otherwise param state input def let var evaluate repeat return in per or and not mod
    true false update step_size decay theta g t m v x lr f ( ) [ ] { } = <- + - * / ^ @ . , : ~ < <= == 0 1 2.5 1e-3
    sqrt( clip( mean( .T ; # ## β₁ √ ² ndim float32 element row zoo.adam real int bool 1e999 loguniform(
"""


@given(st.lists(st.sampled_from([*WORDS.split(), "\n"]), max_size=60).map(" ".join))
def test_any_words_of_the_language_check_or_are_refused(text: str) -> None:
    try:
        check(parse(text))
    except OptError as error:
        str(error)


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        parse(decode(data, "x.opt"))
    except OptError as error:
        str(error)


@pytest.mark.parametrize("pasted", ["₁x", "ｌｅｔ", "ｉｎ", "𝐨𝐫"])
def test_what_folds_to_no_name_is_refused(pasted: str) -> None:
    with pytest.raises(OptError, match="which is no name"):
        parse(f"let a = {pasted}")


def test_the_words_of_the_language_are_those_of_its_grammar() -> None:
    words = set(re.findall(r'^_?[A-Z]+(?:\.\d)?: (?:"|/)([a-z]+)(?:"|\\b)', GRAMMAR.read_text(), re.MULTILINE))
    assert words == KEYWORDS
