"""Prints a rule's `Program`: its hyperparameters and states as tables, and what steps it, as names of functions."""

from __future__ import annotations

import math
from collections.abc import Collection

from ...dsl.rule import Param
from ..plan.passes import LINES, NUMBERS, Column, Passes, cut
from ..plan.plan import QUANTISED, Memory, Plan, Segment
from ..plan.split import FUSED, Parts
from .layout import STEP, WIDTH, number, quoted, tuple_of, wrapped
from .native import c_name, exact, has_native, wide
from .native_walk import settles
from .scalars import reads_sizes, structural
from .triton import Fused

TYPES = {"real": "float", "int": "int", "bool": "bool"}
"""Python's names of the language's types."""


def emit_program(
    plan: Plan, prefix: str, fused: Fused | None, parts: Collection[str], keys: str = "", code: str | None = None
) -> str:
    """The `Program` of one rule, out of functions whose names begin with the prefix; `fused` are its kernels.

    `parts` are those of the module, by their names in `PARTS`.
    The names of its hyperparameters begin with `keys` in the groups, those of its functions on tensors with `code`.
    """
    code = prefix if code is None else code
    flags = [f.name for f in plan.flags]
    live = f"{prefix}live_scalars" if "graphs" in parts else ""
    entries = [
        *_table("hyperparameters", [_hyperparameter(keys + p.name, p) for p, _ in plan.params]),
        *_table("states", [_state(m, flags, "precision" in parts) for m in plan.memories]),
        f"step={_stage(plan, plan.step, f'{prefix}scalars', f'{code}update', live)}",
        *([f"flags={prefix}flags"] if plan.flags else []),
    ]
    for name, segment in (("initial", plan.initial), ("evaluate", plan.evaluate)):
        if segment is not None:
            entries.append(f"{name}={_stage(plan, segment, f'{prefix}{name}_scalars', code + name)}")
    entries += [f"serves={prefix}serves"] if plan.serves is not None else []
    entries += [f"structural={tuple_of([str(i) for i in read])}"] if (read := structural(plan)) else []
    entries += ["lockstep=run_lockstep"] * plan.lockstep + ["noisy=True"] * plan.noisy
    entries += ["elementwise=True"] * (plan.elementwise and "native" in parts)
    entries += [f"shards={quoted(plan.shards)}"] if plan.shards != "whole" and "shards" in parts else []
    entries += [f"inputs={tuple_of([quoted(n) for n in plan.extra_inputs])}"] if plan.extra_inputs else []
    entries += [_native(plan, code)] if has_native(plan) and "native" in parts else []
    if fused is None:
        return _program(prefix, entries)
    if fused.parts is None:
        return _program(prefix, [*entries, *_kernels(plan, code, fused.passes[""][1])])
    if code != prefix:
        return _program(prefix, [*entries, *_split(plan, code, fused.parts)])
    beside = [_program(f"{prefix}{part}", _beside(plan, prefix, part, *those)) for part, those in fused.passes.items()]
    return "\n\n".join([*beside, _program(prefix, [*entries, *_split(plan, prefix, fused.parts)])])


def _program(prefix: str, entries: list[str]) -> str:
    return "\n".join([f"{prefix.upper()}PROGRAM = Program(", *(f"{STEP}{e}," for e in entries), ")"])


def _beside(plan: Plan, prefix: str, part: str, own: Plan, passes: Passes) -> list[str]:
    """The entries of a fused part's program: it shares the whole rule's scalars."""
    entries = [
        "hyperparameters=()",
        "states=()",
        f"step={_stage(plan, plan.step, f'{prefix}scalars', f'{prefix}region')}",
    ]
    entries += ["lockstep=run_lockstep"] * own.lockstep + ["noisy=True"] * own.noisy
    return [*entries, *_kernels(own, f"{prefix}{part}", passes)]


def _split(plan: Plan, prefix: str, parts: Parts) -> list[str]:
    """The entries of a program that runs in parts."""
    fused = [str(i) for i, m in enumerate(plan.memories) if m.scope in FUSED]
    args = [
        f"before={prefix.upper()}BEFORE_PROGRAM",
        f"region={prefix}region",
        f"after={prefix.upper()}AFTER_PROGRAM",
        f"fused={tuple_of(fused)}",
        f"given={len(parts.before.step.outputs)}",
        f"taken={tuple_of([str(i) for i in parts.taken])}",
        f"found={tuple_of([quoted(x) for x in parts.found])}",
        f"stored={tuple_of([str(i) for i in parts.stored])}",
    ]
    text = "\n".join(wrapped("split=Split", args, "", STEP)).lstrip()
    return [f"kernel={prefix}after_kernel", "reduce=run_split", text]


def _native(plan: Plan, prefix: str) -> str:
    args = [f"{prefix.upper()}C_SOURCE", tuple_of([quoted(c_name(name)) for name in plan.step.inputs])]
    args += [f"flags={tuple_of([quoted(c_name(flag.name)) for flag in plan.flags])}"] if plan.flags else []
    args += [f"exact={exact(plan)}"] + ["wide=True"] * wide(plan)
    if not plan.elementwise:
        args += _native_passes(cut(plan)) + ["settles=True"] * settles(plan)
    return "\n".join(wrapped("native=Native", args, "", STEP)).lstrip()


