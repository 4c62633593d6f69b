"""Training steps a second: a plain DataLoader loop beside the search's own, in turns, on images that are made up.

The plain loop is what a notebook would have: one image at a time through a transform, float32, `.item()` every step,
and all cores for one run. The search's has its data resident, channels last, bfloat16, and a run on every core. Measure
on an idle machine: threads that wait for each other suffer most from company.

    python examples/throughput.py [--task mnist] [--steps 20] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from optc.search.tasks.images import Images
from optc.search.tasks.task import TASKS, problem
from optc.search.train import train

BATCH = 128
COUNT = 4000
SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}


class OneByOne(Dataset):  # type: ignore[type-arg]
    """Images as a notebook has them: each through its transform when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:  # type: ignore[type-arg]
        self.images, self.labels = images, labels
        crops = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()] if images.ndim == 4 else []
        channels = 3 if images.ndim == 4 else 1
        normalise = v2.Normalize([0.5] * channels, [0.25] * channels)
        numbers = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalise]
        self.transform = v2.Compose([v2.ToPILImage(), *crops, *numbers])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def plain(task: str, steps: int) -> float:
    """Steps a second of the notebook's loop."""
    torch.set_num_threads(os.cpu_count() or 1)
    with np.load(Path(os.environ["OPTC_DATA"]) / f"{task}.npz") as data:
        loader = DataLoader(OneByOne(data["x_train"], data["y_train"]), BATCH, shuffle=True)
    row = TASKS[task]
    assert isinstance(row, Images)
    model = row.model(3 if task == "cifar10" else 1, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches, total, start = iter(loader), 0.0, 0.0
    for step in range(steps + 1):
        if step == 1:  # the first step warms up
            start = time.perf_counter()
        x, y = next(batches)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return steps / (time.perf_counter() - start)


def one_worker(task: str, steps: int) -> float:
    """Steps a second of one of the search's runs on one core; what a run costs once is left out."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    made = problem(task, 0, validation_images=1)

    def seconds(count: int) -> float:
        start = time.perf_counter()
        train(lambda p, n: torch.optim.Adam(p), made, steps=count, batch_size=BATCH, seed=0, precision="bfloat16")
        return time.perf_counter() - start

    warm = seconds(2)
    warm = min(warm, seconds(2))
    return (steps - 2) / max(seconds(steps) - warm, 1e-9)


def resident(pool: ProcessPoolExecutor, workers: int, task: str, steps: int) -> float:
    """Steps a second of the search's loop, a worker on every core."""
    return sum(pool.map(one_worker, [task] * workers, [steps] * workers))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--task", choices=SHAPES, default="mnist")
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTC_DATA"] = folder
        make_up(Path(folder), given.task)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rounds = [
                (plain(given.task, given.steps), resident(pool, workers, given.task, given.steps))
                for _ in range(given.rounds)
            ]
    for name, rates in zip(
        ("plain DataLoader loop", f"this search, {workers} workers"), zip(*rounds, strict=True), strict=True
    ):
        print(f"{name:28} {statistics.median(rates):8.1f} steps/s   ({min(rates):.1f} to {max(rates):.1f})")
    print(f"{'ratio':28} {statistics.median(ours / theirs for theirs, ours in rounds):8.1f}")


def make_up(folder: Path, task: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, *SHAPES[task]), dtype=np.uint8)
    labels = np.arange(COUNT) % 10
    np.savez(folder / f"{task}.npz", x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])


if __name__ == "__main__":
    main()
