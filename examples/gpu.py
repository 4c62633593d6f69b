"""Every figure that the compiler is meant to reach on an H200-class GPU, measured in one run and written as one JSON.

All take turns in rounds of several steps on end: in training, too, nothing waits for the GPU after each. Targets are
for a GPU and full sizes; elsewhere `reached` is null. On a GPU each figure has a process and a time limit of its own,
since what fails on a GPU may end the process, and what was measured is written at once.

    python examples/gpu.py --out docs/results/NAME.json
    python examples/gpu.py --device cpu --small --out X.json     # tries the script itself, on any machine
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from timeit import Timer
from typing import Any

import torch
import triton

import optc
from optc.compiler import bench
from optc.compiler.bench_shapes import SHAPES, Shapes

Row = dict[str, Any]
FUSED = "torch:adamw:fused"
STEPS = 10  # of each in a round
LIMIT, LIMIT_OF_ONE = 500.0, 100.0  # seconds for all figures, and for one
RULES: dict[str, dict[str, Any]] = {"adamw": {}, "lion": {}, "evolved": {"total": 1_000_000}}


@dataclass(frozen=True)
class Setup:
    """Where and how much. `how` is the way in which `optc bench` would have our rules stepped."""

    device: str
    small: bool
    how: str
    rounds: int

    def row(self, name: str, value: float, unit: str, target: float | None, **more: Any) -> Row:
        """One figure. Shares and multiples have to reach their target, times to stay within it."""
        within = unit in ("us", "s")
        judged = self.device == "cuda" and not self.small
        reached = (value <= target if within else value >= target) if target is not None and judged else None
        goal = "no target" if target is None else f"at {'most' if within else 'least'} {target:g}"
        return {"measured": name, "value": value, "unit": unit, "target": goal, "reached": reached, **more}


def interleaved(setup: Setup, makes: dict[str, bench.Make], shapes: Shapes, dtype: torch.dtype) -> list[Row]:
    """A row of `optc bench` for each, its times those of one step, with what it stepped and the copy's bandwidth."""
    bench.expect_memory(makes, shapes, dtype, setup.device)
    ours = [bench.subject(name, make, shapes, dtype, setup.device) for name, make in makes.items()]
    copy = bench.copying(max(s.bytes for s in ours), setup.device)
    on_end = [replace(s, step=partial(Timer(s.step).timeit, STEPS)) for s in [*ours, copy]]
    bench.measure(on_end, setup.rounds, setup.device)
    for s in on_end:
        s.seconds = [x / STEPS for x in s.seconds]
    rate = on_end[-1].rate
    size = {"tensors": len(shapes), "parameters": sum(map(math.prod, shapes)), "copy_gigabytes_per_s": rate / 1e9}
    return [s.row(rate, on_end[0]) | size for s in on_end[:-1]]


def bandwidth(setup: Setup, dtype: torch.dtype, rules: dict[str, Row], target: float | None = None) -> Iterator[Row]:
    """Of bytes that a step must move in a second, as a fraction of what a copy moves: 256M parameters in one tensor."""
    makes = {rule: bench.makers(f"zoo:{rule}:{setup.how}", settings) for rule, settings in rules.items()}
    for row in interleaved(setup, makes, [(4096 if setup.small else 256_000_000,)], dtype):
        what, own = f"{row['name']}, {str(dtype).removeprefix('torch.')}", rules[row["name"]]
        yield setup.row(what, row["of_copy"], "of a copy's bandwidth", target, settings=own, bench=[row])


def against_fused(setup: Setup, of: Callable[[], Shapes], target: float, apart: bool = False) -> Iterator[Row]:
    """torch's fused AdamW's time as a multiple of ours, float32; `apart` gives each tensor a group of its own."""
    makes = {n: bench.makers(n, {}) for n in (f"zoo:adamw:{setup.how}", FUSED)}
    makes = {n: grouped(make) for n, make in makes.items()} if apart else makes
    rows = interleaved(setup, makes, [(16, 16)] * 10 if setup.small else of(), torch.float32)
    yield setup.row("adamw, float32", rows[1]["times_first"], f"times as fast as {FUSED}", target, bench=rows)


def grouped(make: Any) -> bench.Make:
    return lambda params: make([{"params": [p]} for p in params])


def host_time(setup: Setup) -> Iterator[Row]:
    """Microseconds until a step returns; on a CPU, of one on tensors of one element, where little is to be computed."""
    shapes: Shapes = [(64, 64) if setup.device == "cuda" else (1,)] * 300
    names = (f"zoo:adamw:{setup.how}", FUSED)
    both = [bench.subject(n, bench.makers(n, {}), shapes, torch.float32, setup.device) for n in names]
    for i in range(10 * setup.rounds):
        for s in both if i % 2 else reversed(both):
            bench.wait(setup.device)
            start = time.perf_counter()
            s.step()
            s.seconds.append(time.perf_counter() - start)
    ours, fused = (s.row(1.0, both[0]) for s in both)
    beside = {f"{FUSED}_{key}": fused[key] for key in ("median_ms", "times_first", "times_first_quartiles")}
    yield setup.row("adamw, 300 tensors where they were", 1e3 * ours["median_ms"], "us", 60.0, **beside)


