"""Short trainings of the paper's networks in float32, in bfloat16 by torch's layers, and in bfloat16 by optc's in C.

Accuracies, losses and a step's time side by side, from the same weights and batches.

AdamW, one thread, the task's own data from $OPTC_DATA. Times are the processor's, the shortest of the seeds; accuracies
are on images that were set aside. Without a C compiler the last two ways are one.

    python examples/layers.py [--task cifar10] [--steps 100] [--seeds 4]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from optc.dsl.load import ZOO
from optc.search.config import checked
from optc.search.tasks import blocks, winograd
from optc.search.tasks.task import problem
from optc.search.training.build import optimizer_of
from optc.search.training.evaluate import settle
from optc.search.training.train import Precision, train

WAYS: dict[str, tuple[Precision, bool]] = {
    "float32, torch": ("float32", False),
    "bfloat16, torch": ("bfloat16", False),
    "bfloat16, in C": ("bfloat16", True),
}
TRAIN, VALIDATION, BATCH = 13_000, 1_000, 128


@contextmanager
def layers_in_c(there: bool) -> Iterator[None]:
    """Whether layers may be C for a while, where they can."""
    kept = blocks.available, winograd.available
    if not there:
        blocks.available = winograd.available = lambda: False  # type: ignore[assignment]
    try:
        yield
    finally:
        blocks.available, winograd.available = kept


def trained(task: str, way: str, seed: int, steps: int) -> tuple[float, float, float]:
    """Accuracy, mean of the last fifth of the losses, milliseconds a step."""
    precision, in_c = WAYS[way]
    made = problem(task, seed, train_images=TRAIN, validation_images=VALIDATION)
    make = optimizer_of((ZOO / "adamw.opt").read_text())
    with layers_in_c(in_c):
        start = time.process_time()
        curve = train(make, made, steps=steps, batch_size=BATCH, seed=seed, precision=precision)
        spent = time.process_time() - start
    return curve.accuracy, float(np.mean(curve.losses[-max(steps // 5, 1) :])), 1e3 * spent / steps


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--task", choices=["mnist", "fashion_mnist", "cifar10"], default="cifar10")
    arguments.add_argument("--steps", type=int, default=100)
    arguments.add_argument("--seeds", type=int, default=4)
    given = arguments.parse_args()
    settle(checked({}, "the benchmark"))
    assert torch.get_num_threads() == 1
    found = {way: [trained(given.task, way, s, given.steps) for s in range(given.seeds)] for way in WAYS}
    for way, runs in found.items():
        accuracies, losses, times = zip(*runs, strict=True)
        each = " ".join(f"{x:.3f}" for x in accuracies)
        means = f"mean {np.mean(accuracies):.3f}   loss {np.mean(losses):.3f}   {min(times):.0f} ms a step"
        print(f"{way:16} {each}   {means}", flush=True)


if __name__ == "__main__":
    main()
