"""Text to the tokens that the grammar is fed: comments set aside, brackets joined, pasted mathematics folded.

It does not know which tokens may follow which; what cannot be a token at all it reports here, in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from unicodedata import normalize

from ..diagnostics import Diagnostic, OptError, Source, Span
from .build import Located
from .fold import ROOTS, SUPERSCRIPTS, describe, fold_name
from .syntax import Comment
from .table import SET_ASIDE, Table

MAX_BYTES = 256 * 1024
MAX_TOKENS = 20_000
MAX_NESTING = 100

KEYWORDS = frozenset(
    ("optimizer", "use", "applies", "when", "otherwise", "param", "state", "input", "def", "let", "var", "evaluate",
     "else", "repeat", "return", "in", "per", "or", "and", "not", "mod", "true", "false")
)  # fmt: skip

HINTS = {
    "|": "write `abs(x)` for |x|, `norm(x)` for a norm, `or` for either",
    "'": "write `A.T` for a transpose; strings have no place in a rule",
    "&": "write `and`; of an aligned formula, leave the `&` out",
    "!": "write `not`",
    "%": "write `a mod b` for a remainder",
    "?": "write `where(condition, x, y)`",
    "$": "paste the formula without its LaTeX dollars",
    "\\": "write the formula without LaTeX commands: `sqrt(v)`, `beta1`",
    "‖": "write `norm(x)`",
    "∑": "write `sum(x)`",
    "`": "leave the quotes out",
    '"': 'only `use "./file.opt"` takes a string, and it ends on its own line',
    "“": 'write `"`',
    "”": 'write `"`',
    "∥": "write `norm(x)`",
    "⊤": "write `A.T`",
    "∇": "the gradient is called `g`",
    "_": "names begin with a letter",
}


@dataclass(frozen=True, slots=True)
class Doc:
    """A `##` line."""

    text: str
    span: Span
    alone: bool


@dataclass
class Tokens:
    """What the parser needs of a text. `folded` lists the places that were not plain ASCII, with what they mean."""

    tokens: list[Located] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    docs: list[Doc] = field(default_factory=list)
    folded: list[tuple[Span, str]] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)


def tokenize(table: Table, source: Source) -> Tokens:
    """All tokens of a source. Raises OptError at once for input too large or too deeply nested to look at."""
    if len(source.text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        message = f"this file is larger than {MAX_BYTES // 1024} KiB"
        hint = "a rule is a page of text; is this the right file?"
        raise OptError(Diagnostic("E003", message, Span(source, 0, 0), help=hint))
    out = Tokens()
    root: Located | None = None
    for raw in _raw(table, source):
        if root is None and raw.type not in UNFINISHED and raw.isascii():
            out.tokens.append(raw)
        else:
            out.tokens.extend(_fold(raw, out, root))
            root = raw if raw.type == "ROOT" else None
        if len(out.tokens) > MAX_TOKENS:
            message = f"this file has more than {MAX_TOKENS:,} words and signs"
            raise OptError(Diagnostic("E003", message, raw.span, help="a rule is a page of text"))
    out.tokens = _join_blocks(_join_lines(out.tokens))
    return out


UNFINISHED = frozenset((*SET_ASIDE, "NUMBER", "CARET"))
"""Tokens that are folded or set aside even where they are ASCII."""


def _raw(table: Table, source: Source) -> Iterator[Located]:
    """The text cut up by the grammar's terminals, of which one fits at any place."""
    for found in re.compile(table.pattern).finditer(source.text):
        kind: str = found.lastgroup  # type: ignore[assignment]
        text, end = found[kind], found.end()
        if kind in ("NAME", "OTHER"):
            kind = table.words.get(text, kind)
        yield Located(kind, text, Span(source, end - len(text), end))


def _join_lines(tokens: list[Located]) -> Iterator[Located]:
    """Drop the newlines inside ( ) and [ ]; a bracket left open must not swallow the statements after it."""
    depth = blocks = 0
    previous = ""
    for i, token in enumerate(tokens):
        if token.type in ("LPAR", "LSQB"):
            depth += 1
        elif token.type in ("RPAR", "RSQB"):
            depth = max(0, depth - 1)
        elif token.type == "_NL":
            if previous == "_NL" or (depth > 0 and not _begins_statement(tokens[i + 1 : i + 3])):
                continue
            depth = 0
        elif token.type in ("LBRACE", "RBRACE"):
            depth, blocks = 0, blocks + (1 if token.type == "LBRACE" else -1)
        if max(depth, blocks) > MAX_NESTING:
            message, hint = f"brackets nested deeper than {MAX_NESTING}", "name a part of the expression with `let`"
            raise OptError(Diagnostic("E004", message, token.span, help=hint))
        previous = token.type
        yield token


def _join_blocks(tokens: Iterator[Located]) -> list[Located]:
    """Drop the newlines before `{`, and between `}` and `else`."""
    out: list[Located] = []
    for token in tokens:
        end = len(out)
        while token.type in ("_ELSE", "LBRACE") and end and out[end - 1].type == "_NL":
            end -= 1
        if end and (token.type == "LBRACE" or out[end - 1].type == "RBRACE"):
            del out[end:]
        out.append(token)
    return out


