"""The training steps of several rules to one CUDA graph, which is then played with batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..tasks.dataset import Supervised
from ..tasks.protocol import Problem

Batch = tuple[Tensor, ...]


def can_be_recorded(problem: Problem, optimizers: Sequence[torch.optim.Optimizer]) -> bool:
    """On CUDA, where neither the loss nor a schedule laid on from outside needs the host in a step."""
    on_host = any(optimizer._optimizer_step_pre_hooks for optimizer in optimizers)
    return problem.device.type == "cuda" and isinstance(problem, Supervised) and not on_host


def let_be_recorded(optimizer: torch.optim.Optimizer) -> None:
    """Have the optimizer count its steps on the device, before its first."""
    for group in optimizer.param_groups:
        group["capturable"] = True


class Graph:
    """Every rule's step on a stream of its own, so that small kernels of different rules run at once; then `after`.

    Recording runs nothing. What a generator gives goes on from play to play.
    """

    def __init__(
        self,
        batch: Batch,
        steps: Sequence[Callable[[Batch], None]],
        after: Callable[[], object],
        generators: Sequence[torch.Generator],
    ) -> None:
        self.batch = tuple(part.clone() for part in batch)
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        streams = [torch.cuda.Stream(batch[0].device) for _ in steps]  # type: ignore[no-untyped-call]
        with torch.cuda.graph(self.graph):
            main = torch.cuda.current_stream()
            for stream, step in zip(streams, steps, strict=True):
                stream.wait_stream(main)
                with torch.cuda.stream(stream):
                    step(self.batch)
            for stream in streams:
                main.wait_stream(stream)
            after()

    def play(self, batch: Batch) -> None:
        """One step of every rule on a batch of the shape that was recorded."""
        for held, given in zip(self.batch, batch, strict=True):
            held.copy_(given)
        self.graph.replay()