def _native_passes(passes: Passes) -> list[str]:
    measures = [tuple_of([_column(c) for c in m.columns]) for m in passes.measures]
    out = ["call=SummingCall", "run=step_in_passes"] + ["tiled=True"] * passes.tiled
    flat = f"measures={tuple_of(measures)}"
    if len(flat) >= WIDTH - 2 * len(STEP):
        flat = "\n".join(["measures=(", *(f"{STEP * 3}{those}," for those in measures), f"{STEP * 2})"])
    return [*out, *([flat] if measures else []), *_counts(passes)]


def _column(c: Column) -> str:
    """A reduction's number, whether it is the largest, and what there is one for."""
    return f"({c.index}, {c.op == 'max_of'}, {quoted(c.per)})"


def _counts(passes: Passes) -> list[str]:
    return [f"counts={tuple_of([quoted(x) for x in passes.counts])}"] if len(passes.counts) > 1 else []


def _kernels(plan: Plan, prefix: str, passes: Passes) -> list[str]:
    out = [f"kernel={prefix}kernel"]
    out += [] if plan.elementwise else ["reduce=run_reduced"]
    if passes.measures:
        columns = [[_column(c) for c in m.columns] for m in passes.measures]
        out += _table("measures", [f"({prefix}measure{i}, {tuple_of(those)})" for i, those in enumerate(columns, 1)])
    numbers = [str(i) for i, m in enumerate(plan.memories) if m.scope in NUMBERS]
    out += [f"numbers={tuple_of(numbers)}"] if numbers else []
    out += _counts(passes)
    if passes.tiled:
        olds = tuple_of([str(i) for i, m in enumerate(plan.memories) if m.scope in LINES and m.written])
        lines = [f"({c.index}, {quoted(c.op)}, {quoted(c.of)}, {quoted(c.per)})" for c in passes.lines]
        out.append("\n".join(_tiled(olds, lines)))
    return out


def _tiled(olds: str, lines: list[str]) -> list[str]:
    """An entry as a formatter lays it out: with each reduction on a line where they do not fit on one."""
    flat = f"{STEP * 2}{tuple_of(lines)},"
    if len(flat) <= WIDTH:
        out = wrapped("tiled=Tiled", [olds, tuple_of(lines)], ",", STEP)
        return [out[0].strip().removesuffix(","), *out[1:-1], *([f"{STEP})"] if len(out) > 1 else [])]
    return [
        "tiled=Tiled(",
        f"{STEP * 2}{olds},",
        f"{STEP * 2}(",
        *(f"{STEP * 3}{x}," for x in lines),
        f"{STEP * 2}),",
        f"{STEP})",
    ]


def _table(name: str, rows: list[str]) -> list[str]:
    """A tuple of rows as a formatter lays it out: one a line, unless it is a single short one."""
    short = f"{name}={tuple_of(rows)}"
    if len(rows) < 2 and len(short) < WIDTH - len(STEP):
        return [short]
    return ["\n".join([f"{name}=(", *(f"{STEP * 2}{row}," for row in rows), f"{STEP})"])]


def _stage(plan: Plan, segment: Segment, scalars: str, run: str, live: str = "") -> str:
    conditions = [str(i) for i, s in enumerate(segment.slots) if s.kind == "bool"]
    args = [scalars, run]
    args += [f"conditions={tuple_of(conditions)}"] if conditions else []
    args += ["sized=True"] if reads_sizes(plan, segment) else []
    args += [f"live=Live({live})"] if live else []
    return f"Stage({', '.join(args)})"


def _hyperparameter(key: str, p: Param) -> str:
    args = [quoted(key), TYPES[p.type]]
    args += [] if p.default is None else [number(p.default)]
    if (i := p.interval) is not None:
        args += [f"low={number(i.low)}"] * (i.low > -math.inf) + [f"high={number(i.high)}"] * (i.high < math.inf)
        args += ["low_open=True"] * i.low_open + ["high_open=True"] * i.high_open
    return f"Hyperparameter({', '.join(args)})"


def _state(m: Memory, flags: list[str], precise: bool) -> str:
    args = [quoted(m.key)]
    args += [f"scope={quoted(m.scope)}"] * (m.scope != "element")
    if m.dtype is not None:
        own = quoted(m.dtype) if m.dtype == "like_param" else f"torch.{m.dtype}"
        args.append(f"dtype={QUANTISED.get(m.dtype, own)}")
    args += [] if m.fill == 0 else [f"fill={None if m.fill is None else number(m.fill)}"]
    args += [f"flag={flags.index(m.flag)}"] if m.flag is not None else []
    args += [] if m.written else ["written=False"]
    args += ["nonnegative=True"] if m.nonnegative and precise else []
    kind = "Quantised" if m.dtype in QUANTISED else "State" if m.scope == "element" else "ScopedState"
    return f"{kind}({', '.join(args)})"
