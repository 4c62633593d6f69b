"""What fuzzing found, replayed; and texts made to escape from the source that a rule becomes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optc.compiler.emit.module import Target, emit
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import ZOO, decode, rule_from_text

from .examine import confined, examine, is_text, sections

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.name)
def test_corpus(path: Path) -> None:
    examine(path.read_bytes())


@pytest.mark.parametrize("path", sorted(ZOO.glob("*.opt")), ids=lambda p: p.stem)
def test_zoo(path: Path) -> None:
    examine(path.read_bytes())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ZOO.glob("*.opt"))), st.data())
def test_damaged_rules(path: Path, data: st.DataObject) -> None:
    """A rule with a piece cut out, doubled or replaced."""
    text = path.read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 40)))
    middle = data.draw(st.sampled_from([b"", text[start:end] * 2, b"(", b"}", b"\n", b"1e9", b"\xce\xb2", b"\xff"]))
    examine(text[:start] + middle + text[end:])


# ---------------------------------------------------------------- deep and wide

HEAD = "param lr = 0.1\nparam b = 0.9\nstate m = 0\n"
UPDATE = HEAD + "update = "


def functions(count: int, body: str) -> str:
    """f1 calls f0, f2 calls f1, and so on; `body` is what stands around the call."""
    chain = "".join(f"def f{i + 1}(x) = {body.format(f'f{i}(x)')}\n" for i in range(count))
    return f"{HEAD}def f0(x) = x\n{chain}update = f{count}(g)\n"


DEEP = {
    "roots": UPDATE + "sqrt(" * 99 + "g" + ")" * 99,
    "minuses": UPDATE + "-" * 118 + "g",
    "terms": UPDATE + "g" + " + g*m" * 116,
    "too many terms": UPDATE + "g" + " + g*m" * 150,
    "arguments": UPDATE + "max(" + "g, " * 100 + "m)",
    "too many arguments": UPDATE + "max(" + "g, " * 300 + "m)",
    "choices": UPDATE + "where(g > 0, m, " * 98 + "g" + ")" * 98,
    "transposes": UPDATE + "g" + ".T" * 118,
    "calls": functions(30, "{}"),
    "too many calls": functions(900, "{}"),
    "towers": functions(20, "-" * 100 + "{}"),
    "calls of calls": HEAD + "def f(x) = x + 1\nupdate = " + "f(" * 98 + "g" + ")" * 98,
    "blocks": HEAD + "when b > 0.5 { " * 95 + "m <- g" + " }" * 95 + "\nupdate = m",
    "elses": HEAD + "when b > 1 { update = g }" + " else when b > 1 { update = m }" * 90 + " else { update = g }",
    "too many elses": HEAD + "when b > 1 { update = g }" + " else when b > 1 { update = m }" * 1500,
    "loops": HEAD + "var x = g\n" + "repeat 2 { " * 4 + "x <- x + 1" + " }" * 4 + "\nupdate = x",
    "too many loops": HEAD + "var x = g\n" + "repeat 2 { " * 80 + "x <- x + 1" + " }" * 80 + "\nupdate = x",
    "a long loop": HEAD + "var x = g\nrepeat 1000000000 { x <- x + 1 }\nupdate = x",
    "squares": HEAD + "let a0 = g\n" + "".join(f"let a{i + 1} = a{i}*a{i}\n" for i in range(300)) + "update = a300",
    "states": HEAD + "".join(f"state s{i} = 0\ns{i} <- s{i} + g\n" for i in range(300)) + "update = s1",
}


@pytest.mark.parametrize("name", DEEP)
def test_deep(name: str) -> None:
    examine(DEEP[name].encode())


# ---------------------------------------------------------------- nothing escapes

QUOTING = ['"', "'", '"""', "\\", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\ufeff"]
CODE = ["import os", "os.system('x')", "}", "{", "%s", "\\N{DIGIT ONE}", "\\x41", "#", "##", "a", " ", "\U0001f600"]
HOSTILE = st.lists(st.sampled_from(QUOTING + CODE), max_size=12).map("".join)
LINES = HOSTILE.map(lambda text: "".join(f"## {line}\n" for line in re.split("[\r\n]", text)))
PLAIN = "optimizer Plain\nparam lr = 0.1\nstate m = 0\nm <- 0.9*m + g\nupdate = m\n"


def code_of(source: str) -> list[str]:
    """The source's syntax without the texts that stand alone in it, docstrings among them."""
    return [code_of_section(section) for section in sections(source)]


@cache
def code_of_section(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not is_text(s)]
    return ast.dump(tree)


@cache
def plain_code(target: Target) -> list[str]:
    return code_of(emit(simplify(rule_from_text(PLAIN)), target))


@pytest.mark.parametrize("target", ["auto", "torch"])
@given(head=LINES, inside=HOSTILE, after=LINES)
@settings(max_examples=60, deadline=None)
def test_no_comment_or_doc_becomes_code(target: Target, head: str, inside: str, after: str) -> None:
    """With any documentation and any comments, the code is the code of the same rule without them."""
    remark = inside.replace("\n", " ").replace("\r", " ")
    written = PLAIN.replace("= 0.1\n", f"= 0.1  ## {remark}\n").replace("g\n", f"g  # {remark}\n")
    text = decode((head + written + after).encode(), "rule.opt")
    source = emit(simplify(rule_from_text(text)), target)
    confined(source)
    assert code_of(source) == plain_code(target)


NAMES = ["self", "cls", "params", "torch", "tl", "triton", "math", "super", "type", "id", "print", "eval", "exec"]
NAMES += ["open", "def_", "update_", "theta_next", "kernel", "block", "scalars", "Program", "RuleOptimizer", "Any"]


@given(st.lists(st.sampled_from(NAMES), min_size=3, max_size=3, unique=True))
@settings(max_examples=60, deadline=None)
def test_no_name_takes_a_meaning_that_the_source_needs(names: list[str]) -> None:
    """Whatever params, states and values are called, the source has the names of its own, and those of no builtin."""
    p, s, v = names
    text = f"param lr = 0.1\nparam {p} = 0.9\nstate {s} = 0\nlet {v} = {p}*{s} + g\n{s} <- {v}\nupdate = {v}\n"
    examine(text.encode())


@given(st.text(max_size=20))
@settings(deadline=None)
def test_no_text_is_a_name_but_a_name(name: str) -> None:
    examine(f"optimizer {name}\nparam lr = 0.1\nparam {name} = 1\nupdate = g*{name}\n".encode("utf-8", "replace"))
