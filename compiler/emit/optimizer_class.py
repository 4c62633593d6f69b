"""Prints what ties a generated module together: the tables of hyperparameters and states, and the optimizer's class."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from ...dsl.rule import Param
from ..plan.names import snake
from ..plan.passes import LINES, NUMBERS, Column, Passes, cut
from ..plan.plan import QUANTISED, Memory, Plan, Segment
from ..plan.split import FUSED, Parts
from ..plan.torch_peers import peer_of, positional, torch_names
from .layout import STEP, WIDTH, docstring, wrapped
from .native import c_name, exact, has_native, wide
from .native_walk import settles
from .parts import PARTS, Option
from .scalars import reads_sizes, structural
from .triton import Fused

TYPES = {"real": "float", "int": "int", "bool": "bool"}
OPTIONS = {
    "maximize": Option("bool", "False", "ascend instead of descend"),
    "foreach": Option("bool | None", "None", ""),
    "fused": Option("bool | None", "None", ""),
    "capturable": Option("bool", "False", ""),
    "differentiable": Option("bool", "False", "as torch's options of these names"),
}
"""torch's own options, kept in the groups as torch does; those without words share the next one's."""

SEED = Option("int", "0", "which random numbers rounding and `noise()` take")
BACKEND = Option("str", '"auto"', '"auto" chooses by the device of the parameters; others insist')
HOW = ("backend", "compile")
"""The options that are no entries of groups."""

KEYWORDS = frozenset({"self", "params", "inputs", "left_out", "seed", *HOW, *OPTIONS}).union(
    *(part.options for part in PARTS.values())
)
"""What a hyperparameter cannot be called: a module may have parts that others have not."""


def parameters(plan: Plan) -> Iterator[tuple[str, Param]]:
    """Every hyperparameter with its key in the groups; the fallback's carry the fallback's name."""
    yield from ((p.name, p) for p, _ in plan.params)
    if plan.fallback is not None:
        yield from ((f"{snake(plan.fallback.name)}_{p.name}", p) for p, _ in plan.fallback.params)


def programs(plan: Plan) -> list[Plan]:
    """A rule, and the one for what it does not apply to."""
    return [plan] if plan.fallback is None else [plan, plan.fallback]


def quantised(plan: Plan) -> bool:
    return any(p.quantised for p in programs(plan))


def number(value: float | bool) -> str:
    """A number as Python reads it."""
    return {math.inf: "math.inf", -math.inf: "-math.inf"}.get(value) or repr(value)


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
        *_table("states", [_state(m, flags) for m in plan.memories]),
        f"step={_stage(plan, plan.step, f'{prefix}scalars', f'{code}update', live)}",
        *([f"flags={prefix}flags"] if plan.flags else []),
    ]
    for name, segment in (("initial", plan.initial), ("evaluate", plan.evaluate)):
        if segment is not None:
            entries.append(f"{name}={_stage(plan, segment, f'{prefix}{name}_scalars', code + name)}")
    entries += [f"serves={prefix}serves"] if plan.serves is not None else []
    entries += [f"structural={_tuple([str(i) for i in read])}"] if (read := structural(plan)) else []
    entries += ["lockstep=run_lockstep"] * plan.lockstep + ["noisy=True"] * plan.noisy
    entries += ["elementwise=True"] * plan.elementwise
    entries += [f"shards={_text(plan.shards)}"] if plan.shards != "whole" and "shards" in parts else []
    entries += [f"inputs={_tuple([_text(n) for n in plan.extra_inputs])}"] if plan.extra_inputs else []
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
        f"fused={_tuple(fused)}",
        f"given={len(parts.before.step.outputs)}",
        f"taken={_tuple([str(i) for i in parts.taken])}",
        f"found={_tuple([_text(x) for x in parts.found])}",
        f"stored={_tuple([str(i) for i in parts.stored])}",
    ]
    text = "\n".join(wrapped("split=Split", args, "", STEP)).lstrip()
    return [f"kernel={prefix}after_kernel", "reduce=run_split", text]


def _native(plan: Plan, prefix: str) -> str:
    args = [f"{prefix.upper()}C_SOURCE", _tuple([_text(c_name(name)) for name in plan.step.inputs])]
    args += [f"flags={_tuple([_text(c_name(flag.name)) for flag in plan.flags])}"] if plan.flags else []
    args += [f"exact={exact(plan)}"] + ["wide=True"] * wide(plan)
    if not plan.elementwise:
        args += _native_passes(cut(plan)) + ["settles=True"] * settles(plan)
    return "\n".join(wrapped("native=Native", args, "", STEP)).lstrip()


def _native_passes(passes: Passes) -> list[str]:
    measures = [_tuple([_column(c) for c in m.columns]) for m in passes.measures]
    out = ["call=SummingCall", "run=step_in_passes"] + ["tiled=True"] * passes.tiled
    out += [f"measures={_tuple(measures)}"] if measures else []
    return [*out, *_counts(passes)]


def _column(c: Column) -> str:
    """A reduction's number, whether it is the largest, and what there is one for."""
    return f"({c.index}, {c.op == 'max_of'}, {_text(c.per)})"


