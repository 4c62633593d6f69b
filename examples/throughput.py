"""Training steps a second: a plain DataLoader loop beside the search's own, in turns, on the networks of the paper.

The plain loop does what the notebook of arXiv:2512.11853 does: torchvision transforms on one PIL image after another, a
DataLoader with two workers, float32, an update of one tensor after another in Python, `.item()` every step, all cores
for one run. Starting the loaders, which the notebook does anew in every epoch, is left out. The search's loop is
`search/training/train.py` as a search runs it, bfloat16 and one run on every core. Both train by AdamW on images that
are made up. Measure on an idle machine: threads that wait for each other suffer most from company. `--processor-time`
compares what a step costs either loop on one thread, which company changes little, and which leaves out what the plain
loop's threads lose to each other. The last line is for the paper's three tasks, of which Fashion-MNIST costs what MNIST
does.

    python examples/throughput.py [--task mnist] [--steps 30] [--rounds 5] [--processor-time]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from optc.dsl.load import ZOO
from optc.search.config import checked
from optc.search.tasks.task import problem
from optc.search.training.build import optimizer_of
from optc.search.training.evaluate import settle
from optc.search.training.train import train

BATCH, LOADERS, COUNT = 128, 2, 15_000
SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}

Clock = Callable[[], float]


@dataclass(frozen=True)
class Way:
    """How both loops are measured: threads of the plain one, which are the search's workers, and its loaders."""

    rounds: int
    steps: int
    threads: int
    loaders: int
    clock: Clock


# ---------------------------------------------------------------- the plain loop


class OneByOne(Dataset):  # type: ignore[type-arg]
    """torchvision's way: an array becomes a PIL image, and that goes through the transforms, when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:  # type: ignore[type-arg]
        self.images, self.labels = images, labels
        colour = images.ndim == 4
        changes = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=4)] if colour else []
        channels = 3 if colour else 1
        normalise = transforms.Normalize([0.5] * channels, [0.25] * channels)
        self.transform = transforms.Compose([*changes, transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def plain_network(task: str) -> nn.Module:
    """The paper's networks in torch's own layers."""
    if task == "mnist":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(True), nn.Dropout(0.3), nn.Linear(256, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(True),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(True),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(True), nn.Dropout(0.5), nn.Linear(512, 10),
    )  # fmt: skip


class PlainAdamW:
    """AdamW as the notebook writes an update: tensor by tensor, each operation a pass of its own."""

    def __init__(self, model: nn.Module) -> None:
        self.state = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
        self.t = 0

    @torch.no_grad()
    def step(self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.t += 1
        for p, m, v in self.state:
            g = p.grad
            assert g is not None
            p.mul_(1 - lr * 1e-2)
            m.mul_(beta1).add_(g, alpha=1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            mhat, vhat = m / (1 - beta1**self.t), v / (1 - beta2**self.t)
            change = torch.zeros_like(p)
            change.add_(mhat / (vhat.sqrt() + eps), alpha=1.0)
            p.add_(change, alpha=-lr)
            g.zero_()


def plain(task: str, data: OneByOne, way: Way) -> Iterator[float]:
    """Steps a second of the notebook's loop, once for each round. Its workers are running before it is timed."""
    torch.set_num_threads(way.threads)
    model = plain_network(task)
    optimizer = PlainAdamW(model)
    for _ in range(way.rounds):
        loader = DataLoader(data, BATCH, shuffle=True, num_workers=way.loaders)
        batches = iter(loader)
        plain_steps(model, optimizer, batches, 4)
        yield way.steps / taken(partial(plain_steps, model, optimizer, batches), way.steps, way.clock)
        del batches, loader


def plain_steps(model: nn.Module, optimizer: PlainAdamW, batches: Iterator[Any], count: int) -> list[float]:
    losses: list[float] = []
    for _ in range(count):
        x, y = next(batches)
        loss = functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return losses


# ---------------------------------------------------------------- the search's


def search_run(task: str) -> Callable[[int], object]:
    """A function that trains so many steps as a search does; the task's data is loaded already."""
    settle(checked({}, "the benchmark"))
    made = problem(task, 0, validation_images=1)
    make = optimizer_of((ZOO / "adamw.opt").read_text())
    return lambda steps: train(make, made, steps=steps, batch_size=BATCH, seed=0, precision="bfloat16")


def one_worker(task: str, steps: int, clock: Clock) -> float:
    """Steps a second of one of the search's runs on one core; what a run costs once is left out."""
    run = search_run(task)
    taken(run, 2, clock)
    once = taken(run, 2, clock)
    return steps / max(taken(run, steps + 2, clock) - once, 1e-9)


def resident(pool: ProcessPoolExecutor, task: str, way: Way, steps: int) -> float:
    """Steps a second of the search's loop, a worker on every core."""
    workers = way.threads
    return sum(pool.map(one_worker, [task] * workers, [steps] * workers, [way.clock] * workers))


# ---------------------------------------------------------------- both


def taken(run: Callable[[int], object], steps: int, clock: Clock) -> float:
    start = clock()
    run(steps)
    return clock() - start


def measured(task: str, way: Way) -> list[tuple[float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTC_DATA"] = folder
        data = make_up(Path(folder), task)
        with ProcessPoolExecutor(way.threads, mp_context=get_context("spawn")) as pool:
            resident(pool, task, way, 1)
            return [(rate, resident(pool, task, way, way.steps)) for rate in plain(task, data, way)]


def make_up(folder: Path, task: str) -> OneByOne:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, *SHAPES[task]), dtype=np.uint8)
    labels = np.arange(COUNT) % 10
    np.savez(folder / f"{task}.npz", x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])
    return OneByOne(images, labels)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--task", choices=SHAPES, action="append", help="both, if it is left out")
    arguments.add_argument("--steps", type=int, default=30)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--processor-time", action="store_true", help="on one thread, by the processor's clock")
    given = arguments.parse_args()
    length = given.rounds, given.steps
    way = Way(*length, 1, 0, time.process_time)
    if not given.processor_time:
        way = Way(*length, os.cpu_count() or 1, LOADERS, time.perf_counter)
    found = {}
    for task in given.task or SHAPES:
        found[task] = measured(task, way)
        names = (f"{task}, plain DataLoader loop", f"{task}, this search, {way.threads} worker(s)")
        for name, rates in zip(names, zip(*found[task], strict=True), strict=True):
            print(f"{name:36} {in_words(rates, 1)} steps/s")
        print(f"{task + ', ratio':36} {in_words([fast / slow for slow, fast in found[task]], 2)}")
    if len(found) == len(SHAPES):
        print(f"{'the three tasks, ratio':36} {in_words(list(map(three_tasks, *found.values())), 2)}")


def three_tasks(mnist: tuple[float, float], cifar10: tuple[float, float]) -> float:
    """The ratio of the time that a step of each task takes, from (plain, ours) steps a second."""
    plain, ours = (2 / small + 1 / large for small, large in zip(mnist, cifar10, strict=True))
    return plain / ours


def in_words(values: Sequence[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:8.{digits}f}   ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
