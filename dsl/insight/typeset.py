"""Rule → its formulas as Unicode, LaTeX or MathML, in the order in which its author wrote them; nothing moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..operators import OPERATORS
from ..rule import Rule
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce
from ..text.spelling import BINDING, COMPARE, NOT, POWER, PRODUCT, UNARY
from ..text.spelling import POSTFIX as ATOM
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When
from .glyphs import GLYPHS, Glyphs, symbol

INFIX = BINDING.keys() - {"div", "neg", "not", "pow"}
"""What is written between its arguments in every style."""
LATEX_INDENT = r"\quad "


@dataclass(frozen=True, slots=True)
class Line:
    """One formula; `depth` is how many blocks it stands in. A line that opens a block has words and no formula."""

    depth: int
    left: str
    relation: str
    right: str


def typeset_expr(e: Expr, style: str = "unicode") -> str:
    """An expression in a style: "unicode", "latex" or "mathml" (a fragment, without the <math> around it)."""
    return _Printer(GLYPHS[style]).text(e)


def typeset_lines(rule: Rule, style: str = "unicode") -> tuple[Line, ...]:
    """The formulas of a step, one for each statement, and last what becomes of theta."""
    printer = _Printer(GLYPHS[style])
    lines = list(_block(rule.body, printer, 0))
    return tuple(lines if rule.writes_theta() else [*lines, _theta(rule, printer)])


def typeset(rule: Rule, style: str = "unicode") -> str:
    """The step as a whole: lines of text, a LaTeX `aligned` environment, or one <math> element for each formula."""
    lines = typeset_lines(rule, style)
    if style == "latex":
        body = " \\\\\n".join(LATEX_INDENT * x.depth + f"{x.left} &{x.relation} {x.right}".rstrip() for x in lines)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
    if style == "mathml":
        return "\n".join(_math(x) for x in lines)
    width = max((len(_bare(x.left)) + 2 * x.depth for x in lines if x.relation), default=0)
    return "\n".join(_plain(x, width) for x in lines)


def _math(x: Line) -> str:
    space = f'<mspace width="{2 * x.depth}em"/>' if x.depth else ""
    return f'<math display="block"><mrow>{space}{x.left}{x.relation}{x.right}</mrow></math>'


def _plain(x: Line, width: int) -> str:
    left = "  " * x.depth + x.left
    return f"{left}{' ' * (width - len(_bare(left)))} {x.relation} {x.right}" if x.relation else left


def _bare(text: str) -> str:
    """The text without combining accents, which take no room."""
    return "".join(c for c in text if not "\u0300" <= c <= "\u036f")


def _block(body: Iterable[Statement], p: _Printer, depth: int) -> Iterable[Line]:
    for s in body:
        match s:
            case Let(name=name, value=value) | Output(name=name, value=value):
                yield Line(depth, p.name(name), p.glyphs.operator("="), p.text(value))
            case Assign(name=name, value=value):
                yield Line(depth, p.name(name), p.glyphs.operator("<-"), p.text(value))
            case When(condition=condition, then=then, otherwise=otherwise):
                yield Line(depth, p.glyphs.word("when ") + p.text(condition), "", "")
                yield from _block(then, p, depth + 1)
                if otherwise:
                    yield Line(depth, p.glyphs.word("otherwise"), "", "")
                    yield from _block(otherwise, p, depth + 1)
            case Repeat(count=count, body=inner):
                yield Line(depth, p.glyphs.word("repeat ") + p.text(count), "", "")
                yield from _block(inner, p, depth + 1)


def _theta(rule: Rule, p: _Printer) -> Line:
    """theta ← theta − step_size·(update + decay·theta), each part in full where it is a name or a number."""
    given = {s.name: s.value for s in rule.body if isinstance(s, Output)}
    short: dict[str, Expr] = {n: e if isinstance(e, Name | Number) else Name(n) for n, e in given.items()}
    theta = Name("theta")
    total: Expr = Name("update")
    if "decay" in {s.name for s in rule.statements() if isinstance(s, Output)}:
        total = Apply("add", (total, Apply("mul", (short.get("decay", Name("decay")), theta))))
    step = Apply("mul", (short.get("step_size", Name("step_size")), total))
    return Line(0, p.name("theta"), p.glyphs.operator("<-"), p.text(Apply("sub", (theta, step))))


class _Printer:
    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs

    def text(self, e: Expr) -> str:
        return self.part(e)[0]

    def within(self, e: Expr, binds: int) -> str:
        """The expression, in brackets if it binds less tightly than its place needs."""
        text, own = self.part(e)
        return self.glyphs.brackets(text) if own < binds else text

    def name(self, name: str) -> str:
        return self.glyphs.symbol(symbol(name))

    def part(self, e: Expr) -> tuple[str, int]:
        """An expression's text, and how tightly its outermost operator binds."""
        g = self.glyphs
        match e:
            case Number(value=value):
                return g.number(_number(value)), ATOM if value >= 0 else UNARY
            case Bool(value=value):
                return g.word(str(value).lower()), ATOM
            case Name(id="inf"):
                return g.number(r"\infty" if g.name == "latex" else "∞"), ATOM
            case Name(id=name):
                return self.name(name), ATOM
            case Prev(state=name):
                return g.call("prev", [self.name(name)]), ATOM
            case Noise():
                return g.symbol(symbol("xi")), ATOM
            case Apply(op=op, args=args):
                return self.apply(op, args)
            case Reduce(op=op, args=args, scope=scope):
                return self.reduce(op, args, scope), ATOM
            case Matrix(op=op, args=args):
                return self.matrix(op, args)
            case Cast(value=value, dtype=dtype):
                return g.call(dtype, [self.text(value)]), ATOM
        raise TypeError(f"not an expression of a checked rule: {type(e).__name__}")

    def apply(self, op: str, args: tuple[Expr, ...]) -> tuple[str, int]:
        g = self.glyphs
        if op in INFIX:
            return self.infix(op, args), BINDING[op]
        match op, args:
            case "div", (a, b):
                if g.stacked:
                    return g.fraction(self.text(a), self.text(b)), ATOM
                return g.fraction(self.within(a, PRODUCT), self.within(b, UNARY)), PRODUCT
            case "neg", (x,):
                return g.operator("-") + self.within(x, UNARY), UNARY
            case "not", (x,):
                return g.operator("not") + (" " if g.name != "mathml" else "") + self.within(x, NOT), NOT
            case "pow", (x, n):
                return g.power(self.within(x, ATOM), self.text(n)), POWER
            case "square", (x,):
                return g.power(self.within(x, ATOM), g.number("2")), POWER
            case "sqrt" | "cbrt", (x,):
                return g.root(self.text(x), op == "cbrt"), ATOM
            case "abs" | "floor", (x,):
                return g.bars(self.text(x), {"abs": "|", "floor": "floor"}[op]), ATOM
            case "where", (c, x, y):
                rows = [(self.text(x), self.condition(c)), (self.text(y), g.word("otherwise"))]
                return g.cases(rows), ATOM
        return g.call(op, [self.text(a) for a in args]), ATOM

    def condition(self, c: Expr) -> str:
        return self.glyphs.word("if ") + self.text(c)

    def infix(self, op: str, args: tuple[Expr, ...]) -> str:
        g = self.glyphs
        sign, binds = str(OPERATORS[op].symbol), BINDING[op]
        # The right side of a difference needs brackets where the left needs none.
        right = binds + (op in ("sub", "mod") or binds == COMPARE)
        left = binds + (binds == COMPARE)
        x, y = (
            self.within(args[0], left),
            self.within(args[1], UNARY + 1 if op == "mul" and _signed(args[1]) else right),
        )
        if op == "mul" and g.name == "latex" and isinstance(args[1], Number):
            return rf"{x} \cdot {y}"
        if g.name == "mathml":
            return x + g.operator(sign) + y
        return f"{x}{g.operator(sign)}{y}" if op == "mul" and not g.stacked else f"{x} {g.operator(sign)} {y}"

    def reduce(self, op: str, args: tuple[Expr, ...], scope: str) -> str:
        g = self.glyphs
        inside = [self.text(a) for a in args]
        where = g.word(scope)
        if op == "norm":
            return g.below(g.bars(inside[0], "norm"), where)
        head = {"max_of": "max", "dot": "dot"}.get(op, op)
        if g.name == "unicode":
            return g.call(f"{head}_{scope}", inside)
        styled = rf"\operatorname{{{head}}}" if g.name == "latex" else g.word(head)
        return (
            g.call(g.below(styled, where), inside)
            if g.name == "mathml"
            else f"{g.below(styled, where)}{g.brackets(', '.join(inside))}"
        )

    def matrix(self, op: str, args: tuple[Expr, ...]) -> tuple[str, int]:
        g = self.glyphs
        if op == "matmul":
            parts = [self.within(a, PRODUCT) for a in args]
            return (" " if g.name == "unicode" else g.operator("@")).join(parts), PRODUCT
        if op == "transpose":
            top = {"unicode": "T", "latex": r"\top", "mathml": "<mo>⊤</mo>"}[g.name]
            base = self.within(args[0], ATOM)
            return (f"{base}ᵀ" if g.name == "unicode" else g.power(base, top)), POWER
        return g.call(op, [self.text(a) for a in args]), ATOM


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return repr(value)


def _signed(e: Expr) -> bool:
    return (isinstance(e, Apply) and e.op == "neg") or (isinstance(e, Number) and e.value < 0)
