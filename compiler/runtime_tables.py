"""Takes the tables that drive a kernel from the host to its device: in one asynchronous copy, and only what is new.

This file's text is part of each generated module that has a kernel.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

RING = 4
"""Host buffers that take turns: a step waits for a copy only where four later ones have overtaken the device."""


class Tables:
    """Scalars, addresses and chunks, one after the other in one buffer of 64-bit words on a device.

    What changes most often comes first, so that whatever has to be sent is one piece. A part begins at an even word:
    Triton compiles another kernel where a pointer is not a multiple of 16 bytes.
    """

    def __init__(self, scalars: Tensor, addresses: Tensor, chunks: Tensor, device: torch.device) -> None:
        parts = scalars, addresses, chunks
        self.lengths = [part.numel() + part.numel() % 2 for part in parts]
        self.words = torch.empty(sum(self.lengths), dtype=torch.int64, device=device)
        self.staging: deque[Staging] = deque()
        first, self.addresses, self.chunks = torch.split(self.words, self.lengths)
        self.scalars = first.view(torch.float64)
        self.send(*parts)

    def send(self, *parts: Tensor) -> None:
        """Sends the scalars, or these and the addresses, or all three."""
        count = sum(self.lengths[: len(parts)])
        buffer = self._free_staging()
        at = 0
        for part, length in zip(parts, self.lengths, strict=False):
            buffer.words[at : at + part.numel()] = part.view(torch.int64).view(-1)
            at += length
        buffer.copy_to(self.words, count)

    def _free_staging(self) -> Staging:
        if len(self.staging) < RING:
            self.staging.append(Staging(len(self.words), self.words.device))
        else:
            self.staging.rotate(-1)
        return self.staging[-1]


class Staging:
    """Host memory that the device copies from. It is not written to while a copy from it is under way."""

    def __init__(self, words: int, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.memory = torch.zeros(words, dtype=torch.int64, pin_memory=on_gpu)
        self.copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]

    @property
    def words(self) -> Tensor:
        """The memory, once it is free."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.memory

    def copy_to(self, target: Tensor, count: int) -> None:
        target[:count].copy_(self.memory[:count], non_blocking=True)
        if self.copied is not None:
            self.copied.record()
