"""The grammar's text to the table that reads it: lark makes it once, and the user's cache folder keeps it.

What is kept is plain data, so that a program that finds it there need not import lark at all. How the table is run is
machine.py's business, and what it makes of a text the builder's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

from ..cache import cache_folder, put_in_place

GRAMMAR = Path(__file__).parents[2] / "grammar" / "opt.lark"
SET_ASIDE = ("COMMENT", "ROOT", "SUPERSCRIPT", "INFINITY", "OTHER")
"""Tokens that no rule of the grammar names: `tokens.py` takes them out or folds them."""
SPACE = "SPACE"
NOTHING = -1
"""In `Row.take`: the place of an optional part that is not there."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rule of the grammar: `origin` is made of `size` symbols.

    `make` names the builder's method, "" where the value is a list that another row splices in. Of the symbols, the
    method gets those in `take`: by place from 0, NOTHING for None, and -2 - place for a list that is spliced in.
    `passes` says that its one symbol's value is its own.
    """

    origin: str
    size: int
    make: str
    take: tuple[int, ...]
    passes: bool


@dataclass(frozen=True, slots=True)
class Table:
    """An LALR(1) table. In `states`, n >= 0 goes on to state n, and -1 - r reduces by row r.

    `pattern` matches any token, in a group of its kind, and the space before it; `words` has the kinds of those that
    match as NAME or OTHER and mean something else.
    """

    states: tuple[dict[str, int], ...]
    rows: tuple[Row, ...]
    start: int
    end: int
    pattern: str
    words: dict[str, str]


@cache
def table() -> Table:
    """The grammar's table. A cache folder that cannot be read or written costs a fifth of a second, nothing else."""
    grammar = GRAMMAR.read_bytes()
    path = cache_folder() / f"grammar-{_checksum(grammar + Path(__file__).read_bytes())}.json"
    kept = _kept(path)
    if kept is not None:
        return kept
    made = _made(grammar.decode())
    _keep(path, made)
    return made


def _kept(path: Path) -> Table | None:
    """The table in a file; None where there is none, or what is there is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
        digest, _, body = text.partition("\n")
        if digest != _checksum(body.encode()):
            return None
        data = json.loads(body)
        rows = tuple(Row(**{**row, "take": tuple(row["take"])}) for row in data["rows"])
        return Table(**{**data, "rows": rows, "states": tuple(data["states"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _checksum(data: bytes) -> str:
    return f"{len(data):x}-{crc32(data):08x}"


def _keep(path: Path, made: Table) -> None:
    body = json.dumps(asdict(made)).encode()
    put_in_place(path, f"{_checksum(body)}\n".encode() + body)


# ---------------------------------------------------------------- from lark


class _KeepAll:
    """Tells lark to keep the tokens that no rule of the grammar names."""

    always_accept = SET_ASIDE

    def process(self, stream: Any) -> Any:
        return stream


def lark_parser(**options: Any) -> Any:
    """lark's own parser of the grammar, which makes trees of its own: what the table is taken from."""
    from lark import Lark

    text = GRAMMAR.read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer="basic", start="file", postlex=_KeepAll(), **options)


def _made(text: str) -> Table:
    lark = lark_parser()
    found = lark.parse_interactive().parser_state.parse_conf
    rules = list(lark.rules)
    numbers = {rule: i for i, rule in enumerate(rules)}
    order = _in_order(found)

    def action(what: Any, target: Any) -> int:
        return order[target] if str(what) == "Shift" else -1 - numbers[target]

    states = tuple({name: action(*step) for name, step in sorted(found.states[s].items())} for s in order)
    rows = tuple(map(_row, rules))
    pattern, words = _terminals(lark.terminals)
    return Table(states, rows, order[found.start_state], order[found.end_state], pattern, words)


def _in_order(found: Any) -> dict[Any, int]:
    """lark numbers its states differently in every process; here it is by how one gets to them."""
    order, ahead = {found.start_state: 0}, [found.start_state]
    for state in ahead:
        for _, (what, target) in sorted(found.states[state].items()):
            if str(what) == "Shift" and target not in order:
                order[target] = len(order)
                ahead.append(target)
    return order


def _row(rule: Any) -> Row:
    """What lark would hand to a rule's method: no `_X` and no unnamed sign, None for what is optional and not there."""
    helper = rule.origin.name.startswith("_")
    missing = "".join("01"[empty] for empty in rule.options.empty_indices) or "0" * len(rule.expansion)
    take: list[int] = []
    symbols = iter(enumerate(rule.expansion))
    for mark in missing:
        if mark == "1":
            take.append(NOTHING)
            continue
        i, symbol = next(symbols)
        if not symbol.is_term and symbol.name.startswith("_"):
            take.append(-2 - i)
        elif not (symbol.is_term and symbol.filter_out):
            take.append(i)
    make = "" if helper else rule.alias or rule.origin.name
    passes = bool(rule.options.expand1 and not rule.alias)
    assert not passes or (take == [0] and len(rule.expansion) == 1), f"{rule} needs a name behind `->`"
    return Row(str(rule.origin.name), len(rule.expansion), str(make), tuple(take), passes)


def _terminals(terminals: Any) -> tuple[str, dict[str, str]]:
    """The alternation that lark's own lexer would try, behind what it would skip; and what is looked up instead.

    A word is first taken for a NAME, a sign of one character for OTHER.
    """
    plain = {t.pattern.value: t.name for t in terminals if t.pattern.type == "str"}
    words = {text: name for text, name in plain.items() if text.isidentifier() or len(text) == 1}
    tried = [t for t in terminals if t.name not in words.values() and t.name != SPACE]
    tried.sort(key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name))
    (space,) = (t.pattern.to_regexp() for t in terminals if t.name == SPACE)
    return f"(?>(?:{space})?)(?:{'|'.join(f'(?P<{t.name}>{t.pattern.to_regexp()})' for t in tried)})", words
