"""Holds a compiled rule against the interpreter: the same random steps on both, for every backend and dtype."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..dsl import interpret
from ..dsl.matrices import rounded
from ..dsl.rule import Rule, Value
from ..dsl.simplify import simplify
from ..dsl.syntax import Cast, Matrix, Node, walk
from .emit_class import quantised
from .load import load
from .lower import lower
from .plan import Plan

SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (6, 4), (4, 4), (1030,), (7,), (), (2, 3, 4))
FULL_RANK: tuple[tuple[int, ...], ...] = ((4, 4), (2, 3, 3))
"""For rules with matrix operations: elsewhere bases of null spaces are anybody's choice."""

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Half an ulp of 1: what one rounding may add."""


@dataclass(frozen=True)
class Check:
    """One backend and dtype: the largest error, relative to 1 + |theta|, and the largest that rounding explains.

    `skipped` says in words why there was nothing to measure.
    """

    backend: str
    dtype: str
    error: float = 0.0
    tolerance: float = 0.0
    skipped: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.skipped) or self.error <= self.tolerance


def verify(rule: Rule, given: Mapping[str, Value], steps: int = 20) -> Iterator[Check]:
    """Checks of every backend, one after the other.

    `given` are hyperparameters. Raises TypeError or ValueError where they do not fit the rule.
    """
    settings = interpret.settings(rule, **given)
    plan = lower(simplify(rule))
    for backend in ("torch", "triton"):
        for dtype in ("float64", "float32", "bfloat16"):
            why = _cannot(plan, backend)
            yield Check(backend, dtype, skipped=why) if why else _check(rule, plan, settings, backend, dtype, steps)


def _cannot(plan: Plan, backend: str) -> str:
    from .emit_triton import refusal

    if quantised(plan):
        return "states of one byte round far more than arithmetic does, and the interpreter rounds none"
    if backend == "torch":
        return ""
    if (why := refusal(plan)) is not None:
        return why
    runs = torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"
    return "" if runs else "no GPU here; TRITON_INTERPRET=1 runs the kernel without one"


def _parts(rule: Rule) -> list[Node]:
    return [part for s in rule.body for part in walk(s)]


def _has_matrices(rule: Rule) -> bool:
    return any(isinstance(part, Matrix) for part in _parts(rule))


def tolerance(rule: Rule, dtype: str, steps: int) -> float:
    """A few roundings of arithmetic a step, one of each `cast`, and the last one as the parameter is stored."""
    arithmetic = UNIT["float64" if dtype == "float64" else "float32"] * (1e3 if _has_matrices(rule) else 1.0)
    casts = [UNIT.get(part.dtype, 0.0) for part in _parts(rule) if isinstance(part, Cast)]
    return 16 * steps * arithmetic + sum(casts) + 4 * UNIT[dtype]


def _check(rule: Rule, plan: Plan, settings: dict[str, Value], backend: str, dtype: str, steps: int) -> Check:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    draw = np.random.default_rng(0)
    candidates = FULL_RANK if _has_matrices(rule) else SHAPES
    shapes = [s for s in candidates if interpret.serves(rule, settings, np.zeros(s))]
    thetas = [rounded(draw.standard_normal(s), dtype) for s in shapes]
    states = [interpret.initial_states(rule, settings, x) for x in thetas]
    params = [torch.tensor(x, dtype=getattr(torch, dtype), device=device, requires_grad=True) for x in thetas]
    made: Any = load(rule)(params, backend=backend, **settings)  # type: ignore[call-arg, arg-type]
    noise = _noise(sys.modules[type(made).__module__]) if plan.noisy else None
    worst = 0.0
    for t in range(1, steps + 1):
        gs = [rounded(draw.standard_normal(s), dtype) for s in shapes]
        extra = {name: [rounded(draw.standard_normal(s), dtype) for s in shapes] for name in rule.inputs}
        for p, g in zip(params, gs, strict=True):
            p.grad = torch.tensor(g, dtype=p.dtype, device=device)
        on_device = {n: [torch.tensor(x, dtype=params[0].dtype, device=device) for x in xs] for n, xs in extra.items()}
        made.step(inputs=on_device)
        thetas, states = interpret.step_all(rule, settings, thetas, gs, states, [t] * len(gs), extra, noise)
        thetas = [rounded(x, dtype) for x in thetas]
        worst = max(worst, *(_error(p, x) for p, x in zip(params, thetas, strict=True)))
    return Check(backend, dtype, worst, tolerance(rule, dtype, steps))


def _error(p: torch.Tensor, x: Any) -> float:
    ours = p.detach().double().cpu().numpy()
    same = (ours == x) | (np.isnan(ours) & np.isnan(x))
    with np.errstate(all="ignore"):
        apart = np.where(same, 0.0, np.abs(ours - x) / (1 + np.abs(x)))
    return float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0.0))


def _noise(module: Any) -> interpret.NoiseSource:
    """The module's own random numbers: which they are is not what is judged here."""

    def drawn(index: int, place: int, t: int, shape: tuple[int, ...]) -> Any:
        like = torch.zeros(shape, dtype=torch.float64)
        return module.noise(like, torch.tensor([0, place, t]), index).numpy()

    return drawn
