"""A compiled optimizer and the interpreter side by side: how far apart they are after a step that both began alike.

Every step begins at what the optimizer holds, so that one step's rounding is all that may lie between the two. Where a
step magnifies that, as one does that takes nearly equal numbers from each other, the interpreter shows by how much: it
takes the step again with every result off by a random part of a unit in its last place. What the optimizer keeps in
codes of one byte is read here by their definition, not by the code that is judged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..dsl.algebra.dead import dead_states
from ..dsl.meaning import interpret
from ..dsl.meaning.matrices import rounded
from ..dsl.rule import Rule, Value
from ..dsl.text.expressions import Matrix, Name, Prev
from ..dsl.text.syntax import Assign, Let
from ..dsl.text.walking import walk
from .load import load

Array = NDArray[np.float64]
After = tuple[Array, interpret.States]
"""A parameter and its states after a step."""

BLOCK = 256
"""Elements of a flattened state that share a scale."""

STORING = {
    "float64": (2.0**-53, 0.0),
    "float32": (2.0**-24, 0.0),
    "bfloat16": (2.0**-8, 0.0),
    "float16": (2.0**-11, 0.0),
    "int8": (0.0, 0.5 / 127),
    "fp8": (2.0**-4, 2.0**-10 / 448),
    "ufp8": (2.0**-4, 1.125 * 2.0**-31 / 1.875),
}
"""What storing a number takes away at most: a part of the number itself, and one of the largest in its block."""
BLURRED = 8
"""How often a step is taken again with inexact results."""
MAGNIFIED = 4
"""How many times as far off as the farthest of these a backend may be: it may compute in another order."""

CODES = {torch.int8: "int8", torch.float8_e4m3fn: "fp8", torch.uint8: "ufp8"}
"""What a state kept in codes is called, by the dtype of the codes."""


@dataclass(frozen=True)
class Apart:
    """What neither storing nor magnified rounding explains of a distance of tensors, relative to 1 + their magnitude.

    `of` is theta or the name of a state.
    """

    of: str
    error: float


class Beside:
    """Parameters in two groups of an optimizer, and the interpreter, which has no groups, on the same numbers.

    An error beyond `allowed` is looked at closely: may rounding have been magnified?
    """

    def __init__(
        self,
        rule: Rule,
        settings: Mapping[str, Value],
        options: Mapping[str, Any],
        device: str,
        dtype: str,
        thetas: list[Array],
        allowed: float,
    ) -> None:
        self.rule, self.settings, self.dtype, self.device, self.allowed = rule, settings, dtype, device, allowed
        self.turned, self.dropped = _turned(rule), set(dead_states(rule))
        self.declared = {s.name: self._declared(s.dtype) for s in rule.states}
        self.by_option = "state_dtype" in options
        self.fresh = [interpret.initial_states(rule, settings, x) for x in thetas]
        self.ts = [0] * len(thetas)
        self.params = [self._tensor(x).requires_grad_() for x in thetas]
        groups = [{"params": part} for part in (self.params[:3], self.params[3:]) if part]
        optimizer: Any = load(rule)
        self.made: Any = optimizer(groups, **options, **settings)
        noisy = any(program.noisy for program in self.made.programs)
        self.noise = _noise(sys.modules[type(self.made).__module__]) if noisy else None

    def _tensor(self, x: Array) -> torch.Tensor:
        return torch.tensor(x, dtype=getattr(torch, self.dtype), device=self.device)

    def _declared(self, declared: str | None) -> str:
        if declared in (None, "float32"):
            return "float64" if self.dtype == "float64" else "float32"
        return str(declared)

    @property
    def starts_coded(self) -> bool:
        """Whether the first step begins at codes of a tensor, which are not the numbers that the interpreter has."""
        coded = self.by_option or not set(CODES.values()).isdisjoint(self.declared.values())
        return coded and any(getattr(program, "initial", None) for program in self.made.programs)

    def _kept_as(self, name: str, memory: Mapping[str, Any]) -> str:
        """What a state is kept in: codes where the option asked for them, else what the rule declares."""
        return CODES.get(memory[name].dtype, self.declared[name]) if self.by_option else self.declared[name]

    def step(self, gs: list[Array], extra: dict[str, list[Array]], missing: set[int]) -> list[Apart]:
        """One step of both, and what is then between them. Parameters in `missing` have no gradient."""
        missing = missing if self.noise is None else set()  # random numbers go by a parameter's place
        there = [i for i in range(len(gs)) if i not in missing]
        interpreted = self._begun(there, gs, extra)
        expected = interpreted(None)
        for i, p in enumerate(self.params):
            p.grad = None if i in missing else self._tensor(gs[i])
        self.made.step(inputs={name: [self._tensor(x) for x in xs] for name, xs in extra.items()})
        aparts = list(self._aparts(expected, []))
        if any(apart.error > self.allowed for apart in aparts):
            blur = _blur(STORING["float64" if self.dtype == "float64" else "float32"][0])
            aparts = list(self._aparts(expected, [interpreted(blur) for _ in range(BLURRED)]))
        return aparts

    def _begun(self, there: list[int], gs: list[Array], extra: dict[str, list[Array]]) -> Callable[[Any], list[After]]:
        """What gives every parameter and its states after a step from where the optimizer is, sharp or blurred."""
        begun = [(_array(p), self._held(i)) for i, p in enumerate(self.params)]
        for i in there:
            self.ts[i] += 1

        def of(xs: list[Any]) -> list[Any]:
            return [xs[i] for i in there]

        thetas, states = of([theta for theta, _ in begun]), of([held for _, held in begun])
        inputs = {name: of(xs) for name, xs in extra.items()}
        given = (thetas, of(gs), states, of(self.ts), inputs, self.noise)

        def interpreted(blur: interpret.Blur | None) -> list[After]:
            out, new = list(begun), interpret.step_all(self.rule, self.settings, *given, blur)
            for i, theta, held in zip(there, *new, strict=True):
                out[i] = theta, held
            return out

        return interpreted

    def _held(self, i: int) -> interpret.States:
        """The states of a parameter: the rule's first ones before its first step, then the optimizer's.

        What theta does not depend on, no optimizer keeps: such states stay what they were.
        """
        memory = self.made.state[self.params[i]]
        if not self.ts[i]:
            return self.fresh[i]
        kept = self.fresh[i].keys() - self.dropped
        read = {name: _read(memory, name, self._kept_as(name, memory)) for name in kept}
        return self.fresh[i] | {name: np.reshape(x, self.fresh[i][name].shape) for name, x in read.items()}

    def _aparts(self, expected: list[After], others: list[list[After]]) -> Iterator[Apart]:
        """All distances; `others` are what rounding might have made of the same step."""
        for i, (p, (theta, states)) in enumerate(zip(self.params, expected, strict=True)):
            yield Apart("theta", _error(_array(p), theta, self.dtype, [other[i][0] for other in others]))
            yield from self._states_apart(self.made.state[p], states, [other[i][1] for other in others])

    def _states_apart(
        self, memory: Mapping[str, Any], expected: interpret.States, others: list[interpret.States]
    ) -> Iterator[Apart]:
        expected = {name: x for name, x in expected.items() if name not in self.dropped}
        strange = memory.keys() - expected.keys() - {f"{name}_scale" for name in expected} - {"step"}
        for name in strange | (expected.keys() - memory.keys()):
            yield Apart(name, np.inf)
        for name in expected.keys() & memory.keys():
            dtype, theirs = self._kept_as(name, memory), expected[name]
            if dtype in CODES.values() and f"{name}_scale" not in memory:
                yield Apart(name, np.inf)
                continue
            ours, blurred = _read(memory, name, dtype), [other[name] for other in others]
            if name in self.turned:
                ours, theirs, blurred = np.abs(ours), np.abs(theirs), [np.abs(x) for x in blurred]
            same_shape = memory[name].shape == theirs.shape
            yield Apart(name, _error(ours, theirs, dtype, blurred) if same_shape else np.inf)


def _turned(rule: Rule) -> set[str]:
    """The names whose signs hang on an eigenvector's, which is anybody's choice."""
    found: set[str] = set()
    while True:
        more = {s.name for s in rule.statements() if isinstance(s, Let | Assign) and _reads_basis(s, found)} - {"theta"}
        if more <= found:
            return found
        found |= more


def _reads_basis(s: Let | Assign, turned: set[str]) -> bool:
    for part in walk(s.value):
        if isinstance(part, Matrix) and part.op in ("eigenbasis", "qr_basis"):
            return True
        if (isinstance(part, Name) and part.id in turned) or (isinstance(part, Prev) and part.state in turned):
            return True
    return False


# ---------------------------------------------------------------- memory as numbers


def _array(x: torch.Tensor) -> Array:
    return np.array(x.detach().double().cpu().numpy())


def _read(memory: Mapping[str, Any], name: str, dtype: str) -> Array:
    """A state as numbers."""
    if dtype not in CODES.values():
        return _array(memory[name])
    codes = memory[name]
    if dtype == "ufp8":
        at = codes.cpu().numpy().astype(np.uint32)
        numbers = np.where(at > 0, ((at + 768) << 20).view(np.float32), 0.0)
    else:
        numbers = _array(codes)
    scales = np.repeat(_array(memory[f"{name}_scale"]).ravel(), BLOCK)[: numbers.size]
    return np.asarray(numbers * scales.reshape(numbers.shape))


def _error(ours: Array, theirs: Array, dtype: str, others: list[Array]) -> float:
    """The largest difference that is not explained, relative to 1 + magnitude; infinite for just one NaN."""
    kept = theirs if dtype in CODES.values() else rounded(theirs, dtype)
    same = (ours == kept) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(all="ignore"):
        magnified = MAGNIFIED * np.fmax.reduce([np.abs(x - theirs) for x in others]) if others else 0.0
        beyond = np.maximum(np.abs(ours - theirs) - _room(theirs, dtype) - magnified, 0.0) / (1 + np.abs(theirs))
    apart = np.where(same, 0.0, beyond)
    return float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0.0))


def _room(x: Array, dtype: str) -> Array:
    """What storing may take away from each element."""
    own, block = STORING[dtype]
    flat = np.abs(x).ravel()
    largest = [np.max(flat[at : at + BLOCK]) for at in range(0, flat.size, BLOCK)]
    return np.asarray(own * flat + block * np.repeat(largest, BLOCK)[: flat.size]).reshape(x.shape)


def _blur(unit: float) -> interpret.Blur:
    """Numbers off by a random part of a unit in their last place; whole numbers are what they are.

    A number alone is of the host's arithmetic, which is float64.
    """
    draw = np.random.default_rng(0)

    def blurred(x: Any) -> Any:
        if np.asarray(x).dtype.kind != "f":
            return x
        off = (unit if np.ndim(x) else STORING["float64"][0]) * draw.uniform(-1, 1, np.shape(x))
        return np.where(x == np.rint(x), x, x * (1 + off)) if np.ndim(x) else x if x == np.rint(x) else x * (1 + off)

    return blurred


def _noise(module: Any) -> interpret.NoiseSource:
    """The module's own random numbers: which they are is not what is judged here."""

    def drawn(index: int, place: int, t: int, shape: tuple[int, ...]) -> Any:
        like = torch.zeros(shape, dtype=torch.float64)
        return module.noise(like, torch.tensor([0, place, t]), index).numpy()

    return drawn
