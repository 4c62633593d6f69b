"""Takes the tables that drive a kernel from the host to its device: in one asynchronous copy, and only what is new.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

RING = 4
"""Host buffers that take turns: a step waits for a copy only where four later ones have overtaken the device."""


CAPTURED: list[Staging] = []
"""What graphs copy from at every replay. It stays for as long as the process: nobody says when a graph is gone."""


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

    What changes most often comes first, so that whatever has to be sent is one piece.
    """

    def __init__(self, parts: Sequence[Tensor], device: torch.device, for_graph: Staging | None = None) -> None:
        """Sends the parts; with `for_graph`, in a step that is being captured, from there at every replay."""
        self.device, self.there = device, Words(parts, device)
        self.views = self.there.parts
        self.staging: deque[Staging] = deque()
        if for_graph is None:
            self.send(*parts)
        else:
            for_graph.copy_to(self.there, parts)
            CAPTURED.append(for_graph)

    def send(self, *parts: Tensor) -> None:
        """Sends the first of the parts: the scalars, or these and the addresses, or all."""
        if len(self.staging) < RING:
            self.staging.append(Staging(self.views, self.device))
        else:
            self.staging.rotate(-1)
        self.staging[-1].send_to(self.there, parts)


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
