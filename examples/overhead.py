"""What a search spends outside training: a real run of the paper's space, its report included, under a stopwatch.

One process does everything in turn, so what is not training is breeding, gates, keys, compiling, reading the data and
writing down. The first runs also pay for what happens once: importing, and the first file of each structure.

    python examples/overhead.py [--task mnist] [--steps 500] [--population 6] [--generations 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from optc.search.config import checked
from optc.search.report.page import write_page
from optc.search.runs import run as runs
from optc.search.runs import scorer
from optc.search.runs.progress import make_listener
from optc.search.training import evaluate

TIMED: dict[str, tuple[ModuleType, str]] = {
    "training": (evaluate, "train_together"),
    "compiling": (evaluate, "optimizer_of"),
    "keys": (scorer, "key_of"),
}
"""What is timed: a function that a module calls."""


def timed(seconds: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - start

    return wrapped


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--task", default="mnist")
    arguments.add_argument("--steps", type=int, default=500)
    arguments.add_argument("--population", type=int, default=6)
    arguments.add_argument("--generations", type=int, default=2)
    arguments.add_argument("--json", type=Path, help="write the figures there")
    given = arguments.parse_args()
    search = {"space": "paper", "population": given.population, "generations": given.generations, "elites": 1}
    training = {"tasks": [given.task], "steps": given.steps, "seeds": 1, "batch": 128, "precision": "bfloat16"}
    machine = {"pool": "inline", "cache": False}
    config = checked({"search": search | {"tournament": 2}, "training": training, "machine": machine}, "here")
    seconds = dict.fromkeys(TIMED, 0.0)
    for name, (module, function) in TIMED.items():
        setattr(module, function, timed(seconds, name, getattr(module, function)))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store = runs.create(config, Path(folder) / "run")
        runs.run(store, config, make_listener(Console()))
        write_page(store, Path(folder) / "report.html")
        store.close()
        total = time.perf_counter() - start
    seconds["all else"] = total - sum(seconds.values())
    for name, spent in seconds.items():
        print(f"{name:10} {spent:8.2f} s {100 * spent / total:6.2f} %")
    if given.json:
        shares = {name: round(spent / total, 5) for name, spent in seconds.items()}
        figures = {"command": f"python {' '.join(sys.argv)}", "seconds": round(total, 2), "shares": shares}
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
