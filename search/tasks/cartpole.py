"""A pole to be balanced on a cart by a policy that learns from its own episodes: REINFORCE on gymnasium's CartPole-v1.

Episodes are made up as they are played, all from seeds; there is no data, and each part has episodes of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..seeds import seed_of
from .data import Array, DataError
from .models import mlp
from .splits import Indices, Judged

LONGEST = 500
"""Steps after which an episode of CartPole-v1 has succeeded."""
JUDGED_EPISODES = 64
DISCOUNT = 0.99
OBSERVED, ACTIONS = 4, 2

Batch = tuple[int, int]
"""(episodes, seed of all that is random in them)."""


@dataclass(frozen=True)
class CartPole:
    """The row of the table; the environment itself is gymnasium's, an extra of this package."""

    name: str = "cartpole"

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Judged = "search"
    ) -> Balance:
        """Judged by 64 episodes, or as many as `validation_images` says. Raises DataError."""
        _environments(1)
        return Balance(device, validation_images or JUDGED_EPISODES, seed_of(seed, "episodes", part))

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        _environments(1)
        return {}

    def digest(self) -> str:
        """The environment is as its package has it."""
        _environments(1)
        return f"gymnasium {version('gymnasium')}"


@dataclass(frozen=True)
class Episodes:
    """What was seen and done: (T, N, 4) observations, (T, N) actions, and whether the pole still stood, (T, N)."""

    observations: Tensor
    actions: Tensor
    standing: Tensor
    finite: bool


class Balance:
    """The pole with a device for the policy. A batch is a number of episodes; the network answers with two logits."""

    def __init__(self, device: torch.device, judged: int, seed: int) -> None:
        self.device, self.judged, self.seed = device, judged, seed
        self.environments: dict[int, Any] = {}

    def model(self) -> nn.Module:
        return mlp(OBSERVED, ACTIONS).to(self.device)

    def batches(self, size: int, draw: torch.Generator) -> Iterator[Batch]:
        while True:
            yield size, int(torch.randint(2**31, (1,), generator=draw, device=draw.device))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The share of 500 steps that the episodes fell short of; its gradient is REINFORCE's (Williams, 1992).

        Returns are discounted, less their mean over the episodes that still ran, in standard deviations.
        """
        played = self._play(model, *batch, greedy=False)
        standing, steps = played.standing, torch.arange(len(played.standing))[:, None]
        returns = (1 - DISCOUNT ** (standing.sum(0) - steps).clamp_min(0)) / (1 - DISCOUNT)
        baseline = (returns * standing).sum(1, keepdim=True) / standing.sum(1, keepdim=True).clamp_min(1)
        advantage = (returns - baseline)[standing]
        advantage = (advantage / (advantage.std(correction=0) + 1e-8)).to(self.device)
        logits = model(played.observations[standing].to(self.device))
        chosen = played.actions[standing].to(self.device)
        surrogate = (advantage * functional.cross_entropy(logits, chosen, reduction="none")).mean()
        return _missing(standing) + (surrogate - surrogate.detach())

    @torch.no_grad()
    def accuracy(self, model: nn.Module) -> float:
        """The share of 500 steps that the pole stands, each action the likelier; NaN where outputs are not finite."""
        played = self._play(model, self.judged, self.seed, greedy=True)
        return 1 - _missing(played.standing) if played.finite else float("nan")

    @torch.no_grad()
    def _play(self, model: nn.Module, count: int, seed: int, greedy: bool) -> Episodes:
        world = self.environments.setdefault(count, _environments(count))
        draw = torch.Generator().manual_seed(seed)
        now, _ = world.reset(seed=seed % 2**31)
        standing, finite = np.ones(count, np.bool_), True
        seen: list[Array] = []
        done: list[Tensor] = []
        stood: list[Array] = []
        while standing.any() and len(seen) < LONGEST:
            logits = model(torch.from_numpy(now).to(self.device)).float().cpu()
            finite &= bool(logits.isfinite().all())
            right = torch.full((count,), 0.5) if greedy else torch.rand(count, generator=draw)
            actions = (right < (logits[:, 1] - logits[:, 0]).sigmoid()).long()
            seen.append(now.copy())
            done.append(actions)
            stood.append(standing.copy())
            now, _, fallen, late, _ = world.step(actions.numpy())
            standing &= ~(fallen | late)
        observations, on = torch.from_numpy(np.stack(seen)), torch.from_numpy(np.stack(stood))
        return Episodes(observations, torch.stack(done), on, finite)


def _missing(standing: Tensor) -> float:
    return 1 - float(standing.sum()) / (LONGEST * standing.shape[1])


def _environments(count: int) -> Any:
    """So many poles, each in an episode of its own. Raises DataError."""
    try:
        import gymnasium
    except ImportError:
        raise DataError("the task `cartpole` needs gymnasium: pip install 'optc[rl]'") from None
    return gymnasium.make_vec("CartPole-v1", num_envs=count, vectorization_mode="vector_entry_point")
