"""Variation of free expressions: pure, typed functions from parse trees and a random stream to a parse tree.

Each operator is a row of OPERATIONS with its weight. One that finds nothing to do, or would exceed MAX_SIZE or
MAX_DEPTH, returns the tree it was given. The first five are those of genetic programming (Koza, 1992; hoist after
Kinnear, 1993); constants and hyperparameters move by Gaussian steps on the scale that they are declared on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

import numpy as np

from ...dsl.meaning.operators import OPERATORS, Kind
from ...dsl.text.syntax import Assign, Expr, File, Let, Name, Number, Output, ParamDecl, StateDecl
from .idioms import in_idiom
from .priors import pick, stepped
from .sites import Path, Site, applied, arguments, depth, kind, mended, operator, parts, put, reads, sites, size
from .trees import fragment, number, rounded

MAX_SIZE, MAX_DEPTH = 40, 9
BIRTH_DEPTH = 4
MAX_STATES = 4
CONSTANT_STEP = 0.5

INNER: dict[str, float] = {
    "add": 4, "sub": 2, "mul": 4, "div": 3, "neg": 1, "sqrt": 2, "square": 1, "abs": 1, "sign": 2, "tanh": 1,
    "exp": 0.5, "log": 0.3, "cbrt": 0.3, "max": 1, "min": 1, "where": 0.5, "lt": 1, "gt": 1,
}  # fmt: skip
"""How often each operator is chosen where a new expression grows."""
LEAVES: dict[str, float] = {"g": 4, "theta": 0.5, "t": 0.2, "beta1": 0.2, "beta2": 0.2, "eps": 0.3}
OTHER_LEAF, CONSTANT_LEAF = 2.0, 2.0

# ---------------------------------------------------------------- growing


def grown(rng: np.random.Generator, readable: Sequence[str], levels: int, wanted: Kind = "real") -> Expr:
    """A random expression of a kind, at most so many levels deep (conditions need one more)."""
    if wanted == "real" and (levels <= 1 or rng.random() < 0.2):
        return leaf(rng, readable)
    names = [name for name in INNER if OPERATORS[name].gives == wanted]
    row = OPERATORS[pick(rng, names, [INNER[name] for name in names])]
    return applied(row.name, tuple(grown(rng, readable, levels - 1, row.takes_at(k)) for k in range(row.arity)))


def leaf(rng: np.random.Generator, readable: Sequence[str]) -> Expr:
    """A name or a constant; constants are log-normal around 1."""
    weights = [LEAVES.get(name, OTHER_LEAF) for name in readable]
    name = pick(rng, [*readable, ""], [*weights, CONSTANT_LEAF])
    return Name(name) if name else number(exp(rng.normal()))


# ---------------------------------------------------------------- operators on one expression

Cut = Callable[[Site, Path, Expr, np.random.Generator], Expr | None]
"""What to put in the place of one part of a site's expression; None for nothing."""