def _counts(passes: Passes) -> list[str]:
    return [f"counts={_tuple([_text(x) for x in passes.counts])}"] if len(passes.counts) > 1 else []


def _kernels(plan: Plan, prefix: str, passes: Passes) -> list[str]:
    out = [f"kernel={prefix}kernel"]
    out += [] if plan.elementwise else ["reduce=run_reduced"]
    if passes.measures:
        columns = [[_column(c) for c in m.columns] for m in passes.measures]
        out += _table("measures", [f"({prefix}measure{i}, {_tuple(those)})" for i, those in enumerate(columns, 1)])
    numbers = [str(i) for i, m in enumerate(plan.memories) if m.scope in NUMBERS]
    out += [f"numbers={_tuple(numbers)}"] if numbers else []
    out += _counts(passes)
    if passes.tiled:
        olds = _tuple([str(i) for i, m in enumerate(plan.memories) if m.scope in LINES and m.written])
        lines = [f"({c.index}, {_text(c.op)}, {_text(c.of)}, {_text(c.per)})" for c in passes.lines]
        out.append("\n".join(_tiled(olds, lines)))
    return out


def _tiled(olds: str, lines: list[str]) -> list[str]:
    """An entry as a formatter lays it out: with each reduction on a line where they do not fit on one."""
    flat = f"{STEP * 2}{_tuple(lines)},"
    if len(flat) <= WIDTH:
        out = wrapped("tiled=Tiled", [olds, _tuple(lines)], ",", STEP)
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
    short = f"{name}={_tuple(rows)}"
    if len(rows) < 2 and len(short) < WIDTH - len(STEP):
        return [short]
    return ["\n".join([f"{name}=(", *(f"{STEP * 2}{row}," for row in rows), f"{STEP})"])]


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


def _text(value: str) -> str:
    return f'"{value}"'


def _stage(plan: Plan, segment: Segment, scalars: str, run: str, live: str = "") -> str:
    conditions = [str(i) for i, s in enumerate(segment.slots) if s.kind == "bool"]
    args = [scalars, run]
    args += [f"conditions={_tuple(conditions)}"] if conditions else []
    args += ["sized=True"] if reads_sizes(plan, segment) else []
    args += [f"live=Live({live})"] if live else []
    return f"Stage({', '.join(args)})"


def _hyperparameter(key: str, p: Param) -> str:
    args = [_text(key), TYPES[p.type]]
    args += [] if p.default is None else [number(p.default)]
    if (i := p.interval) is not None:
        args += [f"low={number(i.low)}"] * (i.low > -math.inf) + [f"high={number(i.high)}"] * (i.high < math.inf)
        args += ["low_open=True"] * i.low_open + ["high_open=True"] * i.high_open
    return f"Hyperparameter({', '.join(args)})"


