"""Training steps a second: a plain DataLoader loop beside the search's own, in turns, on the networks of the paper.

The plain loop is a notebook's: torchvision transforms on one PIL image after another, a DataLoader with two workers,
float32, torch.optim.AdamW, `.item()` every step, all cores for one run. The search's loop is `search/training/train.py`
as a search runs it, with AdamW from the zoo, bfloat16 and one run on every core. Images are made up. Measure on an idle
machine: threads that wait for each other suffer most from company. `--processor-time` compares what a step costs either
loop on one thread, which company changes little, and which leaves out what the plain loop's threads lose to each other.

    python examples/throughput.py [--task mnist] [--steps 30] [--rounds 5] [--processor-time]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
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
from optc.search.tasks.task import problem
from optc.search.training.build import optimizer_of
from optc.search.training.train import train

BATCH, LOADERS, COUNT = 128, 2, 15_000
SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}

# ---------------------------------------------------------------- the plain loop


class OneByOne(Dataset):  # type: ignore[type-arg]
    """torchvision's way: an array becomes a PIL image, and that goes through the transforms, when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:  # type: ignore[type-arg]
        self.images, self.labels = images, labels
        colour = images.ndim == 4
        changes = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if colour else []
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
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10),
    )  # fmt: skip


def plain(task: str, data: OneByOne, rounds: int, steps: int) -> Iterator[float]:
    """Steps a second of the notebook's loop, once for each round. Its workers are running before it is timed."""
    torch.set_num_threads(os.cpu_count() or 1)
    model = plain_network(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(rounds):
        loader = DataLoader(data, BATCH, shuffle=True, num_workers=LOADERS)
        batches = iter(loader)
        plain_steps(model, optimizer, batches, 2)
        start = time.perf_counter()
        plain_steps(model, optimizer, batches, steps)
        rate = steps / (time.perf_counter() - start)
        del batches, loader
        yield rate


def plain_steps(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[Any], count: int) -> float:
    total = 0.0
    for _ in range(count):
        x, y = next(batches)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / count


# ---------------------------------------------------------------- the search's


def search_run(task: str) -> Callable[[int], object]:
    """A function that trains so many steps as a search does; the task's data is loaded already."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    made = problem(task, 0, validation_images=1)
    make = optimizer_of((ZOO / "adamw.opt").read_text())
    return lambda steps: train(make, made, steps=steps, batch_size=BATCH, seed=0, precision="bfloat16")


def one_worker(task: str, steps: int) -> float:
    """Steps a second of one of the search's runs on one core; what a run costs once is left out."""
    run = search_run(task)
    taken(run, 2)
    once = taken(run, 2)
    return steps / max(taken(run, steps + 2) - once, 1e-9)


def resident(pool: ProcessPoolExecutor, workers: int, task: str, steps: int) -> float:
    """Steps a second of the search's loop, a worker on every core."""
    return sum(pool.map(one_worker, [task] * workers, [steps] * workers))


# ---------------------------------------------------------------- both


def taken(run: Callable[[int], object], steps: int, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    run(steps)
    return clock() - start


def processor_time(task: str, rounds: int, steps: int) -> list[tuple[float, float]]:
    """Steps in a second of one thread's processor time: the plain loop with its loading, and the search's."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTC_DATA"] = folder
        data, ours = make_up(Path(folder), task), search_run(task)
        model = plain_network(task)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

        def theirs(count: int) -> None:
            plain_steps(model, optimizer, iter(DataLoader(data, BATCH, shuffle=True)), count)

        rates = []
        for _ in range(rounds + 1):  # the first warms up
            costs = []
            for run, denormals in ((theirs, False), (ours, True)):
                torch.set_flush_denormal(denormals)
                once = taken(run, 2, time.process_time)
                costs.append(steps / max(taken(run, steps + 2, time.process_time) - once, 1e-9))
            rates.append((costs[0], costs[1]))
        return rates[1:]


def measured(task: str, workers: int, rounds: int, steps: int) -> list[tuple[float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTC_DATA"] = folder
        data = make_up(Path(folder), task)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            resident(pool, workers, task, 1)
            return [(rate, resident(pool, workers, task, steps)) for rate in plain(task, data, rounds, steps)]


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
    workers = os.cpu_count() or 1
    for task in given.task or SHAPES:
        if given.processor_time:
            rates = processor_time(task, given.rounds, given.steps)
        else:
            rates = measured(task, workers, given.rounds, given.steps)
        ours = "one thread" if given.processor_time else f"{workers} workers"
        names = (f"{task}, plain DataLoader loop", f"{task}, this search, {ours}")
        for name, found in zip(names, zip(*rates, strict=True), strict=True):
            print(f"{name:36} {statistics.median(found):8.1f} steps/s   ({min(found):.1f} to {max(found):.1f})")
        ratios = [fast / slow for slow, fast in rates]
        print(f"{task + ', ratio':36} {statistics.median(ratios):8.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
