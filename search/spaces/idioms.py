"""What optimizers often do with a quantity, as templates: one part of an expression to the same part inside an idiom.

`x` is the part. A template is used where every other name in it can be read, and `y` is some leaf, `c` a number between
0 and 1 that stands twice. Like automatically defined functions (Koza, 1994), they let one change do what would take
several, most of which are worse than nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
}
"""How often each is chosen."""
FREE = frozenset("xycd")


def in_idiom(part: Expr, readable: Sequence[str], leaf: Callable[[], Expr], rng: np.random.Generator) -> Expr:
    """The part inside one of the idioms whose names can be read."""
    templates = {text: template(text) for text in IDIOMS}
    usable = [text for text, value in templates.items() if reads(value) - FREE <= set(readable)]
    chosen = templates[pick(rng, usable, [IDIOMS[text] for text in usable])]
    c = rng.uniform(0.05, 0.95)
    return filled(chosen, {"x": part, "y": leaf(), "c": number(c), "d": number(1 - c)})


def template(text: str) -> Expr:
    """The expression that a text is."""
    line = fragment(f"update = {text}")
    assert isinstance(line, Output)
    return line.value
