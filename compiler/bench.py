"""Measures a compiled rule beside other optimizers, in interleaved rounds, and beside the machine's own copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from ..dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ..dsl.load import zoo
from .load import load, rule_of

Make = Callable[[list[Tensor]], torch.optim.Optimizer]


def _gpt2(layers: int = 12, width: int = 768, words: int = 50257, places: int = 1024) -> list[tuple[int, ...]]:
    block = [(width, 3 * width), (3 * width,), (width, width), (width,), (width, 4 * width), (4 * width,)]
    block += [(4 * width, width), (width,), *[(width,)] * 4]
    return [(words, width), (places, width), *block * layers, (width,), (width,)]


def _resnet50() -> list[tuple[int, ...]]:
    from torchvision.models import resnet50

    with torch.device("meta"):
        return [tuple(p.shape) for p in resnet50().parameters()]


SHAPES: dict[str, Callable[[], list[tuple[int, ...]]]] = {
    "many-small": lambda: [(64, 64)] * 1000,
    "one-large": lambda: [(16_000_000,)],
    "resnet50": _resnet50,
    "gpt2": _gpt2,
}
OURS: dict[str, dict[str, Any]] = {
    "auto": {},
    "eager": {"backend": "torch"},
    "compiled": {"backend": "torch", "compile": True},
}
THEIRS: dict[str, dict[str, Any]] = {"auto": {}, "fused": {"fused": True}, "foreach": {"foreach": True}, "compiled": {}}


@dataclass
class Subject:
    """An optimizer on its own parameters, and the seconds that its steps took."""

    name: str
    step: Callable[[], Any]
    bytes: int
    seconds: list[float] = field(default_factory=list)

    def row(self, copy: float) -> dict[str, Any]:
        """Milliseconds, and bytes a second as a fraction of a copy's."""
        low, middle, high = quantiles(self.seconds, n=4)
        rate = self.bytes / middle
        return {
            "name": self.name,
            "median_ms": 1e3 * median(self.seconds),
            "spread_ms": 1e3 * (high - low),
            "gigabytes_per_s": rate / 1e9,
            "of_copy": rate / copy,
        }


def makers(name: str, settings: Mapping[str, Any]) -> Make:
    """What `torch:adamw:fused`, `zoo:lion:compiled` or a path of a rule stands for. Raises OptError."""
    home, _, rest = name.partition(":") if name.startswith(("torch:", "zoo:")) else ("file", "", name)
    plain, _, how = rest.partition(":")
    ways = THEIRS if home == "torch" else OURS
    if (how or "auto") not in ways:
        raise OptError(Diagnostic("E404", f"`{name}`: how may be {', '.join(ways)}", NOWHERE))
    options = dict(ways[how or "auto"])
    if home == "torch":
        known = {c.lower(): getattr(torch.optim, c) for c in dir(torch.optim) if c[0].isupper()}
        if plain.lower() not in known:
            raise OptError(Diagnostic("E006", f"torch.optim has no `{plain}`", NOWHERE))
        made: Any = known[plain.lower()]
        return lambda params: made(params, **options)
    ours: Any = load(zoo(plain) if home == "zoo" else rule_of(Path(plain)))
    return lambda params: ours(params, **settings, **options)


def subject(name: str, make: Make, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, device: str) -> Subject:
    """An optimizer with parameters and gradients of its own, warmed up by two steps."""
    params = [torch.randn(s, dtype=dtype, device=device).requires_grad_() for s in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    optimizer = make(params)
    step: Callable[[], Any] = (
        torch.compile(optimizer.step) if name.endswith(":compiled") and "torch:" in name else optimizer.step
    )
    for _ in range(2):
        step()
    states = [x for p in params for x in optimizer.state[p].values() if isinstance(x, Tensor) and x.numel() > 1]
    moved = sum(3 * p.nbytes for p in params) + sum(2 * x.nbytes for x in states)
    return Subject(name, step, moved)


def measure(subjects: Sequence[Subject], rounds: int, device: str) -> None:
    """One step of each, round after round, so that whatever else the machine does falls on all of them."""
    for _ in range(rounds):
        for s in subjects:
            _wait(device)
            start = time.perf_counter()
            s.step()
            _wait(device)
            s.seconds.append(time.perf_counter() - start)


def copy_bandwidth(size: int, rounds: int, device: str) -> float:
    """Bytes a second that a copy reads and writes, at its best."""
    source = torch.randn(max(size // 8, 1 << 20), device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(rounds):
        _wait(device)
        start = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
