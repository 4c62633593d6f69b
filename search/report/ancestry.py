"""A rule's ancestors as a family tree with places: generations in order, siblings beside each other; draws nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..runs.store import Individual
from ..training.fitness import DIVERGED

SHOWN = 28
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
class Descent:
    """From a parent to its child: the places, (layer, slot), that the line between them goes through, both included."""

    parent: str
    child: str
    places: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Ancestry:
    """The nearest ancestors of a rule, itself last, the lines between them, and how many more ancestors there are."""

    members: tuple[Ancestor, ...]
    descents: tuple[Descent, ...]
    generations: tuple[int, ...]
    hidden: int


def ancestry(winner: Individual, everyone: Mapping[str, Individual], shown: int = SHOWN) -> Ancestry:
    """The family tree of a rule; the main line is always whole, of the others those nearest to it are kept."""
    line = _main_line(winner, everyone)
    near = _nearest(winner, everyone)
    kept = [*line, *(i for i in near if i not in line)][: max(shown, len(line))]
    family = {one: everyone[one] for one in kept}
    generations = tuple(sorted({i.generation for i in family.values()}))
    layers = {one: generations.index(i.generation) for one, i in family.items()}
    chains = [_chain(p, one, layers) for one, i in family.items() for p in dict.fromkeys(i.parents) if p in family]
    places = _places(layers, chains)
    members = [Ancestor(i, *places[one], one in line) for one, i in family.items()]
    members.sort(key=lambda a: (a.layer, a.slot))
    descents = [Descent(c[0], c[-1], tuple(places[stop] for stop in c)) for c in chains]
    return Ancestry(tuple(members), tuple(descents), generations, len(near) - len(family))


def _main_line(winner: Individual, everyone: Mapping[str, Individual]) -> dict[str, None]:
    line = {winner.id: None}
    one = winner
    while one.parents:
        one = max((everyone[p] for p in one.parents), key=lambda i: DIVERGED if i.fitness is None else i.fitness)
        line[one.id] = None
    return line


def _nearest(winner: Individual, everyone: Mapping[str, Individual]) -> list[str]:
    """The winner and all its ancestors, by how many births away they are."""
    found = [winner.id]
    known = set(found)
    for one in found:
        new = [parent for parent in dict.fromkeys(everyone[one].parents) if parent not in known]
        found += new
        known.update(new)
    return found


def _chain(parent: str, child: str, layers: Mapping[str, int]) -> list[str]:
    """The stops from parent to child, a nameless one in every layer between, so that lines go around other rules."""
    between = range(layers[parent] + 1, layers[child])
    return [parent, *(f"{parent} {child} {layer}" for layer in between), child]


def _places(layers: Mapping[str, int], chains: Sequence[Sequence[str]]) -> dict[str, tuple[int, float]]:
    """Layer and slot of every stop: a layer's stops lie evenly, ordered by their neighbours' means (Sugiyama, 1981)."""
    rows: dict[int, list[str]] = defaultdict(list)
    for one, layer in layers.items():
        rows[layer].append(one)
    near: dict[str, list[str]] = defaultdict(list)
    for chain in chains:
        for k, stop in enumerate(chain[1:-1], layers[chain[0]] + 1):
            rows[k].append(stop)
        for here, there in pairwise(chain):
            near[here].append(there)
            near[there].append(here)
    slots: dict[str, float] = {}
    for _ in range(SWEEPS):
        for row in rows.values():
            row.sort(key=lambda stop: _mean([slots[n] for n in near[stop] if n in slots]))
            slots.update({stop: (k + 0.5) / len(row) for k, stop in enumerate(row)})
    return {stop: (layer, slots[stop]) for layer, row in rows.items() for stop in row}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5