def compile_time(setup: Setup) -> Iterator[Row]:
    """Seconds from the zoo's AdamW to the end of its first step, in two new processes: caches empty, then filled."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"OPTC_CACHE": f"{folder}/optc", "TRITON_CACHE_DIR": f"{folder}/triton"}
        command = [sys.executable, __file__, "--first-step", "--device", setup.device, *["--small"] * setup.small]
        for when, target in (("cold", 2.0), ("from the cache", 0.02)):
            done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=60)
            if done.returncode:
                raise ValueError(f"a new process could not step: {(done.stderr.strip() or 'no word').splitlines()[-1]}")
            parts = json.loads(done.stdout.splitlines()[-1])
            yield setup.row(f"adamw, {when}", sum(parts.values()), "s", target, **parts)


def first_step(setup: Setup) -> dict[str, float]:
    """What loading and the first step take this process, once another rule has paid for imports and the GPU's start."""
    spent = {}
    for rule in ("sgd", "adamw"):
        p = torch.zeros(5000, device=setup.device, requires_grad=True)
        p.grad = torch.ones_like(p)
        bench.wait(setup.device)
        start = time.perf_counter()
        made: Any = optc.load(optc.zoo(rule))
        loaded = time.perf_counter()
        made([p], **bench.OURS[setup.how]).step()
        bench.wait(setup.device)
        spent = {"load_s": loaded - start, "step_s": time.perf_counter() - loaded}
    return spent


FIGURES: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "256M, float32": partial(bandwidth, dtype=torch.float32, rules=RULES, target=0.92),
    "256M, bfloat16": partial(bandwidth, dtype=torch.bfloat16, rules=RULES, target=0.92),
    "ResNet-50": partial(against_fused, of=SHAPES["resnet50"], target=1.0),
    "GPT-2": partial(against_fused, of=SHAPES["gpt2"], target=1.0),
    "1,000 tensors of 4,096": partial(against_fused, of=SHAPES["many-small"], target=1.5),
    "400 groups of 4,096": partial(against_fused, of=lambda: [(64, 64)] * 400, target=5.0, apart=True),
    "host time": host_time,
    "compile time": compile_time,
    "256M, 8 bits": partial(bandwidth, dtype=torch.float32, rules={"adamw": {"state_dtype": "8bit"}}),
    "256M, stochastic": partial(bandwidth, dtype=torch.bfloat16, rules={"adamw": {"rounding": "stochastic"}}),
}
WORDS = {None: "not judged", True: "reached", False: "NOT REACHED"}


def run(setup: Setup, out: Path, names: Iterable[str], rows_of: Callable[[Setup, str], Iterator[Row]]) -> bool:
    """Measures, and writes after each row, so that a run cut short keeps what it has. Whether none failed."""
    result: Row = about_here(setup) | {"figures": [], "failed": {}}
    for name in names:
        try:
            for row in rows_of(setup, name):
                result["figures"].append({"figure": name, **row})
                out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except Exception as error:  # whatever a GPU or its compiler raises costs this figure alone
            result["failed"][name] = f"{type(error).__name__}: {error}"
            print(f"{name}: not measured: {error}", file=sys.stderr)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return not result["failed"]


def here(setup: Setup, name: str) -> Iterator[Row]:
    """A figure's rows, measured in this process."""
    for row in FIGURES[name](setup):
        what = f"{name}: {row['measured']}: {row['value']:.4g} {row['unit']}"
        print(f"{what}; {row['target']}: {WORDS[row['reached']]}", flush=True)
        yield row


def apart(setup: Setup, name: str, until: float) -> Iterator[Row]:
    """A figure's rows from a new process, those before a fault too. Raises what ended it; `until` is on our clock."""
    seconds = min(LIMIT_OF_ONE, until - time.monotonic())
    if seconds <= 0:
        raise TimeoutError("no time was left")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figure.json"
        command = [sys.executable, __file__, "--figure", name, "--device", setup.device, "--out", str(out)]
        try:
            ended = subprocess.run([*command, *["--small"] * setup.small], timeout=seconds).returncode
            words = f"its process ended with {ended}" if ended else ""
        except subprocess.TimeoutExpired:
            words = f"it took more than {seconds:.0f} s"
        result = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"figures": [], "failed": {}}
    yield from ({key: x for key, x in row.items() if key != "figure"} for row in result["figures"])
    if words:
        raise RuntimeError(result["failed"].get(name, words))


def about_here(setup: Setup) -> Row:
    name = torch.cuda.get_device_name() if setup.device == "cuda" else f"CPU, threads: {torch.get_num_threads()}"
    versions = {"torch": torch.__version__, "triton": triton.__version__, "cuda": torch.version.cuda}
    command = " ".join(["python examples/gpu.py", *sys.argv[1:]])
    about = {"command": command, "device_name": name, "versions": versions | {"python": platform.python_version()}}
    return about | vars(setup) | {"steps_a_round": STEPS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/results/gpu.json"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes and few rounds, to try the script")
    parser.add_argument("--figure", choices=FIGURES, action="append", help="this alone; may be repeated")
    parser.add_argument("--first-step", action="store_true", help="only print what a first step takes this process")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU on this machine; --device cpu --small tries the script without one")
    how = "triton" if given.device == "cuda" else "eager" if given.small else "auto"
    setup = Setup(given.device, given.small, how, 4 if given.small else 30)
    if given.first_step:
        return print(json.dumps(first_step(setup)))
    bench.WARM = 0.0 if given.small else bench.WARM
    given.out.parent.mkdir(parents=True, exist_ok=True)
    names = given.figure or list(FIGURES)
    rows_of = partial(apart, until=time.monotonic() + LIMIT) if given.device == "cuda" and len(names) > 1 else here
    sys.exit(0 if run(setup, given.out, names, rows_of) else 1)


if __name__ == "__main__":
    main()
