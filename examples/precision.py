"""Trains a network on digits with states of 8 bits and parameters of 16, beside float32, and draws the curves.

One AdamW, the zoo's, with beta2 = 0.999; between the runs of one seed only its options of precision differ. The network
computes in float32 on whatever the parameters hold, so that a curve shows what memory does and nothing else.

    python examples/precision.py [--steps 3000] [--seeds 3] [--codes] [--out docs/results]
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

import optc

HALF = torch.bfloat16
BATCH, WIDTH, EVERY = 64, 64, 25

WAYS: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
    "float32": (torch.float32, {}),
    "8-bit states": (torch.float32, {"state_dtype": "8bit"}),
    "8-bit states, stochastic": (torch.float32, {"state_dtype": "8bit", "rounding": "stochastic"}),
    "bfloat16 states, stochastic": (torch.float32, {"state_dtype": HALF, "rounding": "stochastic"}),
    "bfloat16 parameters, stochastic": (HALF, {"rounding": "stochastic"}),
    "bfloat16 parameters, master bits": (HALF, {"master": "bits"}),
    "bfloat16 parameters, master bits, 8-bit states": (HALF, {"master": "bits", "state_dtype": "8bit"}),
    "plain bfloat16 parameters": (HALF, {}),
    "plain bfloat16 states": (torch.float32, {"state_dtype": HALF}),
    "int8 states": (torch.float32, {"state_dtype": "int8"}),
}
"""The parameters' dtype and the optimizer's options."""

CODES: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
    "float32": (torch.float32, {}),
    "m int8, v ufp8": (torch.float32, {"state_dtype": {"m": "int8", "v": "ufp8"}}),
    "m fp8, v fp8": (torch.float32, {"state_dtype": "fp8"}),
}
"""Other codes of 8 bits than those that `state_dtype="8bit"` takes, which are m fp8, v ufp8."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--codes", action="store_true", help="compare other codes of 8 bits instead")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    curves: dict[str, list[list[float]]] = {}
    ways, name = (CODES, "precision_codes") if given.codes else (WAYS, "precision")
    for way, how in ways.items():
        curves[way] = [losses(how, seed, given.steps) for seed in range(given.seeds)]
        print(row(way, curves), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    result = {
        "command": " ".join(["python examples/precision.py", *sys.argv[1:]]),
        "task": f"scikit-learn's digits, 64-{WIDTH}-{WIDTH}-10, batches of {BATCH}, AdamW, lr 3e-3 to 0 as a cosine",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "every": EVERY,
        "far": {way: far(curves[way], curves["float32"]) for way in ways},
        "losses": curves,
    }
    text = json.dumps(result, indent=1)
    one_line = re.sub(r"\[\s+([^\[\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    (given.out / f"{name}.json").write_text(one_line + "\n")
    draw(curves, given.out / f"{name}.png")


# ---------------------------------------------------------------- training


def losses(how: tuple[torch.dtype, dict[str, Any]], seed: int, steps: int) -> list[float]:
    """The loss on all training images, every `EVERY` steps; it ends where that is no number."""
    images, labels = data()
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))
    dtype, options = how
    model.to(dtype)
    optimizer = optc.load(optc.zoo("adamw"))(model.parameters(), lr=3e-3, wd=0.0, seed=seed, **options)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    out = []
    for step, batch in zip(range(steps + 1), batches(len(images), seed), strict=False):
        if step % EVERY == 0:
            with torch.no_grad():
                out.append(float(f"{float(cross_entropy(predicted(model, images), labels)):.4g}"))
            if not math.isfinite(out[-1]):
                return out[:-1]
        optimizer.zero_grad()
        cross_entropy(predicted(model, images[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    return out


def data() -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    return torch.tensor(bunch.data / 16, dtype=torch.float32), torch.tensor(bunch.target)


def batches(count: int, seed: int) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randint(count, (BATCH,), generator=draw)


def predicted(model: nn.Module, images: Tensor) -> Tensor:
    """The network in float32, whatever its parameters are kept in."""
    out: Tensor = functional_call(model, {name: p.float() for name, p in model.named_parameters()}, images)
    return out


# ---------------------------------------------------------------- what came of it


def far(curves: list[list[float]], exact: list[list[float]]) -> dict[str, float] | None:
    """How far runs are from those in float32, in decades of loss, beside how far seeds are apart; None if one diverged.

    `mean` and `last` are the difference of the logarithms, averaged over seeds and, in the former, over all points; the
    spreads are the standard deviation of one float32 run about the mean of them.
    """
    if any(len(curve) < len(exact[0]) for curve in curves):
        return None
    ours, theirs = np.log10(curves), np.log10(exact)
    spread = theirs.std(axis=0, ddof=1) if len(theirs) > 1 else np.zeros(theirs.shape[1])
    apart = ours.mean(axis=0) - theirs.mean(axis=0)
    found = {"mean": apart.mean(), "last": apart[-1], "spread": spread.mean(), "spread_last": spread[-1]}
    return {name: round(float(x), 4) for name, x in found.items()}


def row(way: str, curves: dict[str, list[list[float]]]) -> str:
    found = far(curves[way], curves["float32"])
    if found is None:
        return f"{way:48} diverged after {min(map(len, curves[way])) * EVERY} steps"
    last = np.exp(np.mean([np.log(curve[-1]) for curve in curves[way]]))
    apart = f"mean {found['mean']:+.3f} ({found['spread']:.3f})  last {found['last']:+.3f} ({found['spread_last']:.3f})"
    return f"{way:48} last {last:.2e}  decades from float32 (between seeds): {apart}"


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    exact = np.array(curves["float32"])
    steps = np.arange(exact.shape[1]) * EVERY
    axes.fill_between(steps, exact.min(axis=0), exact.max(axis=0), color="0.85")
    for way, runs in curves.items():
        length = min(map(len, runs))
        mean = np.exp(np.mean([np.log(run[:length]) for run in runs], axis=0))
        style = "--" if way.startswith(("plain", "int8")) else "-"
        axes.plot(steps[:length], mean, style, lw=2 if way == "float32" else 1, label=way)
    axes.set(yscale="log", xlabel="step", ylabel="loss on the training images")
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
