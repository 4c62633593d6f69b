"""What optimizers often do with a quantity, as templates: one part of an expression to the same part inside an idiom.

`x` is the part. A template is used where every other name in it can be read, and `y` is some leaf, `c` a number between
0 and 1 that stands twice. Like automatically defined functions (Koza, 1994), they let one change do what would take
several, most of which are worse than nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from ...dsl.text.expressions import Expr
from ...dsl.text.syntax import Output
from .priors import pick
from .sites import reads
from .trees import filled, fragment, number

IDIOMS: dict[str, float] = {
    "x/(sqrt(v) + eps)": 2,
    "x/(sqrt(vhat) + eps)": 2,
    "sign(x)": 2,
    "c*x + d*y": 3,
    "x*sign(y)": 1,
    "x*exp(y)": 1,
    "where(x*y > 0, x, c*x)": 1,
    "clip(x, -c, c)": 1,
    "sign(x)*abs(x)^c": 1,
    "x/(v^c + eps)": 1,
    "x/t^c": 0.5,
    "x*min(1, c*t)": 0.5,
    "x*norm(theta)/(norm(x) + eps)": 0.5,
}
"""How often each is chosen."""
QUANTITIES: dict[str, float] = {
    "sqrt(v)": 2, "sqrt(vhat)": 2, "abs(g)": 2, "abs(m)": 2, "sign(g)": 1, "sign(m)": 1, "g^2": 1, "": 10,
}  # fmt: skip
"""How often each of what optimizers are made of is chosen; the last stands for a name or a constant."""
FREE = frozenset("xycd")


def in_idiom(part: Expr, readable: Sequence[str], leaf: Callable[[], Expr], rng: np.random.Generator) -> Expr:
    """The part inside one of the idioms whose names can be read."""
    chosen = template(readable_of(IDIOMS, readable, rng))
    c = rng.uniform(0.05, 0.95)
    return filled(chosen, {"x": part, "y": leaf(), "c": number(c), "d": number(1 - c)})


def readable_of(table: Mapping[str, float], readable: Sequence[str], rng: np.random.Generator) -> str:
    """One of a table's texts whose names can be read, or the empty one, by weight."""
    there = frozenset(readable)
    usable = [text for text in table if needed(text) <= there]
    return pick(rng, usable, [table[text] for text in usable])


@cache
def needed(text: str) -> frozenset[str]:
    """The names that a text of a table reads."""
    return frozenset(reads(template(text)) - FREE) if text else frozenset()


@cache
def template(text: str) -> Expr:
    """The expression that a text is."""
    line = fragment(f"update = {text}")
    assert isinstance(line, Output)
    return line.value
