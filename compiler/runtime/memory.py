"""Numbers around a step: reads them from codes, masters and few bits, lets any backend step, and rounds them back.

It serves rules whose kernels or whose torch code know nothing of how memory is kept. This file's text is part of each
generated module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .blocks import IN_CACHE
from .master import MASTER, MISSING, begin_master, keep_master, master_of
from .quantised import Quantised, encoded
from .rounding import draws, stochastic
from .rule import Function, Table, computing
from .work import Batch, Precision, Work

AT_ONCE = 1 << 24
"""Elements that are numbers at the same time on a GPU: float32 copies of 64 MiB, and few launches."""


def converts(work: Work, precision: Precision) -> bool:
    """Whether what a step computes with is not what lies in memory."""
    if any(isinstance(s, Quantised) and x is not None for s, x in zip(work.program.states, work.states, strict=True)):
        return True
    if precision.rounding == "stochastic":
        return any(few_bits(x) for x in (work.theta, *work.states))
    return precision.master is not None and few_bits(work.theta)


def prepare(work: Work, precision: Precision) -> None:
    """Makes what a parameter's memory must hold besides its states."""
    work.precision = precision
    if precision.master is not None and few_bits(work.theta):
        begin_master(work.theta, work.memory, precision.master)


def few_bits(x: Tensor | None) -> bool:
    return x is not None and x.dtype in (torch.bfloat16, torch.float16)


def through_memory(run: Function) -> Function:
    """A backend's function, given numbers in place of what is kept; memory is rewritten once it is done."""

    def run_through_memory(batches: list[Batch], table: Table) -> None:
        for portion in portions(batches):
            read = [
                Batch(b.program, b.flags, b.maximize, [as_numbers(work, precision_of(work)) for work in b.works])
                for b in portion
            ]
            run(read, table)
            for batch, done in zip(portion, read, strict=True):
                for work, numbers in zip(batch.works, done.works, strict=True):
                    keep(work, numbers, precision_of(work))

    return run_through_memory


def portions(batches: list[Batch]) -> Iterator[list[Batch]]:
    """As little work at once as makes a block, so that few states at a time are numbers; all of it in lockstep."""
    if batches[0].program.lockstep:
        yield batches
        return
    for batch in batches:
        enough = IN_CACHE if batch.works[0].theta.device.type == "cpu" else AT_ONCE
        first, elements = 0, 0
        for end, work in enumerate(batch.works, 1):
            elements += work.theta.numel()
            if elements >= enough or end == len(batch.works):
                yield [replace(batch, works=batch.works[first:end])]
                first, elements = end, 0


def fits(batch: Batch, by_kernel: bool) -> bool:
    """Whether a backend can step on what lies in memory: kernels can that walk it in its order; others only round."""
    precision, program = batch.works[0].precision, batch.program
    if precision is None:
        return True
    coded = any(isinstance(s, Quantised) for s in program.states)
    in_order = program.tiled is None or (precision.master is None and not coded)
    from_start = all(work.first == 0 for work in batch.works)  # a kernel counts elements from the first that it sees
    return by_kernel and program.split is None and in_order and from_start


def beside(work: Work) -> list[Tensor | None]:
    """What lies in memory beside a parameter and its states: a master, whole or in part, and the scales of states."""
    if work.precision is None:
        return [None] * (1 + len(work.states))
    mode = work.precision.master if few_bits(work.theta) else None
    master = None if mode is None else work.own_memory()[MISSING if mode == "bits" else MASTER]
    pairs = zip(work.program.states, work.states, strict=True)
    return [master, *(work.memory[s.scale] if x is not None and isinstance(s, Quantised) else None for s, x in pairs)]


def ways(batch: Batch, operands: list[Any]) -> tuple[torch.dtype, bool]:
    """A kernel's last arguments: the dtype of masters, or the parameter's, and whether it rounds at random."""
    after = operands[len(batch.works[0].tensors()) :]
    master = after[0] if after and after[0] is not None else operands[0]
    return master.dtype, dithers(batch.works[0])


def dithers(work: Work) -> bool:
    return work.precision is not None and work.precision.rounding == "stochastic"


def random_keys(works: list[Work], like: Tensor) -> list[Tensor]:
    """The table of what random rounding depends on, on a table's device; that table itself if nothing is so rounded."""
    return [key_table(works, like.device) if any(map(dithers, works)) else like]


def key_table(works: list[Work], device: torch.device) -> Tensor:
    """int64 (tensors, 2): a parameter's place with the seed in the upper half, and the step."""
    if isinstance(works[0].t, Tensor):
        return torch.stack([torch.stack([whole(key_word(work), device), whole(work.t, device)]) for work in works])
    return torch.tensor([(key_word(work), work.t) for work in works], dtype=torch.int64).to(device, non_blocking=True)


def key_word(work: Work) -> int:
    signed = work.seed - (work.seed >> 31 << 32)
    return signed << 32 | work.place


def whole(x: int | Tensor, device: torch.device) -> Tensor:
    """A number on a device, without a copy from the host, which no captured step may make."""
    return x.long() if isinstance(x, Tensor) else torch.full((), x, dtype=torch.int64, device=device)


def precision_of(work: Work) -> Precision:
    return work.precision or Precision()


def as_numbers(work: Work, precision: Precision) -> Work:
    """The same work on numbers, which a step may overwrite."""
    dtype, states = computing(work.theta.dtype), list(work.states)
    for i, (state, x) in enumerate(zip(work.program.states, work.states, strict=True)):
        if x is not None and isinstance(state, Quantised):
            states[i] = state.read(work.memory, dtype)
        elif x is not None and few_bits(x) and precision.rounding == "stochastic":
            states[i] = x.to(dtype)
    return replace(work, theta=theta_of(work, precision), states=states, precision=None)


def theta_of(work: Work, precision: Precision) -> Tensor:
    if not few_bits(work.theta):
        return work.theta
    if precision.master is not None:
        return master_of(work.theta, work.own_memory(), precision.master)
    return work.theta.float() if precision.rounding == "stochastic" else work.theta


def keep(work: Work, numbers: Work, precision: Precision) -> None:
    """Stores what a step made of the numbers as they are kept."""
    at_random = precision.rounding == "stochastic"
    key = (work.seed, work.place, work.t)
    for i, (state, home, x) in enumerate(zip(work.program.states, work.states, numbers.states, strict=True), 1):
        if not state.written or home is None or x is None or x is home:
            continue
        bits = draws(x, key, i, work.first) if at_random else None
        if isinstance(state, Quantised):
            codes, scale = encoded(x, state.dtype, bits)
            home.copy_(codes)
            work.memory[state.scale].copy_(scale)
        else:
            home.copy_(x if bits is None else stochastic(x, home.dtype, bits))
    if numbers.theta is work.theta:
        return
    if precision.master is not None:
        keep_master(work.theta, work.own_memory(), precision.master, numbers.theta)
    else:
        work.theta.copy_(stochastic(numbers.theta, work.theta.dtype, draws(numbers.theta, key, 0, work.first)))
