"""Expressions to text with as few brackets as the grammar allows; parsing the text gives the same expression."""

from __future__ import annotations

from ..operators import OPERATORS
from .expressions import Apply, Bool, Call, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce

# How tightly each form binds; a part is bracketed where it binds less tightly than its place asks.
OR, AND, NOT, COMPARE, SUM, PRODUCT, UNARY, POWER, POSTFIX = range(9)
BINDING = {
    "or": OR, "and": AND, "not": NOT, "add": SUM, "sub": SUM, "mul": PRODUCT, "div": PRODUCT, "mod": PRODUCT,
    "neg": UNARY, "pow": POWER,
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), COMPARE),
}  # fmt: skip
SPACED = frozenset(("or", "and", "add", "sub", "mod", "lt", "le", "gt", "ge", "eq", "ne"))


def number(value: float) -> str:
    """The shortest decimal that reads back as the same float64."""
    if abs(value) < 1e6 and value == int(value):
        return str(int(value))
    plain = repr(float(value))
    digits, _, exponent = f"{value:.{_significant(plain) - 1}e}".partition("e")
    scientific = f"{digits}e{int(exponent)}"
    return scientific if "e" in plain or len(scientific) < len(plain) else plain


def _significant(plain: str) -> int:
    """How many digits of a decimal count."""
    digits = plain.partition("e")[0].replace(".", "").lstrip("-0")
    return max(1, len(digits.rstrip("0") if "." in plain else digits))


def literal(value: float | bool) -> Expr:
    """The expression that a constant is written as."""
    if isinstance(value, bool):
        return Bool(value)
    if value < 0:
        return Apply("neg", (literal(-value),))
    return Name("inf") if value == float("inf") else Number(float(value), number(value))


def format_expr(e: Expr) -> str:
    """An expression as text."""
    return _at(e, OR)


def _at(e: Expr, place: int) -> str:
    text, binds = _spell(e)
    return f"({text})" if binds < place else text


def _spell(e: Expr) -> tuple[str, int]:
    match e:
        case Number():
            return (e.text or number(e.value)), POSTFIX
        case Bool():
            return ("true" if e.value else "false"), POSTFIX
        case Name():
            return e.id, POSTFIX
        case Apply():
            return _operator(e)
        case Matrix(op="matmul", args=(a, b)):
            return f"{_at(a, PRODUCT)} @ {_at(b, UNARY)}", PRODUCT
        case Matrix(op="transpose", args=(a,)):
            return f"{_at(a, POSTFIX)}.T", POSTFIX
        case Matrix():
            return _call(e.op, e.args), POSTFIX
        case Reduce():
            scope = "" if e.scope == "tensor" else f" per {e.scope}"
            return f"{e.op}({', '.join(map(format_expr, e.args))}{scope})", POSTFIX
        case Cast():
            return f"cast({format_expr(e.value)}, {e.dtype})", POSTFIX
        case Prev():
            return f"prev({e.state})", POSTFIX
        case Noise():
            return "noise()", POSTFIX
    return _user_call(e), POSTFIX


def _call(function: str, args: tuple[Expr, ...]) -> str:
    return f"{function}({', '.join(map(format_expr, args))})"


def _user_call(e: Call) -> str:
    args = [format_expr(a) for a in e.args]
    if e.scope is not None and args:
        args[-1] += f" per {e.scope}"
    args += [f"{name} = {format_expr(value)}" for name, value in e.keywords]
    if e.function.startswith("."):
        return f"{_at(e.args[0], POSTFIX)}{e.function}"
    return f"{e.function}({', '.join(args)})"


def _operator(e: Apply) -> tuple[str, int]:
    symbol, binds = OPERATORS[e.op].symbol, BINDING.get(e.op, POSTFIX)
    if symbol is None:
        return _call(e.op, e.args), POSTFIX
    if e.op == "neg":
        return f"-{_at(e.args[0], UNARY)}", binds
    if e.op == "not":
        return f"not {_at(e.args[0], NOT)}", binds
    a, b = e.args
    if e.op == "pow":  # to the right: a^b^c is a^(b^c), and a^-b needs no brackets
        return f"{_at(a, POSTFIX)}^{_at(b, UNARY)}", binds
    left, right = (binds + 1, binds + 1) if binds == COMPARE else (binds, binds + 1)
    gap = " " if e.op in SPACED else ""
    return f"{_at(a, left)}{gap}{symbol}{gap}{_at(b, right)}", binds