def _state(m: Memory, flags: list[str]) -> str:
    args = [_text(m.key)]
    args += [f"scope={_text(m.scope)}"] * (m.scope != "element")
    if m.dtype is not None:
        own = _text(m.dtype) if m.dtype == "like_param" else f"torch.{m.dtype}"
        args.append(f"dtype={QUANTISED.get(m.dtype, own)}")
    args += [] if m.fill == 0 else [f"fill={None if m.fill is None else number(m.fill)}"]
    args += [f"flag={flags.index(m.flag)}"] if m.flag is not None else []
    args += [] if m.written else ["written=False"]
    args += ["nonnegative=True"] if m.nonnegative else []
    kind = "Quantised" if m.dtype in QUANTISED else "State" if m.scope == "element" else "ScopedState"
    return f"{kind}({', '.join(args)})"


def emit_backends(native: bool, kernel: bool, parts: Collection[str]) -> list[str]:
    """The table of functions that can take a step, by the name of the backend."""
    runs = {"torch": "run_in_blocks", "compiled": "run_compiled"} if "native" in parts else {"torch": "run_torch"}
    runs |= {how: f"run_{how}" for how in ("native", "when_made", "when_ready")} if native and "native" in parts else {}
    runs |= {"triton": "run_triton"} if kernel else {}
    rows = [f"{STEP * 2}{_text(name)}: {run}," for name, run in runs.items()]
    return [f"{STEP}backends: ClassVar[dict[str, Function]] = {{", *rows, f"{STEP}}}"]


def layers(plan: Plan, parts: Collection[str]) -> list[str]:
    """The classes that make up an optimizer, the uppermost first."""
    own = {
        "EvaluatingOptimizer": any(p.evaluate is not None for p in programs(plan)),
        "InputsOptimizer": any(p.extra_inputs for p in programs(plan)),
        "PeerOptimizer": bool(peer_of(plan).states),
    }
    return [*(PARTS[part].layer for part in parts), *(layer for layer, wanted in own.items() if wanted)]


def options(plan: Plan, parts: Collection[str]) -> dict[str, Option]:
    """The keyword arguments besides the rule's own."""
    of_parts = {name: option for part in parts for name, option in PARTS[part].options.items()}
    seeded = "precision" in parts or any(p.noisy for p in programs(plan))
    return OPTIONS | ({"seed": SEED} if seeded else {}) | {"backend": BACKEND} | of_parts


def left_out(parts: Collection[str]) -> dict[str, str]:
    """Options that a module does without, and the backend, with the parts that have them."""
    missing = {part: PARTS[part] for part in PARTS if part not in parts}
    return {name: part for part, its in missing.items() for name in (*its.options, *its.also)}


def emit_class(plan: Plan, kernel: bool, parts: Collection[str]) -> str:
    """The optimizer's class: its keyword arguments are the rule's hyperparameters and torch's options."""
    names, others, missing = torch_names(plan), options(plan, parts), left_out(parts)
    arguments = _arguments(plan, others)
    ordered = positional(plan, [key for key, _ in parameters(plan)])
    given = [f"{name}: {arguments.pop(name)}" for name in ordered]
    fixed = [f"{name}: {rest}" for name, rest in arguments.items()]
    fixed += ["**left_out: Any"] if missing else []
    defaults = [*(key for key, _ in parameters(plan)), *names, *(name for name in others if name not in HOW)]
    how = [*(name for name in HOW if name in others), *(["**left_out"] if missing else [])]
    native = any(has_native(p) for p in programs(plan))
    lines = [
        *wrapped(f"class {plan.name}", layers(plan, parts) or ["RuleOptimizer"], ":"),
        *docstring(_about(plan, others), STEP),
        "",
        f"{STEP}programs = {_tuple(['PROGRAM', 'OTHERWISE_PROGRAM'][: len(programs(plan))])}",
        *emit_names(names),
        *_peer(plan),
        *emit_backends(native, kernel, parts),
        *_constant("left_out", "dict[str, str]", {name: _text(part) for name, part in missing.items()}),
        "",
        f"{STEP}def __init__(",
        *(f"{STEP * 2}{line}," for line in ("self", "params: Any", *given, "*", *fixed)),
        f"{STEP}) -> None:",
        f"{STEP * 2}defaults = {{",
        *(f"{STEP * 3}{_text(key)}: {key}," for key in defaults),
        f"{STEP * 2}}}",
        f"{STEP * 2}super().__init__({', '.join(['params', 'defaults', *how])})",
    ]
    return "\n".join(lines)


