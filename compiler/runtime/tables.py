"""Takes the tables that drive a kernel from the host to its device: in one asynchronous copy, and only what is new.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

CAPTURES = 4
"""Captures that may follow one another without a step in between."""

CAPTURED: list[Any] = []
"""What graphs copy from, or work on, at every replay. It stays: nobody says when a graph is gone."""


class Words:
    """Parts of any dtypes of 64 bits, one after the other in one memory. `until` has what the first, two, … parts take.

    A part begins at an even word: Triton compiles another kernel where a pointer is not a multiple of 16 bytes.
    """

    def __init__(self, like: Sequence[Tensor], device: torch.device, pinned: bool = False) -> None:
        lengths = [part.numel() + part.numel() % 2 for part in like]
        words = torch.empty(sum(lengths), dtype=torch.int64, device=device, pin_memory=pinned)
        pieces = zip(torch.split(words, lengths), like, strict=True)
        self.parts = [piece[: part.numel()].view(part.dtype).view(part.shape) for piece, part in pieces]
        self.until = [words[:end] for end in accumulate(lengths)]

    def copy_to(self, there: Words, parts: Sequence[Tensor]) -> None:
        """Takes parts in, and sends them on. Pinned memory is lent to nobody else before the device has read it."""
        for home, part in zip(self.parts, parts, strict=False):
            home.copy_(part)
        there.until[len(parts) - 1].copy_(self.until[len(parts) - 1], non_blocking=True)


class Tables:
    """Scalars, addresses, chunks and whatever else on a device; `views` are the parts there.

    What changes most often comes first, so that whatever has to be sent is one piece.
    """

    captures = 0  # for graphs: how many may follow one another

    def __init__(self, parts: Sequence[Tensor], device: torch.device) -> None:
        self.parts, self.there = list(parts), Words(parts, device)
        self.views = self.there.parts
        self.reserve: list[Words] = []  # for graphs
        self.told = True  # whether the addresses on the device are these
        self.send(*parts)

    def now(self, scalars: Tensor, gradients: Tensor | None) -> list[Tensor]:
        """All parts on the device, once what is new has been sent: scalars and addresses of gradients, if any."""
        if gradients is not None:
            self.parts[1][:, 1] = gradients
        if gradients is not None or not self.told:
            self.send(scalars, self.parts[1])
        elif scalars.numel():
            self.send(scalars)
        self.told = True
        return self.views

    def send(self, *parts: Tensor) -> None:
        """Sends the first of the parts: the scalars, or these and the addresses, or all."""
        self.on_host(parts).copy_to(self.there, parts)
        self.refill()  # for graphs

    def on_host(self, like: Sequence[Tensor]) -> Words:
        return Words(like, torch.device("cpu"), pinned=self.views[0].is_cuda)

    def expect_graphs(self) -> None:  # for graphs
        """Keeps host memory in reserve, since what a graph copies from cannot be allocated while it captures."""
        self.captures = CAPTURES
        self.refill()

    def refill(self) -> None:  # for graphs
        while len(self.reserve) < self.captures:
            self.reserve.append(self.on_host(self.views))

    def in_graph(self, gradients: Tensor | None) -> list[Tensor]:  # for graphs
        """As `now`, in a step that is being captured."""
        if gradients is not None:
            self.parts[1][:, 1] = gradients
        self.told = False
        return self.of_graph(*self.parts)

    def of_graph(self, *parts: Tensor) -> list[Tensor]:  # for graphs
        """In a step that is being captured, all parts in memory that each replay fills anew."""
        if not self.reserve:
            raise RuntimeError(f"after {CAPTURES} captures another step must come before the next")
        here, there = self.reserve.pop(), Words(parts, self.views[0].device)
        here.copy_to(there, parts)
        CAPTURED.append(here)
        return there.parts
