"""Compiles the evolved rule, trains with it beside AdamW, runs a short search, and draws what came of it.

Run by `make demo`; it downloads nothing and takes about two minutes on two cores.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from optc.search.config import read_config
from optc.search.runs.export import hall_lines
from optc.search.runs.progress import make_listener
from optc.search.runs.run import create, run, write_best
from optc.search.runs.store import Store
from optc.search.tasks.task import Problem, problem
from optc.search.training.build import MakeOptimizer, optimizer_of
from optc.search.training.evaluate import settle
from optc.search.training.fitness import fitness
from optc.search.training.train import Curve, train

ROOT = Path(__file__).resolve().parent.parent
RULE = ROOT / "grammar" / "zoo" / "evolved.opt"
CONFIG = ROOT / "examples" / "laptop.toml"
STEPS, BATCH, SEEDS = 300, 64, (1, 2, 3)
SHOWN = (1, 50, 100, 200, 300)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

say = partial(Console(highlight=False).print, soft_wrap=True)


def main() -> None:
    start = time.perf_counter()
    folder = next_folder(Path("runs"))
    config = read_config(CONFIG, ["name=demo"])
    settle(config)

    heading("1. Compile", f"{shown(RULE)} becomes a drop-in torch.optim.Optimizer")
    evolved = compiled(folder)

    heading("2. Train", f"a small CNN on handwritten digits, {STEPS} steps, mean of {len(SEEDS)} seeds")
    digits = problem("digits", config.seed)
    curves = {
        "AdamW": trained(lambda ps, steps: torch.optim.AdamW(ps, lr=1e-3), digits),
        "Evolved": trained(lambda ps, steps: evolved.Evolved(ps, total=steps), digits),
    }
    table(curves)
    say("[dim]AdamW runs at its defaults and without a schedule: this shows that all works, not that anything wins.[/]")

    search = config.search
    heading("3. Search", f"{search.population} rules, bred for {search.generations} generations")
    store = create(config, folder)
    run(store, config, make_listener(Console()))
    say()
    for line in hall_lines(store, 5):
        say(line, markup=False)

    heading("4. Result", f"the best rule of the search, trained like the others ({STEPS} steps)")
    best = write_best(store)
    assert best is not None
    curves["Bred"] = trained(optimizer_of(best.read_text()), digits)
    table(curves)
    plot(curves, store, folder / "demo.png")

    seconds = time.perf_counter() - start
    say(f"\n[dim]{seconds:.0f} seconds. Accuracy is on training images set aside; no test split was read.[/]")
    closing(folder)


# ---------------------------------------------------------------- the steps


def next_folder(runs: Path) -> Path:
    number = 1
    while (runs / f"demo-{number}").exists():
        number += 1
    return runs / f"demo-{number}"


def shown(path: Path) -> str:
    """A path as a user in the repository would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def compiled(folder: Path) -> ModuleType:
    """The module that `optc compile` writes, imported."""
    say(f"[dim]$ optc compile {shown(RULE)} -o {folder}[/]")
    command = [sys.executable, "-c", "from optc.compiler.cli import main; main()", "compile", RULE, "-o", folder]
    subprocess.run(list(map(str, command)), check=True)
    spec = importlib.util.spec_from_file_location("evolved", folder / "evolved.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evolved"] = module
    spec.loader.exec_module(module)
    return module


def trained(make_optimizer: MakeOptimizer, digits: Problem) -> list[Curve]:
    return [train(make_optimizer, digits, steps=STEPS, batch_size=BATCH, seed=seed) for seed in SEEDS]


def mean_loss(curves: list[Curve]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(curve.losses) for curve in curves]).mean(0)


def table(curves: Mapping[str, list[Curve]]) -> None:
    """The loss on the way, then accuracy and the search's fitness at the end."""
    steps = "".join(f"{f'step {step}':>10}" for step in SHOWN)
    say(f"[bold]{'loss':10}{steps}{'accuracy':>11}{'fitness':>10}[/]")
    for name, runs in curves.items():
        losses = "".join(f"{mean_loss(runs)[step - 1]:10.4f}" for step in SHOWN)
        accuracy = sum(curve.accuracy for curve in runs) / len(runs)
        score = sum(map(fitness, runs)) / len(runs)
        say(f"{name:10}{losses}{accuracy:11.1%}{score:10.4f}")


def heading(title: str, text: str) -> None:
    say(f"\n[bold cyan]{title}[/]  {text}")


def closing(folder: Path) -> None:
    say("\n[bold cyan]Written[/]")
    for name, what in (
        ("evolved.py", "the compiled rule: readable, stands alone, needs torch and triton only"),
        ("best.opt", "the best rule that the search found"),
        ("demo.png", "training curves, and fitness over generations"),
    ):
        say(f"  {folder / name!s:24} {what}")
    say("\n[bold cyan]Next[/]")
    for command, what in (
        (f"optc compile {folder / 'best.opt'}", "compile what you bred"),
        (f"optsearch export {folder}", "all of its best rules, and every individual as CSV"),
        ("optsearch run examples/mnist.toml", "search on MNIST (downloads it)"),
    ):
        say(f"  {command:38} {what}")


# ---------------------------------------------------------------- the plot


COLOURS = {"AdamW": "#7a828e", "Evolved": "#2563a8", "Bred": "#c4501b"}
SMOOTHED = 15


def plot(curves: Mapping[str, list[Curve]], store: Store, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    for name, runs in curves.items():
        smooth = mean_loss(runs).unfold(0, SMOOTHED, 1).mean(1)
        steps = range(SMOOTHED, STEPS + 1)
        left.plot(steps, smooth, color=COLOURS[name], linewidth=1.8, label=name)
        left.annotate(name, (STEPS, float(smooth[-1])), (4, 0), textcoords="offset points",
                      color=COLOURS[name], va="center")  # fmt: skip
    left.set(yscale="log", xlabel="step", ylabel=f"training loss (mean of {SMOOTHED} steps)")
    left.set_title("Training on handwritten digits", loc="left", fontweight="bold")

    right.set_title("The search", loc="left", fontweight="bold")
    draw_search(right, store)
    figure.savefig(path, dpi=150)


def draw_search(axes: Axes, store: Store) -> None:
    """Every individual, and the best so far; the hopeless ones are marks on the lower edge."""
    best = store.best_by_generation()
    floor = best[0] - 4 * (best[-1] - best[0] + 0.01)
    everyone = [(i.generation, i.fitness) for i in store.individuals() if i.fitness is not None]
    for marker, label, shown in (
        ("o", "individuals", [(g, f) for g, f in everyone if f >= floor]),
        ("v", f"below {floor:.2f}", [(g, floor) for g, f in everyone if f < floor]),
    ):
        if shown:
            axes.scatter(*zip(*shown, strict=True), s=16, marker=marker, color="#b6bcc6", linewidths=0, label=label)
    axes.plot(range(len(best)), best, color=COLOURS["Bred"], linewidth=1.8, marker="o", markersize=4, label="best")
    for generation in (0, len(best) - 1):
        axes.annotate(f"{best[generation]:.4f}", (generation, best[generation]), (0, 7), textcoords="offset points",
                      ha="center", color=COLOURS["Bred"])  # fmt: skip
    axes.set(xlabel="generation", ylabel="fitness")
    axes.margins(x=0.08, y=0.12)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)


if __name__ == "__main__":
    main()