def _constant(name: str, type: str, values: dict[str, str]) -> list[str]:
    """A dictionary of the class as a formatter lays it out, if there is anything in it; values are code."""
    rows = [f"{_text(key)}: {value}" for key, value in values.items()]
    head = f"{STEP}{name}: ClassVar[{type}] = {{"
    one = f"{head}{', '.join(rows)}}}"
    if len(one) <= WIDTH:
        return [one] if rows else []
    return [head, *(f"{STEP * 2}{row}," for row in rows), f"{STEP}}}"]


def emit_names(names: dict[str, str | tuple[str, ...]]) -> list[str]:
    """The table of torch's names for hyperparameters."""
    texts = {name: _text(own) if isinstance(own, str) else _tuple(list(map(_text, own))) for name, own in names.items()}
    return _constant("torch_names", "Names", texts)


def _arguments(plan: Plan, others: dict[str, Option]) -> dict[str, str]:
    """The type and default of each argument."""
    types = {key: _type(p) for key, p in parameters(plan)}
    named = {name: types[own] if isinstance(own, str) else "Any" for name, own in torch_names(plan).items()}
    out = {name: f"{type} | None = None" for name, type in named.items()}
    out |= {key: f"{types[key]} = {_default(p)}" for key, p in parameters(plan)}
    return out | {name: f"{option.type} = {option.default}" for name, option in others.items()}


def _peer(plan: Plan) -> list[str]:
    """What a rule that torch has too needs to read its checkpoints."""
    peer = peer_of(plan)
    states = _constant("torch_states", "dict[str, str]", {name: _text(own) for name, own in peer.states.items()})
    flags = _constant("torch_flags", "dict[str, Any]", {name: repr(x) for name, x in peer.flags.items()})
    lacks = [f"{STEP}torch_lacks: ClassVar[tuple[str, ...]] = {_tuple([_text(x) for x in peer.lacks])}"]
    return states + flags + (lacks if peer.lacks else [])


def _type(p: Param) -> str:
    return "float | Tensor" if p.type == "real" else TYPES[p.type]


def _default(p: Param) -> str:
    return "required" if p.default is None else number(p.default)


def _about(plan: Plan, others: dict[str, Option]) -> str:
    """The class's docstring: the rule's own words, its hyperparameters, and the other options."""
    out = [plan.doc.strip() or f"The rule `{plan.name}`.", "", "Args:", f"{STEP}params: parameters, or groups of them"]
    for key, p in parameters(plan):
        facts = [p.doc, "required" if p.default is None else "", f"in {p.interval}" if p.interval is not None else ""]
        out.append(f"{STEP}{key}: {'; '.join(f for f in facts if f) or p.type}")
    for name, own in torch_names(plan).items():
        out.append(f"{STEP}{name}: torch's name for {own if isinstance(own, str) else ', '.join(own)}, in groups too")
    together: list[str] = []
    for name, option in others.items():
        together.append(name)
        if option.about:
            out.append(f"{STEP}{', '.join(together)}: {option.about}")
            together = []
    return "\n".join(out)
