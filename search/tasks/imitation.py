"""`imitate:RULE` to a task whose aim is to move parameters as that rule does: hidden rules for a search to find again.

Gradients are made up, and do not depend on where the parameters are. The teacher is run by the float64 interpreter, on
the gradients that the rule under training is given. What stands for accuracy is 1 for moves that are all the teacher's:
three quarters of it for their direction (the angle between all moves of both, as a share of a right one), one for their
size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import asin, log, pi
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...dsl.checks.check import check
from ...dsl.diagnostics import OptError
from ...dsl.load import ZOO, file_at, zoo_names
from ...dsl.meaning.flow import paths
from ...dsl.meaning.interpret import initial_states, settings, step
from ...dsl.rule import Rule, Value
from ..seeds import generator, seed_of
from .data import DataError
from .splits import Indices, Judged

PREFIX = "imitate:"
SHAPE = (8, 8)
WEIGHT_SIZE = 0.1
SCALES = (-3.0, 0.0)
"""The gradients' sizes differ from one parameter to another: powers of ten between these."""
DIRECTION = 0.75

Array = npt.NDArray[np.float64]


def is_imitation(name: str) -> bool:
    return name.startswith(PREFIX)


def imitation(name: str) -> Imitation:
    """The task of imitating a rule of the zoo or of an `.opt` file. Raises DataError."""
    teacher = name.removeprefix(PREFIX)
    path = Path(teacher).expanduser() if teacher.endswith(".opt") else ZOO / f"{teacher}.opt"
    if path.parent == ZOO and teacher not in zoo_names():
        raise DataError(f"`{name}`: there is no rule `{teacher}`; name one of the zoo, or a file that ends in .opt")
    try:
        rule = check(file_at(path), path.parent)
        settings(rule)
    except (OptError, ValueError) as error:
        raise DataError(f"`{name}`: {str(error).splitlines()[0]}") from None
    if rule.inputs:
        raise DataError(f"`{name}`: its teacher needs the input `{rule.inputs[0]}`")
    return Imitation(name if path.parent == ZOO else f"{PREFIX}{path.resolve()}", rule)


@dataclass(frozen=True)
class Imitation:
    """A teacher to be imitated."""

    name: str
    teacher: Rule

    def problem(
        self, seed: int, train_images: int, validation_images: int, device: torch.device, part: Judged = "search"
    ) -> Lesson:
        """Each part has gradients of its own."""
        return Lesson(self.teacher, seed_of(seed, "lesson", part), device)

    def splits(self, seed: int, train_images: int, validation_images: int) -> dict[str, Indices]:
        return {}

    def digest(self) -> str:
        """The teacher, numbers and all."""
        return repr(self.teacher)


@dataclass
class Agreement:
    """Sums over the moves of two rules: of products, and of each one's squares."""

    product: float = 0.0
    mine: float = 0.0
    wanted: float = 0.0

    def add(self, mine: Array, wanted: Array) -> None:
        self.product += float((mine * wanted).sum())
        self.mine += float((mine * mine).sum())
        self.wanted += float((wanted * wanted).sum())

    @property
    def score(self) -> float:
        """1 where both moved alike, 0 where the one stood still or went the other way; NaN for what is not finite."""
        if not np.isfinite(self.mine):
            return float("nan")
        if self.mine == 0 or self.wanted == 0:
            return float(self.mine == self.wanted)
        mine, wanted = self.mine**0.5, self.wanted**0.5
        apart = max(0.0, 2 - 2 * self.product / (mine * wanted)) ** 0.5
        direction = max(0.0, 1 - 4 / pi * asin(min(1.0, apart / 2)))
        return direction * (DIRECTION + (1 - DIRECTION) / (1 + abs(log(mine / wanted))))


