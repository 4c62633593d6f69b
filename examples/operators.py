"""Where a training step of the paper's networks goes on a CPU, by operator, beside the multiplications of plain layers.

One run of the search's loop on one thread, bfloat16, AdamW, made-up images. Beside it: how long the multiplications of
such a step in torch's layers would take at the speed of one large bfloat16 product, measured in the same minute. All
times are the processor's, shares are of the step.

    python examples/operators.py [--steps 10]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from throughput import BATCH, SHAPES, make_up, plain_network, search_run, taken
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

GROUPS = {
    "convolution": "convolutions, forth and back",
    "_Winograd": "convolutions, forth and back",
    "_Norm": "normalisation and ReLU",
    "_Pool": "pooling, ReLU and dropout",
    "aten::random_": "random bits",
    "mm": "linear layers",
    "Optimizer.step": "the rule's step",
    "copy_": "casts between float32 and bfloat16, and copies",
}
"""What an operator's name contains, and what it is counted as; the first that fits."""
SIZE = 2048


def operators(run: Callable[[int], object], steps: int) -> Counter[str]:
    """Each group's share of a run, which includes its beginning and its end."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        run(steps)
    shares: Counter[str] = Counter()
    for row in found.key_averages():
        group = next((group for part, group in GROUPS.items() if part in row.key), "all else")
        shares[group] += row.self_cpu_time_total
    return Counter({group: spent / shares.total() for group, spent in shares.items()})


def multiplications(task: str) -> int:
    """Multiplications and additions in the products of one training step, as torch's layers do it."""
    height, width, *colours = SHAPES[task]
    images = torch.zeros(BATCH, *(colours or [1]), height, width)
    with FlopCounterMode(display=False) as counter:
        plain_network(task)(images).sum().backward()
    return counter.get_total_flops()


def speed() -> float:
    """Multiplications and additions a second of one large bfloat16 product on one thread: the best of a few."""
    a, b = torch.randn(2, SIZE, SIZE, dtype=torch.bfloat16)
    return max(2 * SIZE**3 / taken(lambda _: a @ b, 1, time.process_time) for _ in range(5))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=10)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPTC_DATA"] = folder
        for task in SHAPES:
            make_up(Path(folder), task)
            run, count = search_run(task), multiplications(task)
            run(3)
            once = taken(run, 2, time.process_time)
            step = (taken(run, given.steps + 2, time.process_time) - once) / given.steps
            floor = count / speed() / step
            print(f"{task}: {count / 1e9:.1f} billion a step, {floor:.0%} of its time at a large product's speed")
            for group, share in operators(run, given.steps).most_common():
                print(f"  {share:6.1%}  {group}")


if __name__ == "__main__":
    main()
