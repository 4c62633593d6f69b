"""A rule's constants ⇄ a vector of steps: hyperparameters on their priors' scales, literals on a logarithmic one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp

from ...dsl.text.expressions import Number
from ...dsl.text.syntax import File, ParamDecl
from .priors import moved
from .sites import Path, mended, parts, put, sites
from .trees import live_names, number

LITERAL_WIDTH = 5.0
"""A step of 1, the width of a prior for a hyperparameter, multiplies a literal by e^5."""


@dataclass(frozen=True)
class Dials:
    """The constants that a tree's update depends on: hyperparameters that declare a prior, and literals.

    Of the literals outside the update, whole numbers are left alone: they are the form of an average, or an exponent.
    """

    tree: File
    params: tuple[int, ...]
    literals: tuple[tuple[int, Path], ...]

    @classmethod
    def of(cls, tree: File, *, literals: bool) -> Dials:
        live = live_names(tree)
        params = (
            k
            for k, item in enumerate(tree.items)
            if isinstance(item, ParamDecl) and item.prior and item.default and item.name in live
        )
        return cls(tree, tuple(params), tuple(_literals(tree, live)) if literals else ())

    def __len__(self) -> int:
        return len(self.params) + len(self.literals)

    def turned(self, steps: Sequence[float]) -> File:
        """The tree with every constant moved by its step; hyperparameters stay within priors that have ends."""
        items = list(self.tree.items)
        for place, step in zip(self.params, steps, strict=False):
            item = items[place]
            assert isinstance(item, ParamDecl)
            items[place] = moved(item, step)
        tree = replace(self.tree, items=tuple(items))
        for (statement, path), step in zip(self.literals, steps[len(self.params) :], strict=True):
            site = next(site for site in sites(tree, whole_program=True) if site.item == statement)
            old = next(part for way, part in parts(site.value) if way == path)
            assert isinstance(old, Number)
            tree = mended(tree, site, put(site.value, path, number(old.value * exp(LITERAL_WIDTH * step))))
        return tree


def _literals(tree: File, live: frozenset[str]) -> Iterator[tuple[int, Path]]:
    (update,) = sites(tree, whole_program=False)
    for site in sites(tree, whole_program=True):
        if site.item == update.item or getattr(tree.items[site.item], "name", "") in live:
            for path, part in parts(site.value):
                if isinstance(part, Number) and (site.item == update.item or part.value != round(part.value)):
                    yield site.item, path
