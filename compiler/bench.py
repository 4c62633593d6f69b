"""Measures a compiled rule beside other optimizers, in interleaved rounds, and beside the machine's own copy."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.utils._python_dispatch import TorchDispatchMode

from ..dsl.diagnostics import NOWHERE, Diagnostic, OptError
from ..dsl.load import zoo
from ..dsl.rule import Rule
from .cli.files import rule_of
from .load import load

Make = Callable[[list[Tensor]], torch.optim.Optimizer]


OURS: dict[str, dict[str, Any]] = {
    "auto": {},
    "eager": {"backend": "torch", "compile": False},
    "compiled": {"backend": "torch", "compile": True},
    "native": {"backend": "native"},
    "triton": {"backend": "triton"},
}
THEIRS: dict[str, dict[str, Any]] = {"auto": {}, "fused": {"fused": True}, "foreach": {"foreach": True}, "compiled": {}}

WARM = 0.5
"""Seconds of steps before the first that counts: code that is compiled behind them is ready by then."""


@dataclass
class Subject:
    """An optimizer on its own parameters, and what its steps took, in seconds.

    `bytes` are read and written by a step that does nothing twice; `launches` are kernels on a GPU, and on a CPU the
    torch operations that a step calls; `host` is what a step takes beside its arithmetic.
    """

    name: str
    step: Callable[[], Any]
    bytes: int
    launches: int = 0
    host: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / median(self.seconds)

    def row(self, copy: float, first: Subject) -> dict[str, Any]:
        """Milliseconds, bytes a second, also as a fraction of a copy's, and time as a multiple of the first's.

        That multiple is the median of the rounds' own, and its quartiles: whatever slows a round slows both.
        """
        low, _, high = quantiles(self.seconds, n=4)
        paired = [mine / other for mine, other in zip(self.seconds, first.seconds, strict=True)]
        quarters = quantiles(paired, n=4)
        return {
            "name": self.name,
            "median_ms": 1e3 * median(self.seconds),
            "spread_ms": 1e3 * (high - low),
            "host_ms": 1e3 * self.host,
            "launches": self.launches,
            "gigabytes_per_s": self.rate / 1e9,
            "of_copy": self.rate / copy,
            "times_first": median(paired),
            "times_first_quartiles": [quarters[0], quarters[2]],
        }


def named(name: str) -> Rule:
    """The rule that `zoo:lion:compiled` or a path stands for. Raises OptError."""
    home, plain, _ = _said(name)
    return zoo(plain) if home == "zoo" else rule_of(plain)


def _said(name: str) -> tuple[str, str, str]:
    """Where an optimizer comes from, what it is called there, and how it is stepped."""
    home, _, rest = name.partition(":") if name.startswith(("torch:", "zoo:")) else ("file", "", name)
    plain, _, how = rest.partition(":")
    return home, plain, how


def makers(name: str, settings: Mapping[str, Any]) -> Make:
    """What `torch:adamw:fused`, `zoo:lion:compiled` or a path of a rule stands for. Raises OptError."""
    home, plain, how = _said(name)
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
    ours: Any = load(named(name))
    return lambda params: ours(params, **settings, **options)


def subject(name: str, make: Make, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, device: str) -> Subject:
    """An optimizer with parameters and gradients of its own, warm. Raises ValueError where it cannot step these."""
    try:
        step, moved = stepper(name, make, shapes, dtype, device)
        warm(step, device)
        made = Subject(name, step, moved, launches(step, device))
        made.host = host_seconds(name, make, step, len(shapes), dtype, device)
    except (NotImplementedError, RuntimeError) as error:
        words = str(error).strip().splitlines()[0]
        raise ValueError(f"{name} cannot step {str(dtype).removeprefix('torch.')} on {device}: {words}") from error
    return made


def stepper(
    name: str, make: Make, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, device: str
) -> tuple[Callable[[], Any], int]:
    """A function that steps, and the bytes that it must move: states are read and written, gradients only read."""
    params = [torch.randn(s, dtype=dtype, device=device).requires_grad_() for s in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    optimizer = make(params)
    compiled = name.startswith("torch:") and name.endswith(":compiled")
    step: Callable[[], Any] = torch.compile(optimizer.step) if compiled else optimizer.step
    step()
    states = [x for p in params for x in optimizer.state[p].values() if isinstance(x, Tensor) and x.numel() > 1]
    return step, sum(3 * p.nbytes for p in params) + sum(2 * x.nbytes for x in states)


def warm(step: Callable[[], Any], device: str) -> None:
    start = time.perf_counter()
    while time.perf_counter() - start < WARM:
        step()
        wait(device)


class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of torch that are called while it lasts."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def launches(step: Callable[[], Any], device: str) -> int:
    """Kernels of one step on a GPU; on a CPU operations of torch."""
    if device != "cuda":
        with (calls := Calls()):  # type: ignore[no-untyped-call]
            step()
        return calls.count
    with torch.autograd.profiler.profile(use_device="cuda") as seen:
        step()
        wait(device)
    on_gpu = [e for e in seen.function_events or [] if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    return sum(not e.name.startswith(("Memcpy", "Memset")) for e in on_gpu)


def host_seconds(
    name: str, make: Make, step: Callable[[], Any], count: int, dtype: torch.dtype, device: str, rounds: int = 9
) -> float:
    """What a step takes beside its arithmetic: until it returns, and on a CPU on as many tensors of one element."""
    if device != "cuda":
        step, _ = stepper(name, make, [(1,)] * count, dtype, device)
    out = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        step()
        out.append(time.perf_counter() - start)
    return median(out)


def expect_memory(
    makes: Mapping[str, Make], shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, device: str
) -> None:
    """Raises ValueError where all subjects together need more memory than there is."""
    elements = sum(math.prod(shape) for shape in shapes)
    needed = sum(elements * _bytes_an_element(make, dtype) for make in makes.values()) + 28 * elements
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else _free()
    if needed > free:
        need = f"{elements / 1e6:.0f}M parameters need {needed / 2**30:.1f} GiB for {len(makes)} optimizers"
        raise ValueError(f"{need}, and {free / 2**30:.1f} GiB are free; fewer of them need less")


def _bytes_an_element(make: Make, dtype: torch.dtype) -> float:
    p = torch.zeros(64, 64, dtype=dtype).requires_grad_()
    p.grad = torch.zeros_like(p)
    optimizer = make([p])
    try:
        optimizer.step()
    except RuntimeError:  # it will say why where it counts
        return 2 * p.itemsize
    states = [x for x in optimizer.state[p].values() if isinstance(x, Tensor) and x.numel() > 1]
    return 2 * p.itemsize + sum(x.nbytes for x in states) / p.numel()


def _free() -> int:
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        return 1024 * int(text.split("MemAvailable:")[1].split()[0])
    except (OSError, IndexError, ValueError):  # no Linux: then the system will say so itself
        return sys.maxsize


def measure(subjects: Sequence[Subject], rounds: int, device: str) -> None:
    """One step of each, round after round, so that whatever else the machine does falls on all of them.

    Every other round goes backwards, so that none always finds the caches as the same other left them.
    """
    for i in range(rounds):
        for s in subjects if i % 2 == 0 else reversed(subjects):
            wait(device)
            start = time.perf_counter()
            s.step()
            wait(device)
            s.seconds.append(time.perf_counter() - start)


def copying(size: int, device: str) -> Subject:
    """A copy that moves about as many bytes as a step, to be measured in the same rounds."""
    source = torch.randn(max(size // 8, 1 << 20), device=device)
    target = torch.empty_like(source)
    return Subject("copy", lambda: target.copy_(source), 2 * source.nbytes)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
