"""Takes the tables that drive a kernel from the host to its device: in one asynchronous copy, and only what is new.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

CAPTURES = 4
"""Captures that may follow one another without a step in between."""

CAPTURED: list[Any] = []
"""What graphs copy from, or work on, at every replay. It stays: nobody says when a graph is gone."""


class Tables:
    """Scalars, addresses, chunks and whatever else on a device; `views` are the parts there.

    What changes most often comes first, so that whatever has to be sent is one piece.
    """

    captures = 0  # for graphs: how many may follow one another

    def __init__(self, parts: Sequence[Tensor], device: torch.device) -> None:
        self.parts = list(parts)
        self.words = torch.empty(sum(map(room_for, parts)), dtype=torch.int64, device=device)
        self.views = parts_in(self.words, parts)
        self.reserve: list[Tensor] = []  # for graphs
        self.told = True  # for graphs: whether the addresses on the device are these
        self.send(*parts)

    def now(self, scalars: Tensor, gradients: Tensor | None) -> list[Tensor]:
        """All parts on the device, once what is new has been sent: scalars and addresses of gradients, if any."""
        new = [scalars]
        if gradients is not None:
            self.parts[1][:, 1] = gradients
            new.append(self.parts[1])
        if not self.told:  # for graphs
            new, self.told = [scalars, self.parts[1]], True
        self.send(*new)
        return self.views

    def send(self, *parts: Tensor) -> None:
        """Sends the first of the parts: the scalars, or these and the addresses, or all.

        Pinned memory is lent to nobody else before the device has read it.
        """
        here = holding(self.on_host(sum(map(room_for, parts))), parts)
        self.words[: len(here)].copy_(here, non_blocking=True)
        self.refill()  # for graphs

    def on_host(self, words: int) -> Tensor:
        return torch.empty(words, dtype=torch.int64, device="cpu", pin_memory=self.words.is_cuda)

    def expect_graphs(self) -> None:  # for graphs
        """Keeps host memory in reserve, since what a graph copies from cannot be allocated while it captures."""
        self.captures = CAPTURES
        self.refill()

    def refill(self) -> None:  # for graphs
        while len(self.reserve) < self.captures:
            self.reserve.append(self.on_host(len(self.words)))

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
        here, there = holding(self.reserve.pop(), parts), torch.empty_like(self.words)
        there.copy_(here, non_blocking=True)
        CAPTURED.append(here)
        return parts_in(there, parts)


def room_for(part: Tensor) -> int:
    """Its words, in an even number: Triton compiles another kernel where a pointer is not a multiple of 16 bytes."""
    return part.numel() + part.numel() % 2


def parts_in(words: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The parts of any dtypes of 64 bits that lie one after the other in one memory."""
    pieces = zip(torch.split(words, list(map(room_for, like))), like, strict=True)
    return [piece[: part.numel()].view(part.dtype).view(part.shape) for piece, part in pieces]


def holding(words: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Words that hold the parts now."""
    for home, part in zip(parts_in(words, parts), parts, strict=True):
        home.copy_(part)
    return words
