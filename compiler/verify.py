"""Holds a compiled rule against the interpreter: the same random steps on both, for every backend and dtype."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..dsl.algebra.simplify import simplify
from ..dsl.meaning import interpret
from ..dsl.meaning.matrices import rounded
from ..dsl.rule import Rule, Value
from ..dsl.text.syntax import Cast, Matrix, Node, walk
from .emit.optimizer_class import quantised
from .load import load
from .plan.lower import lower
from .plan.plan import Plan
from .plan.variants import variants
from .runtime.cc import compiled_c

SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (6, 4), (4, 4), (1030,), (7,), (), (2, 3, 4))
FULL_RANK: tuple[tuple[int, ...], ...] = ((4, 4), (2, 3, 3))
"""For rules with matrix operations: elsewhere bases of null spaces are anybody's choice."""

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Half an ulp of 1: what one rounding may add."""


DTYPES = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Check:
    """One backend and dtype: the largest error, relative to 1 + |theta|, and the largest that rounding explains.

    `skipped` says in words why there was nothing to measure, `changed` which setting was not the given one.
    """

    backend: str
    dtype: str
    error: float = 0.0
    tolerance: float = 0.0
    skipped: str = ""
    changed: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.skipped) or self.error <= self.tolerance


def verify(rule: Rule, given: Mapping[str, Value], steps: int = 20) -> Iterator[Check]:
    """Checks of every backend, one after the other; in float32 also under settings that take other branches.

    `given` are hyperparameters. Raises TypeError or ValueError where they do not fit the rule.
    """
    settings = interpret.settings(rule, **given)
    plan = lower(simplify(rule))
    for backend in ("torch", "native", "triton"):
        if why := _cannot(plan, backend):
            yield from (Check(backend, dtype, skipped=why) for dtype in DTYPES)
            continue
        for dtype in DTYPES:
            yield _check(rule, plan, settings, backend, dtype, steps)
        for other in variants(rule, settings, _shapes(rule, settings)):
            changed = ", ".join(f"{name}={value:g}" for name, value in other.items() if value != settings[name])
            check = _check(rule, plan, other, backend, "float32", min(steps, 4))
            yield replace(check, changed=changed)


def _cannot(plan: Plan, backend: str) -> str:
    from .emit import native as emit_native
    from .emit import triton as emit_triton

    if quantised(plan):
        return "states of one byte round far more than arithmetic does, and the interpreter rounds none"
    if backend == "torch":
        return ""
    if backend == "native":
        return emit_native.refusal(plan) or _no_compiler()
    if (why := emit_triton.refusal(plan)) is not None:
        return why
    runs = torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"
    return "" if runs else "no GPU here; TRITON_INTERPRET=1 runs the kernel without one"


def _no_compiler() -> str:
    code = compiled_c("void step(void) {}\n", ())
    return "" if code.get(wait=True) is not None else code.reason


def _parts(rule: Rule) -> list[Node]:
    return [part for s in rule.body for part in walk(s)]


def _has_matrices(rule: Rule) -> bool:
    return any(isinstance(part, Matrix) for part in _parts(rule))


def tolerance(rule: Rule, dtype: str, steps: int) -> float:
    """A few roundings of arithmetic a step, one of each `cast`, and the last one as the parameter is stored."""
    arithmetic = UNIT["float64" if dtype == "float64" else "float32"] * (1e3 if _has_matrices(rule) else 1.0)
    casts = [UNIT.get(part.dtype, 0.0) for part in _parts(rule) if isinstance(part, Cast)]
    return 16 * steps * arithmetic + sum(casts) + 4 * UNIT[dtype]


def _shapes(rule: Rule, settings: Mapping[str, Value]) -> list[tuple[int, ...]]:
    candidates = FULL_RANK if _has_matrices(rule) else SHAPES
    return [s for s in candidates if interpret.serves(rule, settings, np.zeros(s))]


def _check(rule: Rule, plan: Plan, settings: Mapping[str, Value], backend: str, dtype: str, steps: int) -> Check:
    draw = np.random.default_rng(0)
    shapes = _shapes(rule, settings)
    model = _Model(rule, plan, settings, backend, dtype, [rounded(draw.standard_normal(s), dtype) for s in shapes])
    worst = 0.0
    for t in range(1, steps + 1):
        gs = [rounded(draw.standard_normal(s), dtype) for s in shapes]
        extra = {name: [rounded(draw.standard_normal(s), dtype) for s in shapes] for name in rule.inputs}
        missing = {t % 5} if t % 2 == 0 and len(shapes) > 5 else set()
        worst = max(worst, model.step(gs, extra, missing))
    return Check(backend, dtype, worst, tolerance(rule, dtype, steps))


class _Model:
    """The same parameters twice, moved by an optimizer in two groups and by the interpreter, which has no groups."""

    def __init__(
        self,
        rule: Rule,
        plan: Plan,
        settings: Mapping[str, Value],
        backend: str,
        dtype: str,
        thetas: list[Any],
    ) -> None:
        self.device = "cuda" if torch.cuda.is_available() and backend != "native" else "cpu"
        self.rule, self.settings, self.dtype, self.thetas = rule, settings, dtype, thetas
        self.states = [interpret.initial_states(rule, settings, x) for x in thetas]
        self.ts = [0] * len(thetas)
        self.params = [self._tensor(x).requires_grad_() for x in thetas]
        groups = [{"params": part} for part in (self.params[:3], self.params[3:]) if part]
        self.made: Any = load(rule)(groups, **_how(backend), **settings)  # type: ignore[arg-type]
        self.noise = _noise(sys.modules[type(self.made).__module__]) if plan.noisy else None

    def _tensor(self, x: Any) -> torch.Tensor:
        return torch.tensor(x, dtype=getattr(torch, self.dtype), device=self.device)

    def step(self, gs: list[Any], extra: dict[str, list[Any]], missing: set[int]) -> float:
        """One step of both; the largest error after it. Parameters in `missing` have no gradient."""
        missing = missing if self.noise is None else set()  # random numbers go by a parameter's place
        there = [i for i in range(len(gs)) if i not in missing]
        for i, p in enumerate(self.params):
            p.grad = None if i in missing else self._tensor(gs[i])
        self.made.step(inputs={name: [self._tensor(x) for x in xs] for name, xs in extra.items()})
        self._interpret(there, gs, extra)
        return max(_error(p, x) for p, x in zip(self.params, self.thetas, strict=True))

    def _interpret(self, there: list[int], gs: list[Any], extra: dict[str, list[Any]]) -> None:
        def of(xs: list[Any]) -> list[Any]:
            return [xs[i] for i in there]

        for i in there:
            self.ts[i] += 1
        inputs = {name: of(xs) for name, xs in extra.items()}
        given = (of(self.thetas), of(gs), of(self.states), of(self.ts), inputs, self.noise)
        thetas, states = interpret.step_all(self.rule, self.settings, *given)
        for i, theta, state in zip(there, thetas, states, strict=True):
            self.thetas[i], self.states[i] = rounded(theta, self.dtype), state


def _how(backend: str) -> dict[str, Any]:
    return {"backend": backend} | ({"compile": False} if backend == "torch" else {})


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
