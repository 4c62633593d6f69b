"""The compiler's one intermediate form: what a step computes on the host, and what it then does to tensors.

A plan is data. `lower.py` makes it, the emitters print it as Python, and `verify` holds it to its own rules in between.
Expressions are the language's (`dsl.syntax.Expr`), but every name in them is an identifier of the generated code, and
every part that needs no tensor has become a slot: one column of the scalar table, a number that the host supplies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ...dsl.operators import Kind
from ...dsl.rule import Param
from ...dsl.text.expressions import Expr, Matrix, Name, Noise, Prev, Reduce, Scope
from ...dsl.text.walking import walk

QUANTISED = {"int8": "torch.int8", "fp8": "torch.float8_e4m3fn", "ufp8": "torch.uint8"}
"""The dtypes of states that are kept in blocks with a scale each, and what torch calls those of their codes."""

GIVEN_SCALARS = ("t", "ndim", "rows", "cols", "numel")


class PlanError(Exception):
    """A plan breaks its own rules: a fault of the compiler, never of the user's text."""


@dataclass(frozen=True, slots=True)
class HostLet:
    """`name = value`, in float64, from hyperparameters, `t`, the tensor's sizes and earlier host values."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class HostWhen:
    condition: Expr
    then: tuple[HostStatement, ...]
    otherwise: tuple[HostStatement, ...]


HostStatement = HostLet | HostWhen


@dataclass(frozen=True, slots=True)
class Slot:
    """One column of the scalar table. A bool travels as 0 or 1 and is read back as a condition."""

    name: str
    value: Expr
    kind: Kind


@dataclass(frozen=True, slots=True)
class Flag:
    """A condition or a count that is part of the code's structure: one compiled variant for each value."""

    name: str
    value: Expr
    type: Literal["bool", "int"]


@dataclass(frozen=True, slots=True)
class Bind:
    """`name = value` on tensors; a name may be bound again. A reduction is always a whole value, never inside one."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Branch:
    flag: str
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    flag: str
    body: tuple[Statement, ...]


Statement = Bind | Branch | Loop


@dataclass(frozen=True, slots=True)
class Segment:
    """A function on tensors: `inputs` and `slots` come in, `outputs` go out; the plan's flags choose its branches."""

    slots: tuple[Slot, ...]
    inputs: tuple[str, ...]
    body: tuple[Statement, ...]
    outputs: tuple[str, ...]

    def binds(self) -> Iterator[Bind]:
        """Every binding."""
        yield from binds(self.body)


@dataclass(frozen=True, slots=True)
class Memory:
    """A state as it is stored. `fill` is its first value, None where the `initial` segment computes it.

    `key` names it in the optimizer's `state_dict`, `name` in the code; `flag` says whether it is kept at all,
    `nonnegative` that it is proven never to be below 0.
    """

    key: str
    name: str
    scope: Scope
    dtype: str | None
    fill: float | None
    flag: str | None
    written: bool
    nonnegative: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One rule, ready to be printed. `params` pairs each hyperparameter with the code's name for it."""

    name: str
    doc: str
    params: tuple[tuple[Param, str], ...]
    host: tuple[HostStatement, ...]
    flags: tuple[Flag, ...]
    memories: tuple[Memory, ...]
    extra_inputs: tuple[str, ...]
    step: Segment
    initial: Segment | None = None
    evaluate: Segment | None = None
    serves: Expr | None = None
    fallback: Plan | None = None

    def segments(self) -> Iterator[Segment]:
        yield from (s for s in (self.step, self.initial, self.evaluate) if s is not None)

    @property
    def lockstep(self) -> bool:
        """Whether all tensors must advance together, since some value depends on every one of them."""
        return any(isinstance(b.value, Reduce) and b.value.scope == "model" for b in self.step.binds())

    @property
    def elementwise(self) -> bool:
        """Whether no element's step depends on another element."""
        parts = [part for b in self.step.binds() for part in walk(b.value)]
        alone = not any(isinstance(part, Reduce | Matrix | Noise) for part in parts)
        return alone and all(m.scope == "element" for m in self.memories)

    @property
    def shards(self) -> Literal["alone", "reduced", "whole"]:
        """What a part of a tensor can do by itself: a step, all of it but the reductions, or nothing.

        The largest of a part with no elements is an error to torch, so that `max_of` needs tensors whole.
        """
        parts = [part for s in self.segments() for b in s.binds() for part in walk(b.value)]
        whole = any(isinstance(p, Matrix | Noise) or (isinstance(p, Reduce) and p.op == "max_of") for p in parts)
        if whole or self.quantised or any(m.scope in ("row_pair", "col_pair") for m in self.memories):
            return "whole"
        kept_alone = all(m.scope in ("element", "tensor", "model") for m in self.memories)
        return "alone" if kept_alone and not any(isinstance(p, Reduce) for p in parts) else "reduced"

    @property
    def quantised(self) -> bool:
        """Whether a state is kept as codes, with a scale for each block of them."""
        return any(m.dtype in QUANTISED for m in self.memories)

    @property
    def noisy(self) -> bool:
        return any(isinstance(part, Noise) for b in self.step.binds() for part in walk(b.value))


