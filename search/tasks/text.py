"""Text: a network that says at every place of a piece which character comes next."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from .characters import CONTEXT, as_text, pieces
from .data import Array, Examples, Form
from .dataset import Batch, Dataset, Supervised
from .splits import Indices


@dataclass(frozen=True)
class Text(Dataset):
    """A text, and the network that learns it from (different characters, length of a piece)."""

    @property
    def form(self) -> Form:
        return as_text

    def ready(self, data: Examples, train: Indices, judged: Indices, device: torch.device) -> Characters:
        return Characters(self, data, train, judged, device)


class Characters(Supervised):
    """Pieces of a text, (N, 64) characters; the network answers (B, 64, different characters)."""

    def __init__(self, task: Text, data: Examples, train: Indices, judged: Indices, device: torch.device) -> None:
        super().__init__(data, train, judged, device)
        self.task = task
        self.kinds = max(2, int(data.inputs.max()) + 1)

    def resident(self, inputs: Array, targets: Array) -> Batch:
        cut = pieces(Examples(inputs, targets))
        return super().resident(cut.inputs, cut.targets)

    def model(self) -> nn.Module:
        return self.task.model(self.kinds, CONTEXT).to(self.device)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of a character, in nats."""
        return functional.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())

    def merit(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """For each piece, the share of a character's uncertainty that is gone: 1 - nats / ln(different characters)."""
        nats = functional.cross_entropy(outputs.float().flatten(0, 1), targets.flatten(), reduction="sum")
        return len(targets) - nats / (log(self.kinds) * CONTEXT)
