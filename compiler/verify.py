"""Holds a compiled rule against the interpreter: the same random steps on both, for every backend and dtype.

Here is which checks there are and what they allow; `beside.py` takes the steps and measures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..dsl.algebra.simplify import simplify
from ..dsl.meaning import interpret
from ..dsl.meaning.matrices import rounded
from ..dsl.rule import Rule, Value
from ..dsl.text.expressions import Cast, Matrix
from ..dsl.text.syntax import Node
from ..dsl.text.walking import walk
from .beside import STORING, Apart, Beside
from .plan.lower import lower
from .plan.plan import QUANTISED, Plan
from .plan.variants import variants
from .runtime.cc import compiled_c

SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (6, 4), (4, 4), (1030,), (7,), (), (2, 3, 4))
FULL_RANK: tuple[tuple[int, ...], ...] = ((4, 4), (2, 3, 3))
"""For rules with matrix operations: elsewhere bases of null spaces are anybody's choice."""

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "torch": ({"capturable": True}, {"state_dtype": "8bit"}),
    "native": ({"state_dtype": "8bit"},),
    "triton": ({"state_dtype": "8bit"},),
}
"""Options of the optimizer that lead through other code, each checked in float32."""

DTYPES = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Check:
    """One backend and dtype: its largest error, and the largest that the rounding of arithmetic explains.

    `of` is theta or a state. An error is what storing and magnified rounding do not explain, relative to 1 + magnitude.
    `skipped` says in words why there was nothing to measure, `changed` which setting was not the given one.
    """

    backend: str
    dtype: str
    of: str = ""
    error: float = 0.0
    tolerance: float = 0.0
    skipped: str = ""
    changed: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.skipped) or self.error <= self.tolerance


def verify(rule: Rule, given: Mapping[str, Value], steps: int = 20, compiled: bool = False) -> Iterator[Check]:
    """Checks of every backend, one after the other; in float32 also under settings and options that take other code.

    `given` are hyperparameters; `compiled` adds what torch.compile makes of torch's code, which takes seconds a rule.
    Raises TypeError or ValueError where hyperparameters do not fit the rule.
    """
    settings = interpret.settings(rule, **given)
    plan = lower(simplify(rule))
    for backend in ("torch", "native", "triton"):
        if why := _cannot(plan, backend):
            yield from (Check(backend, dtype, skipped=why) for dtype in DTYPES)
            continue
        for dtype in DTYPES:
            yield _check(rule, settings, backend, dtype, steps)
        for other in variants(rule, settings, _shapes(rule, settings)):
            changed = {name: value for name, value in other.items() if value != settings[name]}
            check = _check(rule, other, backend, "float32", min(steps, 4))
            yield replace(check, changed=_in_words(changed))
        for options in _options(plan, backend, compiled):
            check = _check(rule, settings, backend, "float32", min(steps, 4), options)
            yield replace(check, changed=_in_words(options))


def _options(plan: Plan, backend: str, compiled: bool) -> Iterator[dict[str, Any]]:
    """The options that change what a backend does for a rule."""
    codes = any(m.scope == "element" and m.dtype not in QUANTISED for m in plan.memories)
    yield from (options for options in OPTIONS[backend] if codes or "state_dtype" not in options)
    if compiled and backend == "torch" and not plan.lockstep:  # values over all tensors are never compiled
        yield {"compile": True}


def _in_words(changed: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={x:g}" if type(x) in (int, float) else f"{name}={x}" for name, x in changed.items())


def _cannot(plan: Plan, backend: str) -> str:
    from .emit import native as emit_native
    from .emit import triton as emit_triton

    if backend == "torch":
        return ""
    if backend == "native":
        return emit_native.refusal(plan) or _no_compiler()
    if (why := emit_triton.refusal(plan)) is not None:
        return why
    runs = torch.cuda.is_available() or _interprets()
    return "" if runs else "no GPU here; TRITON_INTERPRET=1 runs the kernel without one"


def _interprets() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def _no_compiler() -> str:
    code = compiled_c("void step(void) {}\n", ())
    return "" if code.get(wait=True) is not None else code.reason


def _parts(rule: Rule) -> list[Node]:
    return [part for s in rule.body for part in walk(s)]


def _has_matrices(rule: Rule) -> bool:
    return any(isinstance(part, Matrix) for part in _parts(rule))


def tolerance(rule: Rule, dtype: str) -> float:
    """Some roundings of one step's arithmetic, and of each `cast` a unit: what is halfway falls on either side."""
    arithmetic = STORING["float64" if dtype == "float64" else "float32"][0] * (1e3 if _has_matrices(rule) else 1.0)
    casts = [2 * STORING[part.dtype][0] for part in _parts(rule) if isinstance(part, Cast)]
    return 16 * arithmetic + sum(casts)


def _shapes(rule: Rule, settings: Mapping[str, Value]) -> list[tuple[int, ...]]:
    candidates = FULL_RANK if _has_matrices(rule) else SHAPES
    return [s for s in candidates if interpret.serves(rule, settings, np.zeros(s))]


def _check(
    rule: Rule,
    settings: Mapping[str, Value],
    backend: str,
    dtype: str,
    steps: int,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Check:
    draw = np.random.default_rng(0)
    shapes = _shapes(rule, settings)

    def drawn() -> list[NDArray[np.float64]]:
        return [rounded(draw.standard_normal(s), dtype) for s in shapes]

    on_cpu = backend == "native" or (backend == "triton" and _interprets())
    device = "cuda" if torch.cuda.is_available() and not on_cpu else "cpu"
    worst, allowed = Apart("theta", 0.0), tolerance(rule, dtype)
    model = Beside(rule, settings, {**_how(backend), **options}, device, dtype, drawn(), allowed)
    for t in range(1, steps + 1 + model.starts_coded):
        gs, extra = drawn(), {name: drawn() for name in rule.inputs}
        missing = {t % 5} if t % 2 == 0 and len(shapes) > 5 else set()
        aparts = model.step(gs, extra, missing)
        if t == 1 and model.starts_coded:
            continue
        worst = max(worst, *aparts, key=lambda apart: apart.error)
        if worst.error > allowed:
            break
    return Check(backend, dtype, worst.of, worst.error, allowed)


def _how(backend: str) -> dict[str, Any]:
    return {"backend": backend} | ({"compile": False} if backend == "torch" else {})
