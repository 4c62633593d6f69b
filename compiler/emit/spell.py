"""Prints an expression as Python through a table of spellings, with no parenthesis too many. Knows no backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...dsl.text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Reduce

IF, OR, AND, NOT, COMPARE, BIT_OR, BIT_AND, SUM, PRODUCT, UNARY, ATOM = range(11)
"""How tightly Python binds, from loosest to tightest."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """`template.format(*arguments)`; `level` is how tightly it binds, `takes` what each argument must bind at least."""

    template: str
    level: int = ATOM
    takes: tuple[int, ...] = ()


def call(function: str, arity: int = 1) -> Spelling:
    return Spelling(f"{function}({', '.join(['{}'] * arity)})")


def infix(symbol: str, level: int) -> Spelling:
    """A left-associative operator; comparisons chain in Python, so they bind neither side."""
    return Spelling(f"{{}} {symbol} {{}}", level, (level + (level == COMPARE), level + 1))


def prefix(symbol: str, level: int) -> Spelling:
    return Spelling(symbol + "{}", level, (level,))


ARITHMETIC: dict[str, Spelling] = {
    "add": infix("+", SUM),
    "sub": infix("-", SUM),
    "mul": infix("*", PRODUCT),
    "neg": prefix("-", UNARY),
    "lt": infix("<", COMPARE),
    "le": infix("<=", COMPARE),
    "gt": infix(">", COMPARE),
    "ge": infix(">=", COMPARE),
    "eq": infix("==", COMPARE),
    "ne": infix("!=", COMPARE),
}
"""What Python writes alike for floats, torch tensors and Triton tensors."""

ON_TENSORS: dict[str, Spelling] = {
    "and": infix("&", BIT_AND),
    "or": infix("|", BIT_OR),
    "not": prefix("~", UNARY),
}
NAMED = {"inf": "math.inf", "pi": "math.pi"}

Special = Callable[[Expr, Callable[[Expr, int], str]], str | None]
"""What a backend says of the nodes that are not operators: text, or None where it cannot say it."""


@dataclass(frozen=True)
class Speller:
    """One backend's way with expressions."""

    operators: Mapping[str, Spelling]
    special: Special = lambda value, spell: None

    def __call__(self, value: Expr, level: int = IF) -> str:
        """The text of an expression, in parentheses where its reader binds tighter than it does."""
        text, own = self._spelled(value)
        return text if own >= level else f"({text})"

    def _spelled(self, value: Expr) -> tuple[str, int]:
        match value:
            case Number(value=x):
                return ("math.inf", ATOM) if x == float("inf") else (repr(x), ATOM if x >= 0 else UNARY)
            case Bool(value=truth):
                return repr(truth), ATOM
            case Name(id=name):
                return NAMED.get(name, name), ATOM
            case Apply(op=op, args=args):
                return self._applied(self.operators[op], args)
            case Matrix(op="matmul", args=args):
                return self._applied(infix("@", PRODUCT), args)
            case Matrix() | Reduce() | Cast() | Noise():
                text = self.special(value, self)
                if text is not None:
                    return text, ATOM
        raise NotImplementedError(f"no spelling for {value!r}")

    def _applied(self, spelling: Spelling, args: tuple[Expr, ...]) -> tuple[str, int]:
        arity = spelling.template.count("{")
        if len(args) > arity:  # `min` and `max` of many: pairs, from the left
            text = self._applied(spelling, args[:arity])[0]
            for extra in args[arity:]:
                text = spelling.template.format(text, self(extra))
            return text, spelling.level
        takes = spelling.takes or (IF,) * len(args)
        return spelling.template.format(*(self(a, t) for a, t in zip(args, takes, strict=True))), spelling.level
