"""A rule's constants ⇄ a vector of steps: hyperparameters on their priors' scales, literals on a logarithmic one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

from ...dsl.text.syntax import File, Number, ParamDecl
from .priors import moved
from .sites import Path, mended, parts, put, sites
from .trees import number, tidied

LITERAL_WIDTH = 5.0
"""A step of 1, the width of a prior for a hyperparameter, multiplies a literal by e^5."""


@dataclass(frozen=True)
class Dials:
    """The constants that a tree's update reads: hyperparameters that declare a prior, and the update's literals."""

    tree: File
    params: tuple[int, ...]
    literals: tuple[Path, ...]

    @classmethod
    def of(cls, tree: File, *, literals: bool) -> Dials:
        live = {item.name for item in tidied(tree).items if isinstance(item, ParamDecl)}
        params = (
            k
            for k, item in enumerate(tree.items)
            if isinstance(item, ParamDecl) and item.prior and item.default and item.name in live
        )
        updates = sites(tree, whole_program=False) if literals else []
        found = (path for site in updates for path, part in parts(site.value) if isinstance(part, Number))
        return cls(tree, tuple(params), tuple(found))

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
        for path, step in zip(self.literals, steps[len(self.params) :], strict=True):
            (site,) = sites(tree, whole_program=False)
            old = next(part for way, part in parts(site.value) if way == path)
            assert isinstance(old, Number)
            tree = mended(tree, site, put(site.value, path, number(old.value * exp(LITERAL_WIDTH * step))))
        return tree
