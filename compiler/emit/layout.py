"""Lays Python out as a formatter would: wraps what is too long, indents blocks, prints statements. Knows no backend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ...dsl.text.expressions import Apply, Expr, Matrix, Name, Number
from ..plan.names import Names
from ..plan.plan import Bind, Branch, Statement
from .spell import Speller

WIDTH = 120
STEP = "    "


def wrapped(head: str, items: Sequence[str], tail: str, indent: str = "") -> list[str]:
    """`head(items)tail` on one line, or its items on one line of their own, or each on its own."""
    one = f"{indent}{head}({', '.join(items)}){tail}"
    if len(one) <= WIDTH:
        return [one]
    inner = f"{indent}{STEP}{', '.join(items)}"
    body = [inner] if len(inner) <= WIDTH else [f"{indent}{STEP}{item}," for item in items]
    return [f"{indent}{head}(", *body, f"{indent}){tail}"]


def returned(items: Sequence[str], indent: str) -> list[str]:
    """`return a, b`, one a line where that is too long."""
    one = (
        f"{indent}return {', '.join(items)}"
        if len(items) > 1
        else f"{indent}return ({''.join(f'{x},' for x in items)})"
    )
    if len(one) <= WIDTH:
        return [one]
    return [f"{indent}return (", *(f"{indent}{STEP}{item}," for item in items), f"{indent})"]


def statements(body: Sequence[Statement], speller: Speller, names: Names, loop: str, indent: str = STEP) -> list[str]:
    """The lines of a block. `loop` is what a `for` runs over, with `{}` for the count."""
    out: list[str] = []
    for s in body:
        if isinstance(s, Bind):
            out += assignment(s.name, s.value, speller, names, indent)
            continue
        inner = s.then if isinstance(s, Branch) else s.body
        head = f"if {s.flag}:" if isinstance(s, Branch) else f"for _ in {loop.format(s.flag)}:"
        block = statements(inner, speller, names, loop, indent + STEP)
        out += [indent + head, *(block or [f"{indent}{STEP}pass"])]
        if isinstance(s, Branch) and s.otherwise:
            out += [f"{indent}else:", *statements(s.otherwise, speller, names, loop, indent + STEP)]
    return out


def assignment(name: str, value: Expr, speller: Speller, names: Names, indent: str) -> list[str]:
    """`name = value`, its largest parts under names of their own while the line would be too long."""
    line = f"{indent}{name} = {speller(value)}"
    args = getattr(value, "args", ())
    if len(line) <= WIDTH or not args:
        return [line]
    lengths = [0 if isinstance(a, Name | Number) else len(speller(a)) for a in args]
    largest = max(range(len(args)), key=lengths.__getitem__)
    if not lengths[largest] or not isinstance(value, Apply | Matrix):
        return [line]
    part = names.numbered("part")
    rest = replace(value, args=(*args[:largest], Name(part), *args[largest + 1 :]))
    return [
        *assignment(part, args[largest], speller, names, indent),
        *assignment(name, rest, speller, names, indent),
    ]


def number(value: float | bool) -> str:
    """A number as Python reads it."""
    return {math.inf: "math.inf", -math.inf: "-math.inf"}.get(value) or repr(value)


def tuple_of(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


def quoted(value: str) -> str:
    return f'"{value}"'


def docstring(text: str, indent: str = "") -> list[str]:
    """A docstring that says `text` and nothing else, whatever the text holds."""
    safe = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = ["".join(c if c.isprintable() else " " for c in line).rstrip() for line in safe.split("\n")]
    if lines[-1].endswith('"'):
        lines[-1] = lines[-1][:-1] + '\\"'
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    return [f'{indent}"""{lines[0]}', *(indent + line if line else "" for line in lines[1:]), f'{indent}"""']
