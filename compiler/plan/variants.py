"""Finds settings of a rule under which other branches of its code run. Steps nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ...dsl.rule import Param, Rule, Value
from ..load import load

NUMBERS = (0, 1, 2, 0.5, 0.25, 3, -1)
"""What is tried for a number that structure depends on; most conditions ask whether something is zero, or large."""


def variants(
    rule: Rule, settings: Mapping[str, Value], shapes: Sequence[tuple[int, ...]], most: int = 4
) -> Iterator[dict[str, Value]]:
    """Settings that differ from the given ones in one hyperparameter, at most so many, each with flags of its own."""
    program = load(rule).programs[0]  # type: ignore[attr-defined]
    thetas = [torch.empty(shape) for shape in shapes]
    seen = {_structure(program, settings, thetas)}
    for param in (rule.params[i] for i in program.structural):
        for value in candidates(param):
            tried = {**settings, param.name: value}
            structure = _structure(program, tried, thetas)
            if structure not in seen and len(seen) <= most:
                seen.add(structure)
                yield tried


def candidates(param: Param) -> list[Value]:
    """Values that a hyperparameter may have."""
    if param.type == "bool":
        return [False, True]
    whole = [x for x in NUMBERS if param.type == "real" or isinstance(x, int)]
    return [x for x in whole if param.interval is None or x in param.interval]


def _structure(program: Any, settings: Mapping[str, Value], thetas: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    values = tuple(settings[h.name] for h in program.hyperparameters)
    return tuple(program.structure(values, theta) for theta in thetas)
