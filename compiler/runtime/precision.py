"""How precisely an optimizer keeps parameters and states: the options of a group, and what they change.

This file's text is part of each generated module.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .checkpoints import memories
from .dtensor import cut_like, full
from .master import begin_master, master_of
from .memory import converts, few_bits, fits, prepare, through_memory
from .optimizer import RuleOptimizer
from .quantised import LARGEST, Quantised, decoded
from .rule import Function, Program, Settings, State, computing, real
from .work import Batch, Precision, Work

PLAIN: dict[str, Any] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
    "like_param": "like_param",
}
CODES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn, "ufp8": torch.uint8}
EIGHT_BITS = "8bit"
"""In one word: `ufp8` for states that are proven never to be negative, `fp8` for others."""

CHOICES: dict[str, tuple[Any, ...]] = {
    "rounding": ("nearest", "stochastic"),
    "master": (None, "float32", "bits"),
}


class PreciseOptimizer(RuleOptimizer):
    """An optimizer whose groups say how parameters and states are rounded and kept."""

    def __init__(self, *given: Any, **options: Any) -> None:
        self._chosen: dict[Any, tuple[Program, ...]] = {}
        super().__init__(*given, **options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group; entries that it lacks come from the defaults. Raises ValueError on invalid ones."""
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except (RuntimeError, TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _check(self, group: dict[str, Any]) -> None:
        group["state_dtype"] = wanted_dtypes(group["state_dtype"])
        if isinstance(group["state_dtype"], dict):
            known = {s.name for program in self.programs for s in program.states}
            for name in group["state_dtype"].keys() - known:
                raise ValueError(f"Invalid state_dtype: {type(self).__name__} has no state {name!r}")
        precision, programs = self._precision_of(group), self._programs_of(group)
        if precision.master == "bits" and any(p.dtype == torch.float16 for p in group["params"]):
            raise ValueError("master='bits' is for bfloat16: what float16 lacks of a float32 is not its low bits")
        coded = any(isinstance(s, Quantised) for program in programs for s in program.states)
        if self.defaults["differentiable"] and (coded or precision != Precision()):
            what = "states to codes" if coded else "parameters and states"
            raise RuntimeError(f"{type(self).__name__} rounds its {what}: no gradient passes through them")

    def _precision_of(self, group: dict[str, Any]) -> Precision:
        for key, allowed in CHOICES.items():
            if group[key] not in allowed:
                raise ValueError(f"Invalid {key} value: {group[key]!r}; it must be one of {listed(allowed)}")
        seed = group["seed"]
        if not (isinstance(seed, int) and 0 <= seed < 2**32):
            raise ValueError(f"Invalid seed value: {seed!r}; it must be a whole number from 0 to 2^32 - 1")
        return Precision(group["rounding"], group["master"])

    def _programs_of(self, group: dict[str, Any]) -> tuple[Program, ...]:
        wanted = group["state_dtype"]
        if wanted is None:
            return self.programs
        wanted = wanted_dtypes(wanted)
        key = wanted if isinstance(wanted, str) else tuple(sorted(wanted.items()))
        if key not in self._chosen:
            self._chosen[key] = tuple(
                replace(p, states=tuple(kept_in(s, wanted) for s in p.states)) for p in self.programs
            )
        return self._chosen[key]

    def _structure(self, group: dict[str, Any]) -> list[Any]:
        kept = group["state_dtype"]
        kept = dict(kept) if isinstance(kept, dict) else kept
        return [*super()._structure(group), group["rounding"], group["master"], kept]

    def _work_on(self, p: Tensor, group: int, program: Program, settings: Settings) -> Work:
        conform(program, self.state[p], computing(real(p).dtype))
        work = super()._work_on(p, group, program, settings)
        precision = self._precision_of(self.param_groups[group])
        if converts(work, precision):
            prepare(work, precision)
        return work

    def _function(self, backend: str, batches: list[Batch]) -> Function:
        run = super()._function(backend, batches)
        return run if all(fits(batch, backend == "triton") for batch in batches) else through_memory(run)

    def _numbers(self, p: Tensor, program: Program, group: dict[str, Any]) -> tuple[Tensor, list[Tensor | None]]:
        precision, theta, memory = self._precision_of(group), real(p), self.state[p]
        conform(program, memory, computing(theta.dtype))
        if precision.master is not None and few_bits(theta):
            begin_master(theta, memory, precision.master)
            theta = master_of(theta, memory, precision.master)
        return theta, [None if s.name not in memory else s.read(memory, computing(theta.dtype)) for s in program.states]

    # -------------------------------------------------------- checkpoints

    def __getstate__(self) -> dict[str, Any]:
        """With fp8 codes as plain bytes, since torch's storages of fp8 do not come back out of a pickle."""
        given = super().__getstate__()
        state = given["state"].copy()  # still one that makes what it lacks
        for p, program, _ in self._parameters():
            if p in state:
                state[p] = viewed(state[p], program, torch.float8_e4m3fn, torch.uint8)
        return {**given, "state": state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._chosen = {}
        super().__setstate__(state)
        for p, program, _ in self._parameters():
            if p in self.state:
                self.state[p].update(viewed(self.state[p], program, torch.uint8, torch.float8_e4m3fn))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a `state_dict()` back, bit for bit. Raises ValueError where codes come without their scales."""
        for memory in memories(state_dict["state"]).values():
            for name, x in memory.items():
                if isinstance(x, Tensor) and x.dtype in LARGEST and not isinstance(memory.get(f"{name}_scale"), Tensor):
                    raise ValueError(f"state {name!r} holds codes of {x.dtype} without their scales, '{name}_scale'")
        super().load_state_dict(state_dict)


def listed(values: Any) -> str:
    return ", ".join(map(repr, values))


def viewed(memory: dict[str, Any], program: Program, before: torch.dtype, after: torch.dtype) -> dict[str, Any]:
    """A parameter's memory with its fp8 codes, or the bytes that stand for them, as the one or the other."""
    names = {s.name for s in program.states if s.dtype == torch.float8_e4m3fn} & memory.keys()
    return {**memory, **{n: memory[n].view(after) for n in names if memory[n].dtype == before}}


# ---------------------------------------------------------------- dtypes of states


def wanted_dtypes(given: Any) -> Any:
    """What a group asks for, in words: None, one for all states per element, or a dictionary by their names."""
    if isinstance(given, dict):
        return {name: wanted_dtypes(dtype) for name, dtype in given.items() if dtype is not None}
    if given is None:
        return None
    word = str(given).removeprefix("torch.").replace("float8_e4m3fn", "fp8")
    if word not in (known := (*PLAIN, *CODES, EIGHT_BITS)):
        raise ValueError(f"Invalid state_dtype value: {given!r}; it must be one of {listed(known)}, or a dict of these")
    return word


def kept_in(state: State, wanted: Any) -> State:
    """The same state in the dtype that is asked for. Raises ValueError where it cannot be kept so."""
    named = isinstance(wanted, dict)
    word = wanted.get(state.name) if named else wanted
    finite = abs(state.fill or 0.0) != float("inf")
    if word is None or (not named and (state.scope != "element" or not (finite or word in PLAIN))):
        return state
    if word == EIGHT_BITS:
        word = "ufp8" if state.nonnegative else "fp8"
    fields = {**vars(state), "dtype": (PLAIN | CODES)[word]}
    if word in PLAIN:
        return State(**fields) if state.scope == "element" else replace(state, dtype=PLAIN[word])
    reasons = {
        "it is kept per " + state.scope: state.scope != "element",
        "it begins infinite": not finite,
        "it may be negative": word == "ufp8" and not state.nonnegative,
    }
    for reason in (r for r, holds in reasons.items() if holds):
        raise ValueError(f"Invalid state_dtype: state {state.name!r} cannot be {word!r}, since {reason}")
    return Quantised(**fields)


def conform(program: Program, memory: dict[str, Any], dtype: torch.dtype) -> None:
    """Converts states that a checkpoint or an earlier setting of the group left in another form."""
    for s in program.states:
        x = memory.get(s.name)
        if x is None or (x.dtype == s.dtype) or not (x.dtype in LARGEST or isinstance(s.dtype, torch.dtype)):
            continue
        coded = x.dtype in LARGEST
        numbers = cut_like(decoded(full(x), memory.pop(f"{s.name}_scale"), dtype), x) if coded else x.to(dtype)
        memory.update(s.kept(numbers))
