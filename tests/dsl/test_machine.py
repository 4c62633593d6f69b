"""Our way of running the grammar's table, against lark's own lexer and parser on the same texts; and the kept table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lark import Token, Transformer, UnexpectedToken
from lark.visitors import v_args

from optc.dsl.diagnostics import OptError, Source, Span
from optc.dsl.load import ZOO, decode
from optc.dsl.text import table as tables
from optc.dsl.text.build import Builder, Located
from optc.dsl.text.format import format_file
from optc.dsl.text.machine import Machine
from optc.dsl.text.table import lark_parser, table
from optc.dsl.text.tokens import _raw, tokenize
from optc.search.spaces.space import SPACES

CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus"


def texts() -> dict[str, str]:
    """The zoo, all that fuzzing found, and what each space bears."""
    out = {}
    for path in [*sorted(ZOO.glob("*.opt")), *sorted(CORPUS.iterdir())]:
        try:
            out[path.name] = decode(path.read_bytes(), path.name)
        except OptError:
            continue
    rng = np.random.default_rng(3)
    return out | {f"{s} {i}": format_file(SPACES[s].random(rng)) for s in SPACES for i in range(20)}


TEXTS = texts()


def _delegating(name: str) -> Any:
    method = getattr(Builder(), name)
    return v_args(inline=True)(lambda self, *parts: method(*parts))


def lark_with_builder() -> Any:
    methods = {name: _delegating(name) for name in vars(Builder) if not name.startswith("_")}
    return lark_parser(transformer=type("Delegate", (Transformer,), methods)())


LARK = lark_with_builder()


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_same_tokens(text: str) -> None:
    theirs: list[Token] = list(LARK.parse_interactive(text).lexer_thread.lex(None))
    ours = list(_raw(table(), Source("t", text)))
    assert [(t.type, str(t), t.start_pos, t.end_pos) for t in theirs] == [
        (t.type, str(t), t.span.start, t.span.end) for t in ours
    ]


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_same_tree_or_same_place_of_the_error(text: str) -> None:
    source = Source("t", text)
    try:
        tokens = tokenize(table(), source).tokens
    except OptError:
        return
    tokens.append(Located("$END", "", Span(source, len(text), len(text))))
    machine = Machine(table(), Builder())
    reading = machine.start()
    done = machine.feed(reading, tokens)
    parser = LARK.parse_interactive()
    for i, token in enumerate(tokens):
        try:
            result = parser.feed_token(token)
        except UnexpectedToken as error:
            assert done == i
            assert machine.expected(reading, token.type) == error.expected
            return
    assert done == len(tokens)
    assert machine.value(reading) == result
    assert repr(machine.value(reading)) == repr(result)


# ---------------------------------------------------------------- the kept table


def test_the_table_is_kept_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path / "new"))
    made = tables.table.__wrapped__()
    (kept,) = (tmp_path / "new").iterdir()
    assert tables._kept(kept) == made == table()


@pytest.mark.parametrize("damage", [b"", b"\x00" * 4096, b"{}", b"\xff\xfe", None])
def test_a_damaged_table_is_made_anew(damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path))
    tables.table.__wrapped__()
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert tables._kept(kept) is None
    assert tables.table.__wrapped__() == table()
    assert kept.read_bytes() == whole


def test_no_cache_folder_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path / "file"))
    assert tables.table.__wrapped__() == table()
