"""Takes the tables that drive a kernel from the host to its device: in one asynchronous copy, and only what is new.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

RING = 4
"""Host buffers that take turns: a step waits for a copy only where four later ones have overtaken the device."""


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


class Tables:
    """Scalars, addresses, chunks and whatever else on a device; `views` are the parts there.

    What changes most often comes first, so that whatever has to be sent is one piece. `live` tables have some host
    memory in reserve for graphs, since what a graph copies from cannot be allocated while it captures.
    """

    def __init__(self, parts: Sequence[Tensor], device: torch.device, live: bool) -> None:
        self.parts, self.device, self.there = list(parts), device, Words(parts, device)
        self.views = self.there.parts
        self.staging: deque[Staging] = deque()
        self.reserve: list[Staging] = []
        self.captures = CAPTURES if live else 0
        self.told = True  # whether the addresses on the device are these
        self.send(*parts)

    def now(self, scalars: Tensor, gradients: Tensor | None, capturing: bool) -> list[Tensor]:
        """All parts on the device, once what is new has been sent: scalars, if any, and addresses of gradients, if any.

        A step that is being captured gets them in memory of its own.
        """
        if gradients is not None:
            self.parts[1][:, 1] = gradients
        self.told &= gradients is None and not capturing
        if capturing:
            return self.of_graph(scalars, *self.parts[1:])
        if not self.told:
            self.send(scalars, self.parts[1])
        elif scalars.numel():
            self.send(scalars)
        self.told = True
        return self.views

    def send(self, *parts: Tensor) -> None:
        """Sends the first of the parts: the scalars, or these and the addresses, or all."""
        if len(self.staging) < RING:
            self.staging.append(Staging(self.views, self.device))
        else:
            self.staging.rotate(-1)
        self.staging[-1].send_to(self.there, parts)
        while len(self.reserve) < self.captures:
            self.reserve.append(Staging(self.views, self.device))

    def of_graph(self, *parts: Tensor) -> list[Tensor]:
        """In a step that is being captured, all parts in memory that each replay fills anew."""
        if not self.reserve:
            raise RuntimeError(f"after {CAPTURES} captures another step must come before the next")
        staging, there = self.reserve.pop(), Words(parts, self.device)
        staging.copy_to(there, parts)
        CAPTURED.append(staging)
        return there.parts


class Staging:
    """Host memory that a device copies from. It is not written to while a copy from it is under way."""

    def __init__(self, like: Sequence[Tensor], device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.here = Words(like, torch.device("cpu"), pinned=on_gpu)
        self.copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]

    def send_to(self, target: Words, parts: Sequence[Tensor]) -> None:
        if self.copied is not None:
            self.copied.synchronize()
        self.copy_to(target, parts)
        if self.copied is not None:
            self.copied.record()

    def copy_to(self, target: Words, parts: Sequence[Tensor]) -> None:
        for home, part in zip(self.here.parts, parts, strict=False):
            home.copy_(part)
        at = len(parts) - 1
        target.until[at].copy_(self.here.until[at], non_blocking=True)