def binds(body: Iterable[Statement]) -> Iterator[Bind]:
    """Every binding of a block, those inside its blocks too, in textual order."""
    for s in body:
        if isinstance(s, Bind):
            yield s
        elif isinstance(s, Branch):
            yield from binds(s.then)
            yield from binds(s.otherwise)
        else:
            yield from binds(s.body)


def verify(plan: Plan) -> Plan:
    """The same plan, once it is known to be well formed. Raises PlanError."""
    host_names = {name for _, name in plan.params} | {*GIVEN_SCALARS, "inf", "pi"}
    known = host_names | _host_defined(plan.host)
    for flag in plan.flags:
        _expect(flag.value, known, f"flag `{flag.name}`")
    for segment in plan.segments():
        _verify_segment(segment, known, {f.name for f in plan.flags})
    if len({m.name for m in plan.memories}) != len(plan.memories):
        raise PlanError("two states share a name")
    if plan.fallback is not None:
        verify(plan.fallback)
    return plan


def _verify_segment(segment: Segment, host_names: set[str], flags: set[str]) -> None:
    for slot in segment.slots:
        _expect(slot.value, host_names, f"slot `{slot.name}`")
    names = [*segment.inputs, *(s.name for s in segment.slots), *flags]
    if len(set(names)) != len(names):
        raise PlanError(f"an argument appears twice among {names}")
    defined = _verify_body(segment.body, set(names), flags)
    if missing := set(segment.outputs) - defined:
        raise PlanError(f"never computed: {sorted(missing)}")


def _host_defined(host: tuple[HostStatement, ...]) -> set[str]:
    out: set[str] = set()
    for s in host:
        out |= {s.name} if isinstance(s, HostLet) else _host_defined(s.then) | _host_defined(s.otherwise)
    return out


def _verify_body(body: tuple[Statement, ...], known: set[str], flags: set[str]) -> set[str]:
    known = set(known)
    for s in body:
        if isinstance(s, Bind):
            _expect(s.value, known, f"`{s.name}`")
            _expect_flat(s)
            known.add(s.name)
            continue
        if s.flag not in flags:
            raise PlanError(f"no flag `{s.flag}`")
        if isinstance(s, Branch):
            known = _verify_body(s.then, known, flags) & _verify_body(s.otherwise, known, flags)
        else:
            known |= _verify_body(s.body, known, flags)
    return known


def _expect(value: Expr, known: set[str], what: str) -> None:
    for part in walk(value):
        if isinstance(part, Name) and part.id not in known:
            raise PlanError(f"{what} reads `{part.id}` before it exists")
        if isinstance(part, Prev):
            raise PlanError(f"{what} still holds prev({part.state})")


def _expect_flat(bind: Bind) -> None:
    inner = list(walk(bind.value))[1:]
    if any(isinstance(part, Reduce) for part in inner):
        raise PlanError(f"`{bind.name}` holds a reduction inside an expression")


def identifiers(plan: Plan) -> set[str]:
    """Every name that the plan's code binds or takes."""
    out: set[str] = {name for _, name in plan.params} | _host_defined(plan.host) | {f.name for f in plan.flags}
    for segment in plan.segments():
        out |= {*segment.inputs, *(s.name for s in segment.slots), *(b.name for b in segment.binds())}
    return out
