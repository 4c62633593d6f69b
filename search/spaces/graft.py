"""Variation of free expressions: pure, typed functions from parse trees and a random stream to a parse tree.

Each operator is a row of OPERATIONS with its weight. One that finds nothing to do, or would exceed MAX_SIZE or
MAX_DEPTH, returns the tree it was given. The first five are those of genetic programming (Koza, 1992; hoist after
Kinnear, 1993); constants and hyperparameters move by Gaussian steps on the scale that they are declared on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import exp
from typing import Any

import numpy as np

from ...dsl.operators import OPERATORS, Kind
from ...dsl.text.expressions import Expr, Number
from ...dsl.text.syntax import File, Let, StateDecl
from .growth import INNER, grown, leaf, quantity, simple, small
from .idioms import in_idiom
from .memory import with_other_memory, with_state
from .priors import pick, reach, stepped
from .sites import Path, Site, applied, arguments, depth, kind, mended, operator, parts, put, reads, sites, size
from .trees import live_names, number, renamed

MAX_SIZE, MAX_DEPTH = 40, 9
UPDATE = 0.5
"""How often a change of a whole program is one of its update."""
WHOLE = 0.3
"""How often what may be put around any part is put around the whole."""
CONSTANT_STEP = 0.5
WEIGHTS = (-2.5, 0.5)
"""Powers of ten of a new term's weight."""


# ---------------------------------------------------------------- operators on one expression


def chosen(tree: File, rng: np.random.Generator, whole_program: bool) -> Site:
    """The update, or in whole programs every other time a statement that it depends on."""
    (update,) = sites(tree, whole_program=False)
    if not whole_program or rng.random() < UPDATE:
        return update
    live = live_names(tree)
    others = [site for site in sites(tree, whole_program=True) if getattr(tree.items[site.item], "name", "") in live]
    return pick(rng, others) if others else update


Cut = Callable[[Site, Path, Expr, np.random.Generator], Expr | None]
"""What to put in the place of one part of a site's expression; None for nothing."""


