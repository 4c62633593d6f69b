"""A rule's parse tree to typeset mathematics: MathML with its weights as numbers, and the numbers that stay names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from markupsafe import Markup

from ...dsl.check import check
from ...dsl.rule import Value
from ...dsl.syntax import Apply, Expr, File, Item, Name, Number, Output, ParamDecl
from ...dsl.traffic import Traffic, traffic
from ...dsl.typeset import typeset, typeset_expr
from ..trees import filled, number, number_of

DIGITS = 4


@dataclass(frozen=True)
class Typeset:
    """What a page shows of a rule. `formulas` is one <math> element a line; `numbers` are symbols and values."""

    formulas: Markup
    numbers: tuple[tuple[Markup, str], ...]
    traffic: Traffic


def typeset_rule(tree: File) -> Typeset:
    """The mathematics of a tidied rule. Raises OptError for a tree that does not check."""
    rule = check(_weighed(tree))
    numbers = tuple((_math(p.name), _written(p.default)) for p in rule.params if p.default is not None)
    return Typeset(Markup(typeset(rule, "mathml")), numbers, traffic(rule))  # noqa: S704  names are identifiers


def _math(name: str) -> Markup:
    return Markup("<math>{}</math>").format(Markup(typeset_expr(Name(name), "mathml")))  # noqa: S704  likewise


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.{DIGITS}g}"


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
        return replace(item, value=_plain(filled(item.value, weights)))
    return item


def _plain(e: Expr) -> Expr:
    """A sum as one writes it: a negative term is taken away, a weight of 1 is not written."""
    match e:
        case Apply("add", (first, Apply("mul", (Apply("neg", (weight,)), factor)))):
            return Apply("sub", (_plain(first), _plain(Apply("mul", (weight, factor)))))
        case Apply("add", (first, last)):
            return Apply("add", (_plain(first), _plain(last)))
        case Apply("mul", (Number(value=1.0), factor)):
            return factor
        case _:
            return e
