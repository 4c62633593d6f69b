"""What pydantic finds wrong with a configuration to what is said of it; the configuration itself is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..dsl.meant import nearest

WORDS = {
    "greater_than_equal": "should be at least {ge}, not {input!r}",
    "less_than_equal": "should be at most {le}, not {input!r}",
    "int_type": "should be a whole number, not {input!r}",
    "float_type": "should be a number, not {input!r}",
    "float_parsing": "should be a number, not {input!r}",
    "bool_type": "should be true or false, not {input!r}",
    "string_type": "should be a text in quotes, not {input!r}",
    "tuple_type": "should be a list in brackets, not {input!r}",
    "model_type": "should be a section, [{name}], and not {input!r}",
    "literal_error": "should be {expected}, not {input!r}",
    "string_pattern_mismatch": "should be letters, digits, `.`, `_` and `-`, the first of them a letter or digit",
}
"""By the type of pydantic's error, with what it knows beside."""


def fault(detail: Any, fields: Sequence[str]) -> str:
    """One of pydantic's errors as a line. `fields` are all keys there are, with their sections."""
    place = [str(part) for part in detail["loc"]]
    where = ".".join(place) or "search"
    if detail["type"] == "extra_forbidden":
        return f"{where}: no such key{_suggestion(place, fields)}"
    if detail["type"] in WORDS:
        known = {**detail.get("ctx", {}), "input": detail["input"], "name": where}
        return f"{where}: {WORDS[detail['type']].format(**known)}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?`, or nothing."""
    near = nearest(word, known)
    return f"; did you mean `{near}`?" if near else ""


def _suggestion(place: list[str], fields: Sequence[str]) -> str:
    *sections, word = place
    here = ".".join(sections)
    near = nearest(word, [f.rpartition(".")[2] for f in fields if f.rpartition(".")[0] == here])
    if near:
        return f"; did you mean `{'.'.join([*sections, near])}`?"
    elsewhere = [f for f in fields if f.rpartition(".")[2] == word]
    return f"; did you mean `{elsewhere[0]}`?" if elsewhere else ""
