"""States kept as one byte an element and one scale a block: numbers to codes and back, around any step by torch.

This file's text is part of those generated modules whose rule declares such states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .runtime import RuleOptimizer
from .runtime_blocks import IN_CACHE
from .runtime_rule import Function, Program, Settings, State, Table, computing, real
from .runtime_work import Batch, Job, Work

IN_BLOCK = 256
"""Elements that share a scale, in the order of the flattened parameter; the last block may have fewer."""

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""The code that a block's largest magnitude is stored as."""


class Quantised(State):
    """A state per element, stored as codes of `dtype` with float32 scales beside them."""

    @property
    def scale(self) -> str:
        """Where the scales are kept, in the same dictionary as the codes."""
        return f"{self.name}_scale"

    def first(self, theta: Tensor) -> Tensor:
        """The state before the first step, not yet as codes."""
        return torch.full(theta.shape, self.fill or 0.0, dtype=computing(theta.dtype), device=theta.device)


class QuantisedProgram(Program):
    """A rule with such states."""

    @torch.no_grad()
    def first_states(self, theta: Tensor, settings: Settings) -> dict[str, Tensor]:
        """The states of a parameter before its first step, codes and scales where they are kept so."""
        out = super().first_states(theta, settings)
        for state in quantised(self):
            if state.name in out:
                out[state.name], out[state.scale] = encoded(out[state.name], state.dtype)
        return out


class QuantisedOptimizer(RuleOptimizer):
    """An optimizer with such states: its steps and its `eval` see numbers, its checkpoints hold codes and scales."""

    def __init__(self, params: Any, defaults: dict[str, Any], backend: str, compile: bool) -> None:
        if defaults["differentiable"]:
            raise RuntimeError(f"{type(self).__name__} rounds its states to codes: no gradient passes through them")
        super().__init__(params, defaults, backend, compile)

    def _by_backend(self, job: Job) -> Iterator[tuple[Function, list[Batch]]]:
        for run, batches in super()._by_backend(job):
            yield (through_codes(run) if quantised(job.program) else run), batches

    @torch.no_grad()
    def eval(self) -> None:
        """Puts the parameters that evaluation should see in place of those that training moves, if the rule says so."""
        kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for p, program, _ in self._parameters():
            memory = self.state.get(p, {})
            states = [s for s in quantised(program) if program.evaluate is not None and s.name in memory]
            kept.append((memory, {s.name: memory[s.name] for s in states}))
            memory.update({s.name: decoded(memory[s.name], memory[s.scale], computing(real(p).dtype)) for s in states})
        try:
            super().eval()
        finally:
            for memory, codes in kept:
                memory.update(codes)

    def __getstate__(self) -> dict[str, Any]:
        """With fp8 codes as plain bytes, since torch's storages of fp8 do not come back out of a pickle."""
        given = super().__getstate__()
        return {**given, "state": {p: self._viewed(memory, torch.uint8) for p, memory in given["state"].items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for memory in self.state.values():
            memory.update(self._viewed(memory, torch.float8_e4m3fn))

    def _viewed(self, memory: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
        """A parameter's memory with its fp8 codes, or the bytes that stand for them, as the one or the other."""
        names = {s.name for program in self.programs for s in quantised(program)} & memory.keys()
        bytes_of_fp8 = (torch.uint8, torch.float8_e4m3fn)
        return {**memory, **{n: memory[n].view(dtype) for n in names if memory[n].dtype in bytes_of_fp8}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a `state_dict()` back, bit for bit. Raises ValueError where its states are not codes with scales."""
        ids = [i for group in state_dict["param_groups"] for i in group["params"]]
        for i, (_, program, _) in zip(ids, self._parameters(), strict=False):
            memory = state_dict["state"].get(i, {})
            for s in quantised(program):
                if s.name in memory and not (memory[s.name].dtype == s.dtype and s.scale in memory):
                    raise ValueError(f"state {s.name!r} must be {s.dtype} with its scales beside it as {s.scale!r}")
        super().load_state_dict(state_dict)


def quantised(program: Program) -> list[Quantised]:
    return [s for s in program.states if isinstance(s, Quantised)]


# ---------------------------------------------------------------- codes


def encoded(x: Tensor, dtype: Any) -> tuple[Tensor, Tensor]:
    """Codes of x's shape, rounded to nearest, and the float32 scale of each block.

    A block of zeros has scale 0. One that holds a NaN, an infinity or what is too large for float32 has scale NaN, and
    so reads as NaN throughout: nothing is clipped in silence.
    """
    flat, largest = x.reshape(-1), LARGEST[dtype]
    padded = torch.nn.functional.pad(flat.abs(), (0, -len(flat) % IN_BLOCK)).view(-1, IN_BLOCK)
    scale = (padded.amax(1) / largest).float()
    scale = torch.where(scale.isfinite(), scale, torch.nan)
    each = per_element(scale, flat)
    numbers = torch.where(each > 0, flat / each, 0.0).clamp(-largest, largest)
    return (numbers if dtype.is_floating_point else numbers.round()).to(dtype).view(x.shape), scale


def decoded(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers that codes stand for, in the dtype of arithmetic."""
    flat = codes.reshape(-1).to(dtype)
    return (flat * per_element(scale, flat)).view(codes.shape)


def per_element(scale: Tensor, flat: Tensor) -> Tensor:
    return scale.to(flat.dtype).repeat_interleave(IN_BLOCK)[: len(flat)]


# ---------------------------------------------------------------- steps


def through_codes(run: Function) -> Function:
    """A backend's function, given numbers where states are codes; these are rewritten once it is done."""

    def run_through_codes(batches: list[Batch], table: Table) -> None:
        for portion in portions(batches):
            read = [replace(batch, works=[as_numbers(work) for work in batch.works]) for batch in portion]
            run(read, table)
            for batch, done in zip(portion, read, strict=True):
                for work, numbers in zip(batch.works, done.works, strict=True):
                    keep(work, numbers)

    return run_through_codes


def portions(batches: list[Batch]) -> Iterator[list[Batch]]:
    """As little work at once as makes a block, so that few states at a time are numbers; all of it in lockstep."""
    if batches[0].program.lockstep:
        yield batches
        return
    for batch in batches:
        first, elements = 0, 0
        for end, work in enumerate(batch.works, 1):
            elements += work.theta.numel()
            if elements >= IN_CACHE or end == len(batch.works):
                yield [replace(batch, works=batch.works[first:end])]
                first, elements = end, 0


def as_numbers(work: Work) -> Work:
    dtype, states = computing(work.theta.dtype), list(work.states)
    for i, (state, codes) in enumerate(zip(work.program.states, work.states, strict=True)):
        if isinstance(state, Quantised) and codes is not None:
            states[i] = decoded(codes, work.memory[state.scale], dtype)
    return replace(work, states=states)


def keep(work: Work, numbers: Work) -> None:
    """Stores what a step made of the numbers as codes, where these are."""
    for state, home, x in zip(work.program.states, work.states, numbers.states, strict=True):
        if isinstance(state, Quantised) and state.written and home is not None and x is not None:
            codes, scale = encoded(x, state.dtype)
            home.copy_(codes)
            work.memory[state.scale].copy_(scale)
