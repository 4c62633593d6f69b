"""A rule's ancestors as a family tree with places: generations in order, siblings beside each other; draws nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ..fitness import DIVERGED
from ..store import Individual

SHOWN = 36
SWEEPS = 4


@dataclass(frozen=True)
class Ancestor:
    """A rule in the tree: `layer` counts the generations shown from the oldest, `slot` is between 0 and 1 across.

    `main` marks the line from the winner through each fitter parent.
    """

    individual: Individual
    layer: int
    slot: float
    main: bool


@dataclass(frozen=True)
class Ancestry:
    """The nearest ancestors of a rule, itself last, and how many more there are."""

    members: tuple[Ancestor, ...]
    edges: tuple[tuple[str, str], ...]
    layers: tuple[int, ...]
    hidden: int


def ancestry(winner: Individual, everyone: Mapping[str, Individual], shown: int = SHOWN) -> Ancestry:
    """The family tree of a rule; the main line is always whole, of the others those nearest to it are kept."""
    line = _main_line(winner, everyone)
    near = _nearest(winner, everyone)
    kept = [*line, *(i for i in near if i not in line)][: max(shown, len(line))]
    family = {one: everyone[one] for one in kept}
    edges = tuple((parent, one) for one, i in family.items() for parent in dict.fromkeys(i.parents) if parent in family)
    layers = tuple(sorted({i.generation for i in family.values()}))
    slots = _slots(family, edges)
    members = [Ancestor(i, layers.index(i.generation), slots[one], one in line) for one, i in family.items()]
    members.sort(key=lambda a: (a.layer, a.slot))
    return Ancestry(tuple(members), edges, layers, len(near) - len(family))


def _main_line(winner: Individual, everyone: Mapping[str, Individual]) -> dict[str, None]:
    line = {winner.id: None}
    one = winner
    while one.parents:
        one = max((everyone[p] for p in one.parents), key=lambda i: DIVERGED if i.fitness is None else i.fitness)
        line[one.id] = None
    return line


def _nearest(winner: Individual, everyone: Mapping[str, Individual]) -> list[str]:
    """The winner and all its ancestors, by how many births away they are."""
    found = {winner.id: None}
    for one in (queue := [winner.id]):
        for parent in everyone[one].parents:
            if parent not in found:
                found[parent] = None
                queue.append(parent)
    return list(found)


def _slots(family: Mapping[str, Individual], edges: tuple[tuple[str, str], ...]) -> dict[str, float]:
    """Places across, each layer spread evenly in the order of the means of its neighbours (Sugiyama's barycentres)."""
    layers: dict[int, list[str]] = defaultdict(list)
    for one, individual in family.items():
        layers[individual.generation].append(one)
    near: dict[str, list[str]] = defaultdict(list)
    for parent, child in edges:
        near[parent].append(child)
        near[child].append(parent)
    slots = {one: _even(k, len(row)) for row in layers.values() for k, one in enumerate(row)}
    for _ in range(SWEEPS):
        for row in layers.values():
            row.sort(key=lambda one: sum(slots[n] for n in near[one]) / max(1, len(near[one])))
            slots.update({one: _even(k, len(row)) for k, one in enumerate(row)})
    return slots


def _even(k: int, count: int) -> float:
    return (k + 0.5) / count
