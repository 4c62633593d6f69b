"""What a rule is at run time: hyperparameters, states, and its arithmetic as functions. It knows no particular rule.

This file's text is part of each generated module, so it needs torch alone, and is written to be read there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import required

from .dtensor import is_sharded, put, real_parts

Function = Callable[..., Any]
Settings = tuple[float | bool, ...]
Row = list[Tensor]
Table = list[tuple[float, ...]] | Tensor
"""The scalar table: rows of numbers, or float64 (rows, columns) that a device has computed."""


@dataclass(frozen=True)
class Hyperparameter:
    """A keyword argument of the optimizer and entry of its groups; `low` and `high` bound what is valid."""

    name: str
    type: type
    default: Any = required
    low: float = -float("inf")
    high: float = float("inf")
    low_open: bool = False
    high_open: bool = False

    def check(self, value: Any, complaint: Function) -> None:
        """Raises ValueError or TypeError, which begins with the complaint, where the rule cannot work with a value."""
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"Tensor {self.name} must be 1-element")
        if isinstance(value, str):
            raise TypeError(f"{complaint(self.name, repr(value))}; it must be a number")
        if self.type is bool and value not in (0, 1):
            raise TypeError(f"{complaint(self.name, repr(value))}; it must be True or False")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{complaint(self.name, repr(value))}; it must be a number") from None
        if self.type is int and not number.is_integer():
            raise ValueError(f"{complaint(self.name, value)}; it must be a whole number")
        above = self.low < number if self.low_open else self.low <= number
        below = number < self.high if self.high_open else number <= self.high
        if not (above and below):
            interval = f"{'[('[self.low_open]}{self.low:g}, {self.high:g}{'])'[self.high_open]}"
            raise ValueError(f"{complaint(self.name, value)}; {self.name} must be in {interval}")


@dataclass(frozen=True)
class State:
    """Memory between steps, per element."""

    name: str
    scope: str = "element"  # for scopes, precision, native
    dtype: torch.dtype | str | None = None  # None: float32, or float64 for float64 parameters
    fill: float | None = 0.0  # None: computed
    flag: int | None = None  # the index of the flag that says whether the state is kept at all
    written: bool = True
    nonnegative: bool = False  # for precision: proven never to be below 0

    def kept(self, x: Tensor) -> dict[str, Tensor]:  # for precision
        """What is put into a parameter's memory for the numbers x."""
        return {self.name: x.to(self.dtype) if isinstance(self.dtype, torch.dtype) else x}

    def read(self, memory: dict[str, Any], dtype: torch.dtype) -> Tensor:  # for precision
        """The numbers that a parameter's memory has of it."""
        return memory[self.name]  # type: ignore[no-any-return]

    def first(self, theta: Tensor) -> Tensor:
        """The state before the first step; 0 where its value is yet to be computed."""
        return torch.full_like(theta, self.fill or 0.0, dtype=self.own(theta))

    def own(self, theta: Tensor) -> torch.dtype:
        """The dtype that the state has for a parameter."""
        if isinstance(self.dtype, torch.dtype):
            return self.dtype
        return theta.dtype if self.dtype else computing(theta.dtype)

    def shape(self, theta: Tensor) -> tuple[int, ...]:
        """The shape that the state has for a parameter."""
        return theta.shape


@dataclass(frozen=True)
class Stage:
    """Arithmetic in two parts: `scalars` gives a row of numbers on the host, `run` uses them on tensors."""

    scalars: Function
    run: Function
    conditions: tuple[int, ...] = ()  # the columns of a row that are read as true or false
    sized: bool = False  # whether rows depend on a tensor's sizes
    live: Any = None  # for graphs: gives the columns from tensors, on the device