def _subtree(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    return grown(rng, site.readable, min(BIRTH_DEPTH, MAX_DEPTH - len(path)), kind(part))


def _point(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """Another operator on the same arguments, or another leaf."""
    name = operator(part)
    if name is None:
        return leaf(rng, site.readable) if kind(part) == "real" else None
    others = [other for other in INNER if other != name and _signature(other) == _signature(name)]
    return applied(pick(rng, others), arguments(part)) if others else None


def _signature(name: str) -> tuple[Any, ...]:
    row = OPERATORS[name]
    return row.gives, *(row.takes_at(k) for k in range(row.arity))


def _hoist(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """One of its own parts in its place."""
    below = [lower for way, lower in parts(part) if way and kind(lower) == kind(part)]
    return pick(rng, below) if below else None


def _shrink(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    return leaf(rng, site.readable) if arguments(part) and kind(part) == "real" else None


def _constant(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """A constant times the exponential of a normal number; zero becomes a small one."""
    if not isinstance(part, Number):
        return None
    return number((part.value or 1e-3) * exp(rng.normal(0, CONSTANT_STEP)))


def _wrapped(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """The part becomes an argument of a new operator."""
    names = [n for n in INNER if OPERATORS[n].gives == kind(part) and kind(part) in _signature(n)[1:]]
    row = OPERATORS[pick(rng, names, [INNER[n] for n in names])] if names else None
    if row is None:
        return None
    here = pick(rng, [k for k in range(row.arity) if row.takes_at(k) == kind(part)])
    return applied(
        row.name, tuple(part if k == here else grown(rng, site.readable, 2, row.takes_at(k)) for k in range(row.arity))
    )


def _term(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """A weighted new term is added to the whole."""
    if path or kind(part) != "real":
        return None
    new = applied("mul", (number(exp(rng.normal())), grown(rng, site.readable, 3)))
    return applied(pick(rng, ["add", "sub"]), (part, new))


def _idiom(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    return in_idiom(part, site.readable, lambda: leaf(rng, site.readable), rng)


def _cutting(cut: Cut, *, suits: Callable[[Path, Expr], bool]) -> Change:
    """A cut tried on one random part, of those that suit it, of one random site."""

    def change(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
        site = pick(rng, sites(tree, whole_program=whole_program))
        places = [(path, part) for path, part in parts(site.value) if suits(path, part)]
        if not places:
            return tree
        path, part = pick(rng, places)
        new = cut(site, path, part, rng)
        return tree if new is None else _kept(tree, site, put(site.value, path, new))

    return change


def _kept(tree: File, site: Site, value: Expr) -> File:
    return mended(tree, site, value) if size(value) <= MAX_SIZE and depth(value) <= MAX_DEPTH else tree


# ---------------------------------------------------------------- operators on declarations


def _state(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
    """A new average of something, with a rate of its own, read in the place of a leaf of the update."""
    known = {item.name for item in tree.items if isinstance(item, StateDecl | ParamDecl | Let)}
    states = sum(isinstance(item, StateDecl) for item in tree.items)
    update = sites(tree, whole_program=False)[0]
    leaves = [path for path, part in parts(update.value) if not arguments(part) and kind(part) == "real"]
    if states >= MAX_STATES or not leaves:
        return tree
    name = next(f"s{k}" for k in range(1, 1000) if f"s{k}" not in known)
    value = rounded(1 - exp(rng.uniform(log(1e-3), log(0.5))))
    rate = fragment(f"param {name}_rate = {value!r} in [0, 1) ~ 1 - loguniform(1e-3, 0.5)")
    average = fragment(f"{name} <- {name}_rate*{name} + (1 - {name}_rate)*g")
    assert isinstance(average, Assign)
    what = grown(rng, [n for n in update.readable if n not in _lets(tree)], 3)
    average = replace(average, value=put(average.value, (1, 1), what))
    first = next(k for k, item in enumerate(tree.items) if isinstance(item, Let | Assign | Output))
    read = mended(tree, update, put(update.value, pick(rng, leaves), Name(name)))
    items = (*read.items[:first], rate, fragment(f"state {name} = 0"), average, *read.items[first:])
    return replace(tree, items=items)


def _lets(tree: File) -> set[str]:
    return {item.name for item in tree.items if isinstance(item, Let)}


# ---------------------------------------------------------------- the table

Change = Callable[[File, np.random.Generator, bool], File]
"""A tree, a stream, and whether statements other than the update may change, to a tree."""


@dataclass(frozen=True)
class Operation:
    """A named mutation and how often it is chosen; `program` where only the program space has it."""

    name: str
    weight: float
    apply: Change
    program: bool = False


def _any(path: Path, part: Expr) -> bool:
    return True


def _inner(path: Path, part: Expr) -> bool:
    return bool(arguments(part))


OPERATIONS = (
    Operation("subtree", 2, _cutting(_subtree, suits=_any)),
    Operation("point", 2, _cutting(_point, suits=_any)),
    Operation("hoist", 1.5, _cutting(_hoist, suits=_inner)),
    Operation("shrink", 1, _cutting(_shrink, suits=_inner)),
    Operation("wrap", 1, _cutting(_wrapped, suits=_any)),
    Operation("term", 1, _cutting(_term, suits=lambda path, part: not path)),
    Operation("idiom", 2, _cutting(_idiom, suits=lambda path, part: kind(part) == "real")),
    Operation("constant", 2, _cutting(_constant, suits=lambda path, part: isinstance(part, Number))),
    Operation("hyperparameter", 4, lambda tree, rng, whole_program: stepped(tree, rng)),
    Operation("state", 1, _state, program=True),
)
AGAIN = 0.4
"""The chance of one more mutation after each, at full strength."""


def mutate(
    tree: File, rng: np.random.Generator, strength: float, *, whole_program: bool = False
) -> tuple[File, tuple[str, ...]]:
    """The tree after one or more operations, and the names of those that changed it."""
    rows = [row for row in OPERATIONS if whole_program or not row.program]
    changed: list[str] = []
    while True:
        row = pick(rng, rows, [row.weight for row in rows])
        before, tree = tree, row.apply(tree, rng, whole_program)
        if tree != before:
            changed.append(row.name)
        if rng.random() >= AGAIN * strength:
            return tree, tuple(changed)


def cross(first: File, second: File, rng: np.random.Generator, *, whole_program: bool = False) -> File:
    """The first parent with one part of it replaced by a part of the second of the same kind that it can read."""
    site = pick(rng, sites(first, whole_program=whole_program))
    path, part = pick(rng, list(parts(site.value)))
    offered = [
        lower
        for other in sites(second, whole_program=whole_program)
        for _, lower in parts(other.value)
        if kind(lower) == kind(part) and reads(lower) <= set(site.readable)
    ]
    return _kept(first, site, put(site.value, path, pick(rng, offered))) if offered else first
