"""A rule's parse tree to what it costs to understand and to keep, and many rules to those that nothing else beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar, get_args

from ...dsl.meaning.dtypes import BYTES
from ...dsl.text.expressions import Apply, Call, Expr, Name, Number
from ...dsl.text.syntax import Assign, File, Let, Output, ParamDecl, StateDecl
from ...dsl.text.walking import walk

DEFAULT_DTYPE = "float32"

T = TypeVar("T")


def complexity(tree: File) -> int:
    """How many names, numbers and operators the statements of a tidied tree are written with."""
    statements = [item for item in tree.items if not isinstance(item, ParamDecl | StateDecl)]
    return sum(isinstance(node, get_args(Expr)) for statement in statements for node in walk(statement))


def skeleton(tree: File) -> str:
    """What a tidied tree's statements are but for their numbers: rules of one skeleton differ in constants alone."""
    return " ".join(_word(node) for item in tree.items if not isinstance(item, ParamDecl) for node in walk(item))


def _word(node: object) -> str:
    match node:
        case Number():
            return "#"
        case Name(word) | Let(word) | Assign(word) | Output(word) | StateDecl(word):
            return word
        case Apply(word, args) | Call(word, args):
            return f"{word}/{len(args)}"
    return type(node).__name__


def state_bytes(tree: File) -> float:
    """Bytes of a tidied tree's states for each float32 parameter; those of one value a tensor, row or column are not
    counted, since they take next to nothing."""
    states = [item for item in tree.items if isinstance(item, StateDecl)]
    return sum(BYTES[s.dtype or DEFAULT_DTYPE] for s in states if s.scope in (None, "element"))


def front(items: Iterable[T], cost: Callable[[T], float], gain: Callable[[T], float]) -> list[T]:
    """The Pareto front, cheapest first: whoever gains more than everything that costs no more."""
    best: list[T] = []
    for item in sorted(items, key=lambda x: (cost(x), -gain(x))):
        if not best or gain(item) > gain(best[-1]):
            best.append(item)
    return best