class Pupil(nn.Module):
    """Parameters, and all that is needed to compare how they move with how the teacher would move them."""

    def __init__(self, teacher: Rule, device: torch.device) -> None:
        super().__init__()
        self.place = nn.Parameter(WEIGHT_SIZE * torch.randn(SHAPE).to(device))
        self.teacher, self.setting = teacher, settings(teacher)
        self.theta = self.before = self.now()
        self.states = initial_states(teacher, self.setting, self.theta)
        self.wanted: Array | None = None
        self.time = 0
        self.all, self.last = Agreement(), Agreement()

    def now(self) -> Array:
        out: Array = self.place.detach().cpu().double().numpy().copy()
        return out

    def compare(self) -> None:
        """Take note of the move that was made since the last gradient was shown."""
        if self.wanted is not None:
            here, self.last = self.now(), Agreement()
            for agreement in (self.all, self.last):
                agreement.add(self.before - here, self.wanted)
            self.before, self.wanted = here, None

    def show(self, gradient: Array) -> None:
        """Let the teacher move by the gradient that the pupil is about to be given."""
        self.time += 1
        theta, self.states = step(self.teacher, self.setting, self.theta, gradient, self.states, self.time)
        self.wanted, self.theta = self.theta - theta, theta


class Lesson:
    """A teacher and made-up gradients, which share a mean as a network's do."""

    def __init__(self, teacher: Rule, seed: int, device: torch.device) -> None:
        self.teacher, self.seed, self.device = teacher, seed, device

    def model(self) -> nn.Module:
        return Pupil(self.teacher, self.device)

    def batches(self, size: int, draw: torch.Generator) -> Iterator[Array]:
        """Endless gradients."""
        which = int(torch.randint(2**62, (), generator=draw, device=draw.device))
        rng = generator("gradients", self.seed, which)
        scale, mean = 10.0 ** rng.uniform(*SCALES, SHAPE), rng.standard_normal(SHAPE)
        while True:
            yield scale * (mean + rng.standard_normal(SHAPE))

    def loss(self, model: nn.Module, batch: Array) -> Tensor:
        """How far the last move was from agreement; its gradient is the batch."""
        assert isinstance(model, Pupil)
        model.compare()
        with np.errstate(all="ignore"):
            model.show(batch)
        pull = (torch.from_numpy(batch).to(model.place) * model.place).sum()
        return pull - pull.detach() + (1 - model.last.score)

    def accuracy(self, model: nn.Module) -> float:
        """The agreement of all moves."""
        assert isinstance(model, Pupil)
        model.compare()
        return model.all.score

    def foresee(
        self, rule: Rule, setting: Mapping[str, Value], steps: int, seed: int
    ) -> tuple[npt.NDArray[np.float32], float]:
        """What training comes to but for float32's rounding: the gradients depend on no parameter."""
        theta, gradients, wanted = _shown(self, steps, seed)
        mine = moves(rule, setting, theta, gradients)
        each, whole = [Agreement() for _ in range(steps)], Agreement()
        with np.errstate(all="ignore"):
            for agreement, here, there in zip(each, mine, wanted, strict=True):
                agreement.add(here, there)
            whole.add(mine, wanted)
        before = [Agreement(), *each[:-1]]  # a step's loss is told before it moves
        return np.array([1 - agreement.score for agreement in before], np.float32), whole.score


@lru_cache(maxsize=64)
def _shown(lesson: Lesson, steps: int, seed: int) -> tuple[Array, Array, Array]:
    """Where training with a seed begins, the gradients of its steps, and the teacher's moves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theta = Pupil(lesson.teacher, lesson.device).now()
    batches = lesson.batches(1, torch.Generator(lesson.device).manual_seed(seed_of(seed, "batches")))
    gradients = np.stack(list(islice(batches, steps)))
    return theta, gradients, moves(lesson.teacher, settings(lesson.teacher), theta, gradients)


def moves(rule: Rule, setting: Mapping[str, Value], theta: Array, gradients: Array) -> Array:
    """What each step subtracts from the parameters, (steps, rows, columns)."""
    path = paths(rule, setting, theta, gradients[None])[0]
    out: Array = path[:-1] - path[1:]
    return out