def _subtree(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    return small(rng, site.readable, MAX_DEPTH - len(path), kind(part))


def _point(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """Another operator on the same arguments, or another leaf."""
    name = operator(part)
    if name is None:
        return leaf(rng, site.readable) if kind(part) == "real" else None
    others = _alike(name)
    return applied(pick(rng, others), arguments(part)) if others else None


@cache
def _alike(name: str) -> tuple[str, ...]:
    """The other operators of the same signature."""
    return tuple(other for other in INNER if other != name and _signature(other) == _signature(name))


@cache
def _around(what: Kind) -> tuple[str, ...]:
    """The operators that give what they can take."""
    return tuple(n for n in INNER if OPERATORS[n].gives == what and what in _signature(n)[1:])


def _signature(name: str) -> tuple[Any, ...]:
    row = OPERATORS[name]
    return row.gives, *(row.takes_at(k) for k in range(row.arity))


def _hoist(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """One of its own parts in its place."""
    below = [lower for way, lower in parts(part) if way and kind(lower) == kind(part)]
    return pick(rng, below) if below else None


def _shrink(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    return quantity(rng, site.readable)


def _constant(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """A constant times the exponential of a normal number; zero becomes a small one."""
    if not isinstance(part, Number):
        return None
    return number((part.value or 1e-3) * exp(rng.normal(0, CONSTANT_STEP * reach(rng))))


def _round(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """The constant of one digit next to a constant, or 0, or 1."""
    if not isinstance(part, Number):
        return None
    return number(pick(rng, [float(f"{part.value:.0e}"), 0.0, 1.0], [2, 1, 1]))


def _wrapped(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """The part becomes an argument of a new operator."""
    names = _around(kind(part))
    row = OPERATORS[pick(rng, names, [INNER[n] for n in names])] if names else None
    if row is None:
        return None
    here = pick(rng, [k for k in range(row.arity) if row.takes_at(k) == kind(part)])
    return applied(
        row.name, tuple(part if k == here else simple(rng, site.readable, row.takes_at(k)) for k in range(row.arity))
    )


def _term(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    """A new term is added, of any weight: a light one changes little until its weight is tuned."""
    new = applied("mul", (number(10 ** rng.uniform(*WEIGHTS)), grown(rng, site.readable, int(rng.integers(1, 3)))))
    return applied(pick(rng, ["add", "sub"]), (part, new))


def _idiom(site: Site, path: Path, part: Expr, rng: np.random.Generator) -> Expr | None:
    return in_idiom(part, site.readable, lambda: quantity(rng, site.readable), rng)


def _renamed(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
    """One name is another wherever a statement reads it."""
    site = chosen(tree, rng, whole_program)
    known = sorted(reads(site.value) & set(site.readable))
    if not known:
        return tree
    return mended(tree, site, renamed(site.value, {pick(rng, known): pick(rng, site.readable)}))


def _corrected(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
    """Every state that the update reads gives way to what is computed from it alone, such as its mean without bias, or
    the other way round."""
    update = sites(tree, whole_program=False)[0]
    twins = _twins(tree)
    read = reads(update.value)
    new = {old: twin for old, twin in twins.items() if old in read}
    return mended(tree, update, renamed(update.value, new)) if new else tree


def _twins(tree: File) -> dict[str, str]:
    """States to the values that are computed from each alone; where there is none left to undo, the other way round."""
    states = {item.name for item in tree.items if isinstance(item, StateDecl)}
    pairs: dict[str, str] = {}
    for item in tree.items:
        if isinstance(item, Let) and len(own := reads(item.value) & states) == 1:
            (state,) = own
            pairs |= {state: item.name, item.name: state}
    return pairs


def _cutting(cut: Cut, *, suits: Callable[[Path, Expr], bool], whole: bool = False) -> Change:
    """A cut tried on one random part, of those that suit it, of one random site; `whole` where it is more often the
    outermost."""

    def change(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
        site = chosen(tree, rng, whole_program)
        places = [(path, part) for path, part in parts(site.value) if suits(path, part)]
        if not places:
            return tree
        path, part = places[0] if whole and rng.random() < WHOLE else pick(rng, places)
        new = cut(site, path, part, rng)
        return tree if new is None else _kept(tree, site, put(site.value, path, new))

    return change


def _kept(tree: File, site: Site, value: Expr) -> File:
    return mended(tree, site, value) if size(value) <= MAX_SIZE and depth(value) <= MAX_DEPTH else tree


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


def _real(path: Path, part: Expr) -> bool:
    return kind(part) == "real"


def _inner(path: Path, part: Expr) -> bool:
    return bool(arguments(part))


OPERATIONS = (
    Operation("subtree", 2, _cutting(_subtree, suits=_any)),
    Operation("point", 2, _cutting(_point, suits=_any)),
    Operation("hoist", 1.5, _cutting(_hoist, suits=_inner)),
    Operation("shrink", 2, _cutting(_shrink, suits=_real)),
    Operation("wrap", 4, _cutting(_wrapped, suits=_any, whole=True)),
    Operation("term", 3, _cutting(_term, suits=_real, whole=True)),
    Operation("idiom", 4, _cutting(_idiom, suits=_real, whole=True)),
    Operation("constant", 2, _cutting(_constant, suits=lambda path, part: isinstance(part, Number))),
    Operation("round", 0.5, _cutting(_round, suits=lambda path, part: isinstance(part, Number))),
    Operation("rename", 1, _renamed),
    Operation("correct", 1, _corrected),
    Operation("hyperparameter", 3, lambda tree, rng, whole_program: stepped(tree, rng)),
    Operation("state", 1, with_state, program=True),
    Operation("memory", 2, with_other_memory, program=True),
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
    site = chosen(first, rng, whole_program)
    path, part = pick(rng, parts(site.value))
    offered = [
        lower
        for other in sites(second, whole_program=whole_program)
        for _, lower in parts(other.value)
        if kind(lower) == kind(part) and reads(lower) <= set(site.readable)
    ]
    return _kept(first, site, put(site.value, path, pick(rng, offered))) if offered else first
