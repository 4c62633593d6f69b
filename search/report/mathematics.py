"""A rule's parse tree to typeset mathematics: MathML with its weights as numbers, and the numbers that stay names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from markupsafe import Markup

from ...dsl.checks.check import check
from ...dsl.insight.glyphs import GLYPHS
from ...dsl.insight.traffic import Traffic, traffic
from ...dsl.insight.typeset import Line, typeset_expr, typeset_lines
from ...dsl.rule import Rule, Value
from ...dsl.text.expressions import Expr, Name
from ...dsl.text.spelling import literal
from ...dsl.text.syntax import File, Item, Output, ParamDecl
from ..spaces.trees import filled, number, number_of, plain_sum

DIGITS = 4
INDENT = '<mspace width="2em"/>'
TIMES = "<mo>\u2062</mo>"
SPACED_TIMES = '<mo lspace=".08em" rspace=".08em">\u2062</mo>'
"""Some air between factors, so that names of several letters do not run together."""


@dataclass(frozen=True)
class Typeset:
    """What a page shows of a rule. `formulas` is one <math> element a line, `update` that of the update alone.

    `numbers` are the symbols and values that the formulas leave open.
    """

    formulas: Markup
    update: Markup
    numbers: tuple[tuple[Markup, Markup], ...]
    traffic: Traffic


def typeset_rule(tree: File) -> Typeset:
    """The mathematics of a tidied rule. Raises OptError for a tree that does not check."""
    rule = check(_weighed(tree))
    numbers = tuple((_math(Name(p.name)), _math(_value(p.default))) for p in rule.params if p.default is not None)
    lines = [line for line in typeset_lines(rule, "mathml") if line not in _said_below(rule)]
    update = [line for line in lines if line.left == typeset_expr(Name("update"), "mathml")]
    return Typeset(_block(lines), _block(update), numbers, traffic(rule))


def _said_below(rule: Rule) -> list[Line]:
    """The outputs that are another name only: the line of theta has that name in their place."""
    equals = GLYPHS["mathml"].operator("=")
    named = [s for s in rule.body if isinstance(s, Output) and s.name != "update" and isinstance(s.value, Name)]
    return [Line(0, typeset_expr(Name(s.name), "mathml"), equals, typeset_expr(s.value, "mathml")) for s in named]


def _block(lines: Iterable[Line]) -> Markup:
    parts = (f"{INDENT * x.depth}{x.left}{x.relation}{x.right}".replace(TIMES, SPACED_TIMES) for x in lines)
    # what typeset writes is MathML of identifiers and numbers
    return Markup("\n").join(Markup(f'<math display="block"><mrow>{part}</mrow></math>') for part in parts)


def _math(e: Expr) -> Markup:
    return Markup(f"<math>{typeset_expr(e, 'mathml')}</math>")


def _value(value: Value) -> Expr:
    return literal(value if isinstance(value, bool) else float(f"{value:.{DIGITS}g}"))


def _weighed(tree: File) -> File:
    """The tree with the weights of its terms in their places, as the literature writes a rule that was found."""
    weights = {
        item.name: number(float(f"{number_of(item.default):.{DIGITS}g}"))
        for item in tree.items
        if isinstance(item, ParamDecl) and item.name[0] == "a" and item.name[1:].isdigit()
    }
    kept = (item for item in tree.items if not (isinstance(item, ParamDecl) and item.name in weights))
    return replace(tree, items=tuple(_with(item, weights) for item in kept))


def _with(item: Item, weights: dict[str, Expr]) -> Item:
    if isinstance(item, Output) and item.name == "update":
        return replace(item, value=plain_sum(filled(item.value, weights)))
    return item