@dataclass(frozen=True)
class Program:
    """A rule, and what steps it."""

    hyperparameters: tuple[Hyperparameter, ...]
    states: tuple[State, ...]
    step: Stage
    flags: Function | None = None  # the structure, from settings and sizes: each has code of its own
    structural: tuple[int, ...] = ()  # the indices of the hyperparameters that decide which code runs
    initial: Stage | None = None  # for initial: what states hold before the first step
    evaluate: Stage | None = None  # for evaluation
    serves: Function | None = None  # for serves, evaluation, precision: whether it is for parameters of some sizes
    lockstep: Function | None = None  # for lockstep, shards, precision, graphs, native: runs a `step.run` that yields
    noisy: bool = False  # for noise, passes, native, precision: whether `step.run` takes a key of random numbers last
    inputs: tuple[str, ...] = ()  # for inputs
    elementwise: bool = False  # for native: whether no element depends on another
    native: Any = None  # for native: C code for a CPU
    kernel: Any = None  # for triton: a GPU's code
    reduce: Function | None = None  # for passes, matrices: runs the kernel where that takes more than one launch
    measures: tuple[tuple[Any, tuple[tuple[int, bool, str], ...]], ...] = ()  # for passes: kernels, as in `Native`
    numbers: tuple[int, ...] = ()  # for passes: the states that are one number a tensor
    counts: tuple[str, ...] = ("element",)  # for passes: what is counted in every tensor
    tiled: Any = None  # for passes, precision: what there is of rows and columns
    split: Any = None  # for matrices, precision: the parts of a rule with matrix operations
    shards: str = "whole"  # for shards: what a part of a tensor can do: a step "alone", or what is "reduced" then

    def settings(self, group: dict[str, Any]) -> Settings:
        """The group's hyperparameters as numbers, read at every step so that schedulers may change them."""
        return tuple([(bool if h.type is bool else float)(group[h.name]) for h in self.hyperparameters])

    def structure(self, settings: Settings, theta: Tensor) -> tuple[Any, ...]:
        """The values of the flags for a parameter."""
        return () if self.flags is None else self.flags(*settings, *sizes(theta))

    @torch.no_grad()
    def first_states(self, theta: Tensor, settings: Settings) -> dict[str, Tensor]:
        """What a parameter's memory has of its states before its first step."""
        flags = self.structure(settings, theta)
        out = {s.name: s.first(theta) for s in self.states if s.flag is None or flags[s.flag]}
        if self.initial is not None:  # for initial
            values = self.run_stage(self.initial, theta, [], settings, 1.0)
            computed = [s.name for s in self.states if s.fill is None]
            for name, value in zip(computed, values, strict=True):
                if name in out:
                    put(value, at_least_matrix(out[name]))
        out = {key: x for s in self.states if s.name in out for key, x in s.kept(out[s.name]).items()}  # for precision
        return out

    def run_stage(  # for initial, evaluation
        self,
        stage: Stage,
        theta: Tensor,
        states: list[Tensor | None],
        settings: Settings,
        t: float,
    ) -> Any:
        """A stage for one parameter, outside of a step."""
        (row,) = scalar_rows([stage.scalars(*settings, t, *sizes(theta))], stage.conditions, theta)
        tensors = (widened(x, computing(theta.dtype), theta.numel()) for x in (theta, *states))
        return stage.run(*tensors, *row, *self.structure(settings, theta))


def computing(dtype: torch.dtype) -> torch.dtype:
    """The dtype of arithmetic on a parameter: float32, and float64 where the parameter is."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def counting() -> torch.dtype:
    """The dtype of a count of steps: as torch has it, float32 unless the default is float64."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def real(x: Tensor) -> Tensor:
    """Complex numbers as pairs of reals in the same memory."""
    if not x.is_complex():
        return x
    if is_sharded(x):  # for shards
        return real_parts(x)  # type: ignore[no-any-return]
    return torch.view_as_real(x.resolve_conj())


def at_least_matrix(x: Tensor) -> Tensor:
    """A vector as one row, a number as one row of one column."""
    return x if x.ndim > 1 else x.view(1, -1)


def widened(x: Tensor | None, dtype: torch.dtype, numel: int) -> Tensor | None:
    """A tensor in the dtype of arithmetic, for a parameter of `numel` elements; a float64 state stays what it is.

    It gets two axes at least, unless it is the one number that a state keeps of a whole tensor.
    """
    if x is None:
        return None
    if x.ndim > 0 or numel == 1:
        x = at_least_matrix(x)
    return x if x.dtype == torch.float64 else x.to(dtype)


def sizes(theta: Tensor) -> tuple[int, int, int, int]:
    """ndim, rows, cols and numel; a vector is one row, a number one row of one column."""
    shape = theta.shape
    rows, cols = (shape[-2] if len(shape) > 1 else 1), (shape[-1] if shape else 1)
    return len(shape), rows, cols, theta.numel()


def extents(theta: Tensor) -> tuple[int, int, int]:
    """How many matrices a parameter is, of how many rows and columns; a vector is one row."""
    _, rows, cols, _ = sizes(theta)
    return math.prod(theta.shape[:-2]), rows, cols


def how_many(theta: Tensor, of: str) -> int:
    """How many elements, rows, columns or matrices a parameter has; it is one tensor."""
    matrices, rows, cols = extents(theta)
    lines = {"row": matrices * rows, "col": matrices * cols, "matrix": matrices, "tensor": 1}
    return theta.numel() if of == "element" else lines[of]


def scalar_rows(table: Table, conditions: tuple[int, ...], like: Tensor) -> list[Row]:
    """The scalar table as numbers of the arithmetic's dtype on a tensor's device, conditions as bools."""
    rounded = torch.as_tensor(table, dtype=torch.float64, device=like.device).to(computing(like.dtype))
    rows = [list(row.unbind()) for row in rounded]
    for row in rows:
        for column in conditions:
            row[column] = row[column] != 0
    return rows
