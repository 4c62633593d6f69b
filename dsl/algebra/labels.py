"""A rule in normal form → an order of its nodes that depends on structure and numbers alone, never on names.

Hyperparameters and states start out alike, but for their types, and are told apart by what they are made of and by what
is made of them, round after round (colour refinement). Literals break the ties that structure leaves, and only those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from ..meaning.graph import Traced, reachable
from ..rule import Param, Rule
from .normal import Normal
from .shuffle import bits, edges, key_of, mix, own, word

ROUNDS = 4


Shape = list[tuple[int, int, list[tuple[int, int]]]]
"""(node, what it is by itself, its edges) for every live node, arguments first."""


class Labels:
    """`live` are the nodes that count, arguments first; `order` is for what stands where order does not matter."""

    def __init__(self, rule: Rule, traced: Traced, normal: Normal) -> None:
        self.nodes = normal.graph.nodes
        self.one = normal.one
        self.roots = {name: normal.of[i] for name, i in traced.roots.items()}
        self.memory = {name: tuple(normal.of[i] for i in m.nodes()) for name, m in traced.states.items()}
        self.live = reachable(self.nodes, self.roots.values(), self.memory)
        self._params, states = {p.name: p for p in rule.params}, {s.name: s for s in rule.states}
        colours: dict[int, int] = {}
        for i in self.live:
            node = self.nodes[i]
            if node.op == "param":
                param = self._params[str(node.data)]
                colours[i] = word(f"{param.type} {param.default is None}")
            elif node.op == "state":
                state = states[str(node.data)]
                colours[i] = word(f"{state.scope} {state.dtype}")
        shape = self._shape(values=False)
        self._refine(colours, shape)
        self._colours, self._structure = colours, self._keys(colours, shape)

    def order(self, nodes: Sequence[int], shown: Sequence[object], numbers: Sequence[float] = ()) -> list[int]:
        """The places of nodes by structure, then by what is shown with each, by the numbers below and beside it."""
        keys = [(self._structure[i], text) for i, text in zip(nodes, shown, strict=True)]
        places = sorted(range(len(keys)), key=keys.__getitem__)
        if len(set(keys)) == len(keys):
            return places
        last = numbers or [0.0] * len(keys)
        return sorted(places, key=lambda k: (keys[k], self._values[nodes[k]], last[k]))

    @cached_property
    def _values(self) -> list[int]:
        """What tells nodes apart that are alike but for literals and hyperparameters' numbers; few rules need it."""
        colours, shape = dict(self._colours), self._shape(values=True)
        for i in colours:
            if self.nodes[i].op == "param":
                colours[i] = mix(colours[i], _number_of(self._params[str(self.nodes[i].data)]))
        self._refine(colours, shape)
        return self._keys(colours, shape)

    def _shape(self, values: bool) -> Shape:
        return [(i, own(self.nodes[i], values), list(edges(self.nodes[i], self.one, values))) for i in self.live]

    def _keys(self, colours: dict[int, int], shape: Shape) -> list[int]:
        keys = [0] * len(self.nodes)
        for i, itself, below in shape:
            keys[i] = key_of(colours.get(i, itself), below, keys)
        return keys

    def _entries(self, colours: dict[int, int]) -> Iterator[tuple[int, int]]:
        """Where the rule's results are, and what each of them is."""
        for name, i in self.roots.items():
            yield word(name), i
        for i, colour in colours.items():
            if self.nodes[i].op == "state":
                for slot, part in enumerate(self.memory[self.nodes[i].data]):
                    yield mix(colour, slot), part

    def _refine(self, colours: dict[int, int], shape: Shape) -> None:
        distinct = len(set(colours.values()))
        for _ in range(ROUNDS):
            if distinct == len(colours):
                return
            self._round(colours, shape)
            before, distinct = distinct, len(set(colours.values()))
            if before == distinct:
                return

    def _round(self, colours: dict[int, int], shape: Shape) -> None:
        keys = self._keys(colours, shape)
        uses = [0] * len(self.nodes)
        for slot, i in self._entries(colours):
            uses[i] += slot
        for i, _, below in reversed(shape):
            above = mix(uses[i], keys[i])
            for slot, a in below:
                uses[a] += mix(above, slot)
        for i in colours:
            colours[i] = mix(colours[i], uses[i])
            if self.nodes[i].op == "state":
                for part in self.memory[self.nodes[i].data]:
                    colours[i] = mix(colours[i], keys[part])


def _number_of(param: Param) -> int:
    default = 0 if param.default is None else bits(float(param.default))
    return mix(default, word(str(param.interval)))
