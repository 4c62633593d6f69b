"""What fuzzing found, replayed; and texts made to escape from the source that a rule becomes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optc.compiler.module import Target, emit
from optc.dsl.load import ZOO, decode, rule_from_text
from optc.dsl.simplify import simplify

from .examine import confined, examine, is_text

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


# ---------------------------------------------------------------- nothing escapes

QUOTING = ['"', "'", '"""', "\\", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\ufeff"]
CODE = ["import os", "os.system('x')", "}", "{", "%s", "\\N{DIGIT ONE}", "\\x41", "#", "##", "a", " ", "\U0001f600"]
HOSTILE = st.lists(st.sampled_from(QUOTING + CODE), max_size=12).map("".join)
LINES = HOSTILE.map(lambda text: "".join(f"## {line}\n" for line in re.split("[\r\n]", text)))
PLAIN = "optimizer Plain\nparam lr = 0.1\nstate m = 0\nm <- 0.9*m + g\nupdate = m\n"


def code_of(source: str) -> str:
    """The source's syntax without the texts that stand alone in it, docstrings among them."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not is_text(s)]
    return ast.dump(tree)


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
    assert code_of(source) == code_of(emit(simplify(rule_from_text(PLAIN)), target))


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
