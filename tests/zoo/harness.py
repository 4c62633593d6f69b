"""One rule of the zoo beside its reference: the same parameters, the same gradients, step by step, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optc.compiler.load import load
from optc.dsl.load import zoo
from optc.dsl.meaning import interpret
from optc.dsl.rule import Rule

Array = np.ndarray[Any, np.dtype[np.float64]]
Shapes = tuple[tuple[int, ...], ...]

SHAPES: Shapes = ((3, 5), (6, 4), (7,), (), (2, 3, 4))
MATRICES: Shapes = ((3, 5), (6, 4), (4, 4), (1, 3))
SQUARE: Shapes = ((4, 4), (3, 3))
STEPS = 60
TIGHT = 1e-12
"""60 steps of float64 in another order of operations, on numbers near 1: some thousand units in the last place."""


@dataclass(frozen=True)
class Row:
    """One rule, how it is set, and the optimizer that it must equal: `reference(params)` is a torch optimizer.

    `compiled` is the tolerance of the compiled rule; `reason` says why one of the two is not the tight one. `advance`
    steps a reference that wants more than `step()`.
    """

    rule: str
    settings: dict[str, Any]
    reference: Callable[[list[Tensor]], Any]
    shapes: Shapes = SHAPES
    tolerance: float = TIGHT
    compiled: float = TIGHT
    reason: str = ""
    advance: Callable[[Any, int, dict[str, list[Tensor]]], None] = lambda optimizer, t, inputs: optimizer.step()

    def __str__(self) -> str:
        return self.rule


@contextmanager
def float64() -> Iterator[None]:
    """Torch's optimizers keep their own scalars, such as NAdam's product, in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@dataclass
class Reference:
    """The reference on parameters of its own. Gradients pull towards a target, with noise, and are 0 here and there."""

    row: Row
    inputs: tuple[str, ...] = ()
    params: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.draw = np.random.default_rng(11)
        self.first = [self.draw.standard_normal(s) for s in self.row.shapes]
        self.targets = [self.draw.standard_normal(s) for s in self.row.shapes]
        self.params = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in self.first]
        with float64():
            self.optimizer = self.row.reference(self.params)

    def step(self, t: int) -> tuple[list[Array], dict[str, list[Array]]]:
        """One step; the gradients and the further inputs that it was given."""
        gs = [self._gradient(p, x) for p, x in zip(self.params, self.targets, strict=True)]
        extra = {n: [self.draw.standard_normal(s) + 0.5 for s in self.row.shapes] for n in self.inputs}
        for p, g in zip(self.params, gs, strict=True):
            p.grad = torch.tensor(g, dtype=torch.float64)  # a copy: some references scale it in place
        with float64():
            self.row.advance(self.optimizer, t, {n: [torch.tensor(x) for x in xs] for n, xs in extra.items()})
        return gs, extra

    def _gradient(self, p: Tensor, target: Array) -> Array:
        g = 0.3 * (p.detach().numpy() - target) + self.draw.standard_normal(target.shape)
        return np.asarray(np.where(self.draw.random(target.shape) < 0.1, 0.0, g))

    def thetas(self) -> list[Array]:
        return [p.detach().numpy() for p in self.params]


@dataclass
class Interpreted:
    """A rule in the interpreter, and beside it the rule for the parameters that it does not serve."""

    rule: Rule
    given: dict[str, Any]
    thetas: list[Array]

    def __post_init__(self) -> None:
        self.settings = interpret.settings(self.rule, **self.given)
        mine = [interpret.serves(self.rule, self.settings, x) for x in self.thetas]
        self.parts = [(self.rule, self.settings, [i for i, yes in enumerate(mine) if yes])]
        if self.rule.applies is not None and self.rule.applies.otherwise is not None:
            other = self.rule.applies.otherwise
            chosen = interpret.settings(other, **dict(self.rule.applies.settings))
            self.parts.append((other, chosen, [i for i, yes in enumerate(mine) if not yes]))
        self.states: list[interpret.States] = [{} for _ in self.thetas]
        for rule, chosen, on in self.parts:
            for i in on:
                self.states[i] = interpret.initial_states(rule, chosen, self.thetas[i])

    def step(self, t: int, gs: list[Array], extra: dict[str, list[Array]]) -> None:
        for rule, chosen, on in self.parts:
            old, states, own = ([xs[i] for i in on] for xs in (self.thetas, self.states, gs))
            inputs = {n: [xs[i] for i in on] for n, xs in extra.items()}
            new = interpret.step_all(rule, chosen, old, own, states, [t] * len(on), inputs)
            for i, theta, state in zip(on, *new, strict=True):
                self.thetas[i], self.states[i] = theta, state


@dataclass
class Compiled:
    """A rule compiled for torch, in float64."""

    rule: Rule
    given: dict[str, Any]
    first: list[Array]

    def __post_init__(self) -> None:
        self.params = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in self.first]
        self.optimizer: Any = load(self.rule, target="torch")(self.params, **self.given)

    def step(self, t: int, gs: list[Array], extra: dict[str, list[Array]]) -> None:
        for p, g in zip(self.params, gs, strict=True):
            p.grad = torch.tensor(g, dtype=torch.float64)
        more = {"inputs": {n: [torch.tensor(x) for x in xs] for n, xs in extra.items()}} if extra else {}
        self.optimizer.step(**more)

    @property
    def thetas(self) -> list[Array]:
        return [p.detach().numpy() for p in self.params]


def follow(row: Row, kind: type[Interpreted] | type[Compiled]) -> tuple[Reference, Any]:
    """Both after STEPS steps; raises AssertionError at the first step where they are not the same."""
    rule, tolerance = zoo(row.rule), row.tolerance if kind is Interpreted else row.compiled
    reference = Reference(row, rule.inputs)
    ours = kind(rule, row.settings, list(reference.first))
    for t in range(1, STEPS + 1):
        ours.step(t, *reference.step(t))
        for theta, expected in zip(ours.thetas, reference.thetas(), strict=True):
            message = f"{row.rule}, step {t}, shape {expected.shape}"
            assert np.isfinite(expected).all(), message
            np.testing.assert_allclose(theta, expected, rtol=tolerance, atol=tolerance, err_msg=message)
    return reference, ours
