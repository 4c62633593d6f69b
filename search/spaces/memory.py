"""What a program's states hold: pure functions that give a rule one more state, or a state another way to be fed.

A way is a row of FORMS: `s` is the state, `x` what it takes in at every step, `b` how much of the old it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import exp, log

import numpy as np

from ...dsl.text.expressions import Expr, Name
from ...dsl.text.syntax import Assign, File, Let, Output, ParamDecl, StateDecl
from .growth import small
from .idioms import readable_of, template
from .priors import pick
from .sites import Path, Site, arguments, kind, mended, operator, parts, put, reads, sites
from .trees import filled, fragment, live_names, number, rounded

MAX_STATES = 4
RATE = "~ 1 - loguniform(1e-3, 0.5)"
FORMS: dict[str, float] = {"b*s + (1 - b)*x": 3, "max(b*s, x)": 1, "b*s + x": 1, "s + x": 0.5}
"""How often each way to remember is chosen: a mean, the largest lately, a decaying sum, a sum."""
TAKEN: dict[str, float] = {"g": 2, "g^2": 2, "abs(g)": 1, "sign(g)": 1, "(g - m)^2": 1, "": 4}
"""How often each quantity is what a state takes in; the last stands for a random expression."""


def with_state(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
    """A new state, with a rate of its own, read in the place of a leaf of the update."""
    known = {item.name for item in tree.items if isinstance(item, StateDecl | ParamDecl | Let)}
    states = sum(isinstance(item, StateDecl) for item in tree.items)
    (update,) = sites(tree, whole_program=False)
    leaves = [path for path, part in parts(update.value) if not arguments(part) and kind(part) == "real"]
    if states >= MAX_STATES or not leaves:
        return tree
    name = next(f"s{k}" for k in range(1, 1000) if f"s{k}" not in known)
    rate = fragment(f"param {name}_rate = {rounded(1 - exp(rng.uniform(log(1e-3), log(0.5))))!r} in [0, 1) {RATE}")
    lets = {item.name for item in tree.items if isinstance(item, Let)}
    what = _taken(rng, tuple(n for n in update.readable if n not in lets))
    memory = Assign(name, _remembering(rng, name, Name(f"{name}_rate"), what))
    first = next(k for k, item in enumerate(tree.items) if isinstance(item, Let | Assign | Output))
    read = mended(tree, update, put(update.value, pick(rng, leaves), Name(name)))
    items = (*read.items[:first], rate, fragment(f"state {name} = 0"), memory, *read.items[first:])
    return replace(tree, items=items)


def with_other_memory(tree: File, rng: np.random.Generator, whole_program: bool) -> File:
    """A state that the update depends on takes in the same in another way, or something else in the same way."""
    live = live_names(tree)
    own = [s for s in sites(tree, whole_program=True) if _state_of(tree, s) in live]
    if not own:
        return tree
    site = pick(rng, own)
    name = _state_of(tree, site)
    taken = list(_quantities(site.value, name, {"g", "theta", "t", *_held(tree)}))
    if not taken:
        return tree
    path, what = pick(rng, taken)
    if rng.random() < 0.5:
        return mended(tree, site, put(site.value, path, _taken(rng, site.readable)))
    rates = [n for n in sorted(reads(site.value)) if n in _rates(tree)]
    keep: Expr = Name(pick(rng, rates)) if rates else number(rng.uniform(0.5, 1))
    return mended(tree, site, _remembering(rng, name, keep, what))


def _state_of(tree: File, site: Site) -> str:
    """The name of the state that a site assigns to; empty for another site."""
    item = tree.items[site.item]
    return item.name if isinstance(item, Assign) else ""


def _held(tree: File) -> set[str]:
    return {item.name for item in tree.items if isinstance(item, StateDecl | Let)}


def _quantities(value: Expr, state: str, signals: set[str], path: Path = ()) -> Iterator[tuple[Path, Expr]]:
    """The largest parts in which the state does not stand, without their constant factors."""
    known = reads(value)
    if not known & signals:
        return
    factors = [k for k, argument in enumerate(arguments(value)) if reads(argument) & signals]
    if state in known or (operator(value) in ("mul", "div") and len(factors) == 1):
        for k, argument in enumerate(arguments(value)):
            yield from _quantities(argument, state, signals, (*path, k))
    elif kind(value) == "real":
        yield path, value


def _rates(tree: File) -> set[str]:
    return {i.name for i in tree.items if isinstance(i, ParamDecl) and i.prior and i.prior.complement is not None}


def _taken(rng: np.random.Generator, readable: tuple[str, ...]) -> Expr:
    chosen = readable_of(TAKEN, readable, rng)
    return template(chosen) if chosen else small(rng, readable, 3)


def _remembering(rng: np.random.Generator, state: str, keep: Expr, what: Expr) -> Expr:
    form = pick(rng, list(FORMS), list(FORMS.values()))
    return filled(template(form), {"s": Name(state), "b": keep, "x": what})