STATEMENT_WORDS = frozenset(
    ("OPTIMIZER", "USE", "APPLIES", "PARAM", "STATE", "INPUT", "DEF", "LET", "VAR", "EVALUATE", "REPEAT", "RETURN")
)


def _begins_statement(following: list[Located]) -> bool:
    types = [token.type for token in following]
    return bool(types) and (types[0] in STATEMENT_WORDS or types == ["NAME", "_ARROW"])


def _fold(raw: Located, out: Tokens, root: Located | None) -> Iterator[Located]:
    kind, text, span = raw.type, str(raw), raw.span
    if kind == "COMMENT":
        _set_aside(text, span, out)
    elif kind == "ROOT":
        return
    elif root is not None:
        yield from _rooted(raw, root, out)
    elif kind == "NAME":
        yield Located(kind, text, span) if text.isascii() else _name(raw, span, out)
    elif kind == "SUPERSCRIPT":
        yield from _superscript(raw, span, out)
    elif kind == "INFINITY":
        out.folded.append((span, "inf"))
        yield Located("NAME", "inf", span)
    elif kind == "OTHER":
        out.problems.append(_unknown(text, span))
        yield Located(kind, text, span)
    else:
        yield _ascii_operator(kind, text, span, out)


_OPERATORS = {
    "−": "-", "–": "-", "·": "*", "×": "*", "⋅": "*", "∙": "*", "∗": "*", "⊙": "*", "∘": "*",
    "∕": "/", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "←": "<-", "∈": "in", "∼": "~", "∧": "and", "∨": "or",
    "¬": "not", "**": "^",
}  # fmt: skip


def _ascii_operator(kind: str, text: str, span: Span, out: Tokens) -> Located:
    if kind == "NUMBER":
        return Located(kind, text.replace("−", "-").replace("E", "e"), span)
    plain = _OPERATORS.get(text, text)
    if not text.isascii():
        out.folded.append((span, plain))
    return Located(kind, plain, span)


def _name(raw: Located, span: Span, out: Tokens) -> Located:
    name, bad = fold_name(str(raw))
    if bad is not None:
        at = Span(span.source, span.start + max(0, str(raw).find(bad)), span.start + max(0, str(raw).find(bad)) + 1)
        help = "names are letters, digits and _; Greek letters, hats and subscripts are folded to ASCII"
        out.problems.append(Diagnostic("E002", f"{describe(bad)} cannot be part of a name", at, help=help))
    elif name != raw:
        if not name.isidentifier() or name in KEYWORDS:
            message = f"this reads as `{name}`, which is no name"
            out.problems.append(Diagnostic("E002", message, span, help="choose a name of letters, digits and _"))
        out.folded.append((span, name))
    return Located("NAME", name or "x", span)


def _superscript(raw: Located, span: Span, out: Tokens) -> Iterator[Located]:
    """g² is `g ^ 2`, β₁ᵗ is `beta1 ^ t`, x⁻¹ is `x ^ -1`."""
    text = "".join(SUPERSCRIPTS[c] for c in str(raw))
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    if not (digits.isalpha() and len(digits) == 1) and not digits.replace(".", "", 1).isdigit():
        out.problems.append(
            Diagnostic("E002", "this superscript is no number and no name", span, help="write `x^(...)`")
        )
        digits = "1"
    out.folded.append((span, f"^{sign}{digits}"))
    yield Located("CARET", "^", span)
    if sign:
        yield Located("MINUS", "-", span)
    yield Located("NAME" if digits.isalpha() else "NUMBER", digits, span)


def _rooted(raw: Located, root: Located, out: Tokens) -> Iterator[Located]:
    """√(v) is `sqrt(v)`, and √v is too."""
    span, here = root.span, raw.span
    function = Located("NAME", ROOTS[str(root)], span)
    yield function
    if raw.type not in ("NAME", "NUMBER"):
        out.folded.append((span, str(function)))
        yield from _fold(raw, out, None)
        return
    before = len(out.folded)
    inner = _name(raw, here, out) if raw.type == "NAME" else Located(raw.type, str(raw), here)
    out.folded[before:] = [(span.to(here), f"{function}({inner})")]
    yield from (Located("LPAR", "(", here), inner, Located("RPAR", ")", here))


def _set_aside(text: str, span: Span, out: Tokens) -> None:
    line, column = span.source.position(span.start)
    alone = not span.source.line(line)[: column - 1].strip(" \t\ufeff")
    if text.startswith("##"):
        out.docs.append(Doc(text.lstrip("#").strip(), span, alone))
    else:
        out.comments.append(Comment(text.rstrip(), alone, line))


def _unknown(text: str, span: Span) -> Diagnostic:
    plain = normalize("NFKC", text)
    otherwise = f"write `{plain}`" if plain != text and plain.isascii() and plain.isprintable() else "remove it"
    return Diagnostic("E002", f"{describe(text)} means nothing here", span, help=HINTS.get(text, otherwise))
