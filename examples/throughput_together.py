"""Training steps a second over the paper's three tasks, several rules side by side, as `examples/paper.toml` trains.

For a GPU, where the steps of all rules are played from one graph; it runs on a CPU too, for whoever wants to see it.
Images are made up. A step is one rule's step on one batch of 128; the time of a run's start, its recording and its
judging is in the figure, as it is in a search.

    python examples/throughput_together.py [--device cuda] [--rules 16] [--steps 500] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from optc.search.config import checked
from optc.search.spaces.founders import founder_texts
from optc.search.tasks.task import problem
from optc.search.training.build import optimizer_of
from optc.search.training.train import Curve, train_together

SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}
COUNT, BATCH = 18_750, 128  # 80% of these are the 15,000 that the paper trains on


def seconds(task: str, device: str, rules: int, steps: int) -> float:
    """Of `rules` runs of a task side by side. The rules are the four that open the paper's search, in turn."""
    made = problem(task, 0, device=device)
    texts = list(founder_texts(checked({}, "the benchmark")).values())
    makers = [optimizer_of(texts[k % len(texts)]) for k in range(rules)]
    start = time.perf_counter()
    curves = train_together(makers, made, steps=steps, batch_size=BATCH, seed=0, precision="bfloat16")
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    wrong = [curve for curve in curves if not isinstance(curve, Curve)]
    if wrong:
        raise wrong[0]
    return time.perf_counter() - start


def make_up(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for task, shape in SHAPES.items():
        x, y = rng.integers(0, 256, (COUNT, *shape), dtype=np.uint8), np.arange(COUNT) % 10
        np.savez(folder / f"{task}.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--rules", type=int, default=16)
    arguments.add_argument("--steps", type=int, default=500)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTC_DATA"] = folder
        make_up(Path(folder))
        for task in SHAPES:
            seconds(task, given.device, given.rules, 5)
        work = (given.device, given.rules, given.steps)
        rounds = [{task: seconds(task, *work) for task in SHAPES} for _ in range(given.rounds)]
    made = given.rules * given.steps
    for task in SHAPES:
        print(f"{task:14} {made / statistics.median(found[task] for found in rounds):10.1f} steps/s")
    whole = [len(SHAPES) * made / sum(found.values()) for found in rounds]
    print(f"{'all three':14} {statistics.median(whole):10.1f} steps/s   ({min(whole):.1f} to {max(whole):.1f})")


if __name__ == "__main__":
    main()
