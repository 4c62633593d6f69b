"""What other notations write, found in the line of a syntax error, to a message that says how it is written here.

A table of patterns, tried in order. It never decides that something is wrong: the parser has done that.
"""

from __future__ import annotations

import re

from ..diagnostics import Diagnostic, Span

REDUCED = r"(?:sum|mean|norm|rms|max_of|dot)"
SCOPED = "write `mean(x per row)`, with the scope inside the brackets and no comma before it"

ROWS: tuple[tuple[str, str, str], ...] = (
    (r'"""|\'\'\'', "rules have no docstrings", "a line that begins with `##` is documentation, with `#` a comment"),
    (r"^\s*(//|/\*)", "this is no comment here", "comments begin with `#`"),
    (r"//", "there is no `//`", "write `floor(x/y)`"),
    (r":=", "there is no `:=`", "write `let name = expression`, or `name <- expression` for a state"),
    (
        r"\w+_\{\s*t\s*(?:[-−]\s*1\s*)?\}",
        "names have no subscripts for steps",
        "a state is last step's above its `<-` and this step's below it; `prev(m)` is always last step's",
    ),
    (r"(?:=|<-).*?\bif\b.*\belse\b", "there is no `x if condition else y`", "write `where(condition, x, y)`"),
    (
        r"\b(?:torch|np|numpy|math|jnp|jax|tf|F)\.\w+\s*\(",
        "functions belong to no module",
        "write the name alone, such as `sqrt(v)`",
    ),
    (r"\.[a-zA-Z]\w*\s*\(", "values have no methods", "write it with operators: `beta1*m + (1 - beta1)*g`"),
    (rf"\b{REDUCED}\s*\([^()]*,\s*per\b", "a scope is no argument of its own", SCOPED),
    (rf"\b{REDUCED}\s*\([^()]*\)\s*per\b", "the scope stands outside the brackets", SCOPED),
    (rf"\b{REDUCED}\s+per\b", "the scope stands outside the brackets", SCOPED),
    (r"^\s*param\s+\w+\s*:\s*-?[\d.]", "a default follows `=`", "write `param name = 1e-3`"),
    (
        r"^\s*(?:param|state|let)\b(?:[^,()\[\]]|[(\[][^()\[\]]*[)\]])*,\s*\w+\s*=",
        "one declaration a line",
        "begin the second on a line of its own",
    ),
)  # fmt: skip
"""(pattern, message, help)"""

LONGEST = 400
"""Characters of a line that are looked at: a pattern with two gaps takes time that grows with their square."""

KNOWN = tuple((re.compile(pattern), message, help) for pattern, message, help in ROWS)


def foreign(place: Span) -> Diagnostic | None:
    """The error for the first row of the table that fits the line of a place, if one does."""
    line, column = place.source.position(place.start)
    text = place.source.line(line)[:LONGEST].split("#")[0]
    begin = place.start - column + 1
    for pattern, message, help in KNOWN:
        if found := pattern.search(text):
            span = Span(place.source, begin + found.start(), begin + found.end())
            return Diagnostic("E001", message, span, help=help)
    return None
