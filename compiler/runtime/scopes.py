"""States that are not per element: one number for each row, column, matrix or pair of them, or one in all.

This file's text is part of each generated module whose rule has such states.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .dtensor import filled
from .rule import State

REDUCED: dict[str, tuple[int, ...]] = {"row": (-1,), "col": (-2,), "matrix": (-2, -1)}
"""The axes of a parameter that a state of a scope has only once; scopes beyond the matrix keep one number."""
PAIRED = ("row_pair", "col_pair")


class ScopedState(State):
    """Memory between steps, per `scope`."""

    def first(self, theta: Tensor) -> Tensor:
        """The state before the first step; 0 where its value is yet to be computed."""
        shape, fill, own = self.shape(theta), self.fill or 0.0, self.own(theta)
        if self.scope in PAIRED:
            return torch.full(shape, fill, dtype=own, device=theta.device)
        gone = {theta.ndim + axis for axis in REDUCED.get(self.scope, ()) if -axis <= theta.ndim}
        return filled(shape, fill, own, theta, gone)

    def shape(self, theta: Tensor) -> tuple[int, ...]:
        """The shape that the state has for a parameter."""
        if self.scope in PAIRED:
            *batch, rows, cols = (1, *theta.shape) if theta.ndim == 1 else theta.shape or (1, 1)
            return (*batch, rows, rows) if self.scope == "row_pair" else (*batch, cols, cols)
        if self.scope not in REDUCED:
            return ()
        gone = [theta.ndim + axis for axis in REDUCED[self.scope]]
        return tuple(1 if i in gone else n for i, n in enumerate(theta.shape))
