"""Syntax errors in words: what stands where it cannot stand, and what to write instead.

The parser says that a token does not fit; a table of common slips, tried in order, says what was probably meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from ..diagnostics import Diagnostic, Fix, Label, Span
from .build import Located
from .foreign import foreign
from .tokens import KEYWORDS

FRIENDLY = {
    "NAME": "a name", "NUMBER": "a number", "EQUAL": "`=`", "_ARROW": "`<-`", "LPAR": "`(`", "RPAR": "`)`",
    "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "COMMA": "`,`", "COLON": "`:`", "_NL": "a new line",
    "$END": "the end of the file", "STRING": "a path in double quotes", "MINUS": "`-`", "_PER": "`per`", "IN": "`in`",
    "TILDE": "`~`", "WHEN": "`when`",
}  # fmt: skip
OPERANDS = frozenset(("NAME", "NUMBER", "RPAR", "TRUE", "FALSE"))
STARTS = frozenset(("NAME", "NUMBER", "LPAR", "TRUE", "FALSE"))
OPERATORS = frozenset(("PLUS", "MINUS", "STAR", "SLASH", "CARET", "AT", "MOD", "COMPARE", "AND", "OR"))


@dataclass(frozen=True, slots=True)
class Slip:
    """The place of a syntax error: the token that does not fit, those before it on the line, what would have fitted."""

    token: Located
    before: list[Located]
    expected: frozenset[str]

    @property
    def previous(self) -> Located | None:
        return self.before[-1] if self.before else None

    @property
    def begins_line(self) -> bool:
        """Whether the line break before the token was taken out, as it is inside brackets."""
        p, at = self.previous, self.token.span
        return p is not None and "\n" in at.source.text[p.span.end : at.start]

    def error(self, message: str, help: str, span: Span | None = None, fix: Fix | None = None) -> Diagnostic:
        return Diagnostic("E001", message, span or self.token.span, help=help, fix=fix)


def explain(tokens: list[Located], at: int, begin: int, expected: object) -> Diagnostic | None:
    """The error at `tokens[at]` in the line from `begin`; None where a message about that character exists already."""
    names = frozenset(expected) if isinstance(expected, (set, frozenset, list)) else frozenset()
    if tokens[at].type == "$END":
        begin = _open_brace(tokens) or begin
    slip = Slip(tokens[at], tokens[begin:at], names)
    if slip.token.type == "OTHER" or any(t.type == "OTHER" for t in slip.before):
        return None
    if (said := foreign(slip.token.span)) is not None:
        return said
    for row in SLIPS:
        found = row(slip)
        if found is not None:
            return found
    return _unexpected(slip)


def _open_brace(tokens: list[Located]) -> int | None:
    """Where the innermost block begins that the text never closes."""
    open_: list[int] = []
    for i, t in enumerate(tokens):
        if t.type == "LBRACE":
            open_.append(i)
        elif t.type == "RBRACE" and open_:
            open_.pop()
    return open_[-1] if open_ else None


def _augmented(slip: Slip) -> Diagnostic | None:
    """`m += g`"""
    p = slip.previous
    if slip.token.type != "EQUAL" or p is None or p.type not in OPERATORS or p.type == "COMPARE":
        return None
    target = slip.before[-2] if len(slip.before) > 1 else None
    name = str(target) if target is not None and target.type == "NAME" else "m"
    span = p.span.to(slip.token.span)
    # a - (b - c) is not a - b - c: only a sum may go on without brackets
    fix = Fix(span, f"<- {name} +") if p == "+" and len(slip.before) == 2 else None
    return slip.error(f"there is no `{p}=`", f"write `{name} <- {name} {p} ...`", span, fix)


def _arrow_inside(slip: Slip) -> Diagnostic | None:
    """`where(g <-1, ...)`"""
    if slip.token.type != "_ARROW":
        return None
    nested = any(t.type in ("LPAR", "EQUAL", "WHEN") for t in slip.before)
    if nested:
        fix = Fix(slip.token.span, "< -")
        return slip.error("`<-` assigns; it cannot stand inside an expression", "`a < -1` needs the space", fix=fix)
    return slip.error("only a name can be assigned to", "write `name <- expression`")


def _equals_inside(slip: Slip) -> Diagnostic | None:
    if slip.token.type != "EQUAL" or not slip.before:
        return None
    first = slip.before[0]
    if first.type in ("PARAM", "STATE", "LET", "VAR"):
        return slip.error("unexpected `=`", "`==` compares two values")
    return slip.error(
        "unexpected `=`", "write `name <- expression` for a state, `let name = expression` for a value, `==` to compare"
    )


def _misspelt(slip: Slip) -> Diagnostic | None:
    """`Param lr = 1`, `sate m = 0`"""
    p, t = slip.previous, slip.token
    if p is None or p.type != "NAME" or slip.before[0] is not p or t.type != "NAME" or str(p) in STATEMENTS:
        return None
    meant = get_close_matches(str(p).lower(), OPENING, 1, 0.8)
    if not meant:
        return None
    fix = Fix(p.span, meant[0]) if str(p).lower() == meant[0] else None
    return slip.error(f"unknown statement `{p}`", f"did you mean `{meant[0]}`?", p.span, fix)


def _juxtaposed(slip: Slip) -> Diagnostic | None:
    """`2g`, `(a)(b)`, `sqrt g`"""
    p, t = slip.previous, slip.token
    if p is None or p.type not in OPERANDS or t.type not in STARTS:
        return None
    if p == "if" or (p.type == "NAME" and slip.before[0] is p and t.type == "NAME" and str(p) in STATEMENTS):
        return slip.error(f"unknown statement `{p}`", STATEMENTS.get(str(p), "write `when condition { ... }`"), p.span)
    if p.type == "NAME" and t.type in ("NAME", "NUMBER"):
        hint = f"write `{p}({t})` to call a function, `{p}*{t}` to multiply"
        return slip.error(f"two names side by side: `{p} {t}`", hint, p.span.to(t.span))
    touching = p.span.end == t.span.start
    gap = Fix(Span(p.span.source, p.span.end, t.span.start), "*") if p.type == "NUMBER" and touching else None
    return slip.error(f"`{p}` and `{t}` need an operator between them", f"write `{p}*{t}` to multiply", fix=gap)


OPENING = ("optimizer", "param", "state", "input", "let", "var", "def", "use", "applies", "evaluate", "repeat", "when")
"""The words that a statement can begin with, before a name."""
STATEMENTS = {
    "if": "write `when condition { ... }` for a static choice, `where(condition, x, y)` for a choice by element",
    "for": "write `repeat n { ... }`",
    "while": "write `repeat n { ... }`",
    "class": "write `optimizer NAME`; a rule is no Python",
    "from": 'write `use zoo.adamw` or `use "./lib.opt"`',
    "import": 'write `use zoo.adamw` or `use "./lib.opt"`',
    "function": "write `def f(x) = expression`",
    "const": "write `let name = expression`",
    "parameter": "write `param name = default`",
    "hyperparameter": "write `param name = default`",
}


def _reserved(slip: Slip) -> Diagnostic | None:
    if slip.token not in KEYWORDS or "NAME" not in slip.expected or not slip.before:
        return None
    word = str(slip.token)
    return slip.error(f"`{word}` is a word of the language, not a name", f"choose another name, `{word}_` say")


def _unclosed(slip: Slip) -> Diagnostic | None:
    """The line ends, or a statement begins, inside a bracket."""
    if slip.token.type not in ("_NL", "$END") and slip.token not in KEYWORDS and not slip.begins_line:
        return None
    open_: list[Located] = []
    for t in slip.before:
        if t.type in ("LPAR", "LSQB", "LBRACE"):
            open_.append(t)
        elif t.type in ("RPAR", "RSQB", "RBRACE") and open_:
            open_.pop()
    if not open_:
        return None
    closing = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}[open_[-1].type]
    message = f"this `{open_[-1]}` is never closed"
    return slip.error(message, f"add the `{closing}`", open_[-1].span)


def _ends_early(slip: Slip) -> Diagnostic | None:
    p = slip.previous
    if slip.token.type not in ("_NL", "$END"):
        return None
    if p is None:
        return slip.error("a block `{` is never closed", "add the `}`")
    span = Span(p.span.source, p.span.end, p.span.end)
    if p.type in OPERATORS or p.type in ("EQUAL", "_ARROW", "COMMA", "LPAR", "NOT", "IN"):
        return slip.error(
            f"the line ends after `{p}`, where a value should follow",
            "put the rest on this line, or brackets around it",
            span,
        )
    return slip.error(f"the line ends too early, after `{p}`", f"expected {_list(slip.expected)}", span)


def _stray_close(slip: Slip) -> Diagnostic | None:
    if slip.token.type not in ("RPAR", "RSQB", "RBRACE"):
        return None
    p = slip.previous
    if p is not None and (p.type in OPERATORS or p.type == "COMMA"):
        return slip.error(f"a value is missing between `{p}` and `{slip.token}`", "write it, or take the operator out")
    return slip.error(f"this `{slip.token}` closes nothing", "take it out, or add what opens it")


def _chained(slip: Slip) -> Diagnostic | None:
    if slip.token.type != "COMPARE" or not any(t.type == "COMPARE" for t in slip.before):
        return None
    return slip.error("comparisons do not chain", "write `a < b and b < c`")


def _attribute(slip: Slip) -> Diagnostic | None:
    dot = slip.previous
    if dot is None or dot.type != "DOT":
        return None
    return slip.error("nothing here has attributes", "a matrix has one: its transpose, `.T`")


SLIPS: tuple[Callable[[Slip], Diagnostic | None], ...] = (
    _augmented,
    _arrow_inside,
    _chained,
    _equals_inside,
    _attribute,
    _unclosed,
    _misspelt,
    _juxtaposed,
    _reserved,
    _ends_early,
    _stray_close,
)


def _unexpected(slip: Slip) -> Diagnostic:
    labels: tuple[Label, ...] = ()
    if slip.previous is not None and slip.previous.span.end < slip.token.span.start - 1:
        labels = (Label(slip.previous.span, "after this"),)
    help = f"expected {_list(slip.expected)}" if 0 < len(slip.expected) <= 6 else ""
    return Diagnostic("E001", f"unexpected `{slip.token}`", slip.token.span, labels=labels, help=help)


def _list(expected: frozenset[str]) -> str:
    words = sorted({FRIENDLY.get(name, f"`{name.strip('_').lower()}`") for name in expected})
    if not words or len(words) > 6:
        return "the rest of the expression" if words else "something else"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
