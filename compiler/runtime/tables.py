"""Takes the tables that drive a kernel from the host to its device: in one asynchronous copy, and only what is new.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

RING = 4
"""Host buffers that take turns: a step waits for a copy only where four later ones have overtaken the device."""


CAPTURED: list[Staging] = []
"""What graphs copy from at every replay. It stays for as long as the process: nobody says when a graph is gone."""


class Tables:
    """Scalars, addresses, chunks and whatever else, one after the other in one buffer of 64-bit words on a device.

    What changes most often comes first, so that whatever has to be sent is one piece. A part begins at an even word:
    Triton compiles another kernel where a pointer is not a multiple of 16 bytes.
    """

    def __init__(self, parts: Sequence[Tensor], device: torch.device, for_graph: Staging | None = None) -> None:
        """Sends the parts; with `for_graph`, in a step that is being captured, from there at every replay."""
        self.lengths = [part.numel() + part.numel() % 2 for part in parts]
        self.words = torch.empty(sum(self.lengths), dtype=torch.int64, device=device)
        pieces = zip(torch.split(self.words, self.lengths), parts, strict=True)
        self.views = [piece[: part.numel()].view(part.dtype).view(part.shape) for piece, part in pieces]
        self.staging: deque[Staging] = deque()
        if for_graph is None:
            self.send(*parts)
        else:
            for_graph.write(parts, self.lengths)
            for_graph.copy_to(self.words)
            CAPTURED.append(for_graph)

    def send(self, *parts: Tensor) -> None:
        """Sends the first of the parts: the scalars, or these and the addresses, or all."""
        if len(self.staging) < RING:
            self.staging.append(Staging(len(self.words), self.words.device))
        else:
            self.staging.rotate(-1)
        staging = self.staging[-1]
        staging.wait()
        staging.write(parts, self.lengths)
        staging.copy_to(self.words[: sum(self.lengths[: len(parts)])])
        staging.sent()


class Staging:
    """Host memory that a device copies from. It is not written to while a copy from it is under way."""

    def __init__(self, words: int, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.words = torch.zeros(words, dtype=torch.int64, pin_memory=on_gpu)
        self.copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        if self.copied is not None:
            self.copied.synchronize()

    def write(self, parts: Sequence[Tensor], lengths: Sequence[int]) -> None:
        at = 0
        for part, length in zip(parts, lengths, strict=False):
            self.words[at : at + part.numel()] = part.view(torch.int64).view(-1)
            at += length

    def copy_to(self, target: Tensor) -> None:
        target.copy_(self.words[: len(target)], non_blocking=True)

    def sent(self) -> None:
        if self.copied is not None:
            self.copied.record()
