"""Counts the bytes that a plan's passes must move for each element of a matrix, from the plan alone, not from code.

Values per row, column, matrix or tensor count nothing, and neither do tables and the scales of codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...dsl.text.walking import names
from .homes import RESULT
from .kept import BYTES, Kept
from .passes import Passes, sliced
from .plan import Bind, Branch, Plan, Statement


@dataclass(frozen=True)
class Moved:
    """Bytes an element that one pass loads and stores."""

    loads: int
    stores: int


def moved(plan: Plan, passes: Passes, flags: Mapping[str, bool | int], kept: Kept) -> list[Moved]:
    """What each pass moves, the one that steps last, under some values of flags."""
    bodies = [(m.body, {c.term for c in m.columns}) for m in passes.measures]
    bodies.append((passes.body, set(plan.step.outputs)))
    return [_pass(plan, body, outputs, flags, kept) for body, outputs in bodies]


def floor(plan: Plan, passes: Passes, flags: Mapping[str, bool | int], kept: Kept) -> int:
    """What a step moves that reads every operand once and writes every result once."""
    bodies = [*(m.body for m in passes.measures), passes.body]
    wanted = {c.term for c in passes.columns} | set(plan.step.outputs)
    read = {x for body in bodies for x in _operands(plan, body, wanted, flags)}
    sizes = _sizes(plan, flags, kept)
    return sum(sizes[x] for x in read) + _stores(plan, sizes)


def _pass(
    plan: Plan, body: tuple[Statement, ...], outputs: set[str], flags: Mapping[str, bool | int], kept: Kept
) -> Moved:
    sizes = _sizes(plan, flags, kept)
    stores = _stores(plan, sizes) if outputs == set(plan.step.outputs) else 0
    return Moved(sum(sizes[x] for x in _operands(plan, body, outputs, flags)), stores)


def _operands(plan: Plan, body: tuple[Statement, ...], outputs: set[str], flags: Mapping[str, bool | int]) -> set[str]:
    """The operands that some results depend on, where flags have these values."""
    straight = sliced(tuple(_straight(body, flags)), outputs)
    bound: set[str] = set()
    read: set[str] = set()
    for s in straight:
        assert isinstance(s, Bind)
        read |= set(names(s.value)) - bound
        bound.add(s.name)
    return (read | (outputs - bound)) & _sizes(plan, flags, Kept()).keys()


def _straight(body: Iterable[Statement], flags: Mapping[str, bool | int]) -> Iterable[Bind]:
    """The bindings that are carried out, in their order."""
    for s in body:
        if isinstance(s, Bind):
            yield s
        elif isinstance(s, Branch):
            yield from _straight(s.then if flags[s.flag] else s.otherwise, flags)
        else:
            for _ in range(int(flags[s.flag])):
                yield from _straight(s.body, flags)


def _sizes(plan: Plan, flags: Mapping[str, bool | int], kept: Kept) -> dict[str, int]:
    """Bytes an element of each operand that has one value an element, and is kept."""
    out = dict.fromkeys(plan.step.inputs, BYTES[kept.dtype]) | {"theta": kept.parameter_bytes()}
    for m in plan.memories:
        out[m.name] = BYTES[kept.state(m)]
        if m.scope != "element" or (m.flag is not None and not flags[m.flag]):
            del out[m.name]
    return out


def _stores(plan: Plan, sizes: Mapping[str, int]) -> int:
    return sum(sizes.get("theta" if x == RESULT else x, 0) for x in plan.step.outputs)
