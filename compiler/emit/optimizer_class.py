"""Prints the class of a generated module's optimizer: its keyword arguments, layers and tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ...dsl.rule import Param
from ..plan.names import snake
from ..plan.plan import Plan
from ..plan.torch_peers import Peer, peer_of, positional, torch_names
from ..runtime.groups import SPOKEN
from .layout import STEP, WIDTH, docstring, number, quoted, tuple_of, wrapped
from .native import has_native
from .parts import PARTS, Option
from .program import TYPES

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


def emit_backends(native: bool, kernel: bool, parts: Collection[str]) -> list[str]:
    """The table of functions that can take a step, by the name of the backend."""
    runs = {"torch": "run_in_blocks", "compiled": "run_compiled"} if "native" in parts else {"torch": "run_torch"}
    runs |= {how: f"run_{how}" for how in ("native", "when_made", "when_ready")} if native and "native" in parts else {}
    runs |= {"triton": "run_triton"} if kernel else {}
    return _constant("backends", "dict[str, Function]", runs)


def layers(plan: Plan, parts: Collection[str]) -> list[str]:
    """The classes that make up an optimizer, the uppermost first."""
    own = {
        "EvaluatingOptimizer": any(p.evaluate is not None for p in programs(plan)),
        "InputsOptimizer": any(p.extra_inputs for p in programs(plan)),
    }
    of_parts = [PARTS[part].layer for part in parts if part != "checkpoints" or peer_of(plan).states]
    return [*of_parts, *(layer for layer, wanted in own.items() if wanted)]


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
    how = ["backend", *(["**left_out"] if missing else [])]
    native = any(has_native(p) for p in programs(plan))
    lines = [
        *wrapped(f"class {plan.name}", layers(plan, parts) or ["RuleOptimizer"], ":"),
        *docstring(_about(plan, others), STEP),
        "",
        f"{STEP}programs = {tuple_of(['PROGRAM', 'OTHERWISE_PROGRAM'][: len(programs(plan))])}",
        *emit_names(names),
        *_peer(plan, parts),
        *emit_backends(native, kernel, parts),
        *_constant("left_out", "dict[str, str]", {name: quoted(part) for name, part in missing.items()}),
        "",
        f"{STEP}def __init__(",
        *(f"{STEP * 2}{line}," for line in ("self", "params: ParamsT", *given, "*", *fixed)),
        f"{STEP}) -> None:",
        f"{STEP * 2}defaults = {{",
        *(f"{STEP * 3}{quoted(key)}: {key}," for key in defaults),
        f"{STEP * 2}}}",
        f"{STEP * 2}super().__init__({', '.join(['params', 'defaults', *how])})",
        *([f"{STEP * 2}self._compile = compile"] if "native" in parts else []),
    ]
    return "\n".join(lines)


def _constant(name: str, type: str, values: dict[str, str]) -> list[str]:
    """A dictionary of the class as a formatter lays it out, if there is anything in it; values are code."""
    rows = [f"{quoted(key)}: {value}" for key, value in values.items()]
    head = f"{STEP}{name}: ClassVar[{type}] = {{"
    one = f"{head}{', '.join(rows)}}}"
    if len(one) <= WIDTH:
        return [one] if rows else []
    return [head, *(f"{STEP * 2}{row}," for row in rows), f"{STEP}}}"]


def emit_names(names: dict[str, str | tuple[str, ...]]) -> list[str]:
    """The table of torch's names for hyperparameters."""
    texts = {
        name: quoted(own) if isinstance(own, str) else tuple_of(list(map(quoted, own))) for name, own in names.items()
    }
    return _constant("torch_names", "Names", texts)


def _arguments(plan: Plan, others: dict[str, Option]) -> dict[str, str]:
    """The type and default of each argument."""
    types = {key: _type(p) for key, p in parameters(plan)}
    many = "Sequence[float | Tensor | None]"
    named = {name: types[own] if isinstance(own, str) else many for name, own in torch_names(plan).items()}
    named |= {name: f"{type} | str" for name, type in named.items() if name in SPOKEN}
    out = {name: f"{type} | None = None" for name, type in named.items()}
    out |= {key: f"{types[key]} = {_default(p)}" for key, p in parameters(plan)}
    return out | {name: f"{option.type} = {option.default}" for name, option in others.items()}


def _peer(plan: Plan, parts: Collection[str]) -> list[str]:
    """What a rule that torch has too needs to speak as that does, and to read its checkpoints."""
    peer = peer_of(plan)
    states = _constant("torch_states", "dict[str, str]", {name: quoted(own) for name, own in peer.states.items()})
    flags = _constant("torch_flags", "dict[str, Any]", {name: repr(x) for name, x in peer.flags.items()})
    words = _constant("torch_words", "dict[str, str]", {name: quoted(says) for name, says in peer.words.items()})
    listed = {"torch_lacks": peer.lacks, "torch_plain": peer.plain, "refuses": peer.refuses}
    if "checkpoints" not in parts:
        states, flags, listed = [], [], {"refuses": peer.refuses}
    lists = [
        f"{STEP}{name}: ClassVar[tuple[str, ...]] = {tuple_of([quoted(x) for x in those])}"
        for name, those in listed.items()
        if those != getattr(Peer({}), name.removeprefix("torch_"))
    ]
    return states + flags + words + lists


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
