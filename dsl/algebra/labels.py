"""A rule in normal form → an order of its nodes that depends on structure and numbers alone, never on names.

Hyperparameters and states start out alike, but for their types, and are told apart by what they are made of and by what
is made of them, round after round (colour refinement). Literals break the ties that structure leaves, and only those.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..rule import Param, Rule
from .graph import Traced, reachable
from .normal import Normal
from .shuffle import MASK, bits, edges, key_of, mix, word

ROUNDS = 4


class Labels:
    """`live` are the nodes that count, arguments first; `rank` sorts what stands where order does not matter."""

    def __init__(self, rule: Rule, traced: Traced, normal: Normal) -> None:
        self.nodes = normal.graph.nodes
        self.one = normal.one
        self.roots = {name: normal.of[i] for name, i in traced.roots.items()}
        self.memory = {name: tuple(normal.of[i] for i in m.nodes()) for name, m in traced.states.items()}
        self.live = reachable(self.nodes, self.roots.values(), self.memory)
        params, states = {p.name: p for p in rule.params}, {s.name: s for s in rule.states}
        colours: dict[int, int] = {}
        for i in self.live:
            node = self.nodes[i]
            if node.op == "param":
                param = params[str(node.data)]
                colours[i] = word(f"{param.type} {param.default is None}")
            elif node.op == "state":
                state = states[str(node.data)]
                colours[i] = word(f"{state.scope} {state.dtype}")
        self._refine(colours, values=False)
        self._structure = self._keys(colours, values=False)
        for i in colours:
            if self.nodes[i].op == "param":
                colours[i] = mix(colours[i], _number_of(params[str(self.nodes[i].data)]))
        self._refine(colours, values=True)
        self._values = self._keys(colours, values=True)

    def rank(self, i: int) -> tuple[int, int]:
        return self._structure[i], self._values[i]

    def _keys(self, colours: dict[int, int], values: bool) -> list[int]:
        keys = [0] * len(self.nodes)
        for i in self.live:
            keys[i] = key_of(self.nodes[i], keys, self.one, values, colours.get(i))
        return keys

    def _entries(self, colours: dict[int, int]) -> Iterator[tuple[int, int]]:
        """Where the rule's results are, and what each of them is."""
        for name, i in self.roots.items():
            yield word(name), i
        for i, colour in colours.items():
            if self.nodes[i].op == "state":
                for slot, part in enumerate(self.memory[self.nodes[i].data]):
                    yield mix(colour, slot), part

    def _refine(self, colours: dict[int, int], values: bool) -> None:
        distinct = len(set(colours.values()))
        for _ in range(ROUNDS):
            if distinct == len(colours):
                return
            self._round(colours, values)
            before, distinct = distinct, len(set(colours.values()))
            if before == distinct:
                return

    def _round(self, colours: dict[int, int], values: bool) -> None:
        keys = self._keys(colours, values)
        uses = [0] * len(self.nodes)
        for slot, i in self._entries(colours):
            uses[i] += slot
        for i in reversed(self.live):
            above = mix(uses[i] & MASK, keys[i])
            for slot, a in edges(self.nodes[i], self.one, values):
                uses[a] += mix(above, slot)
        for i in colours:
            colours[i] = mix(colours[i], uses[i] & MASK)
            if self.nodes[i].op == "state":
                for part in self.memory[self.nodes[i].data]:
                    colours[i] = mix(colours[i], keys[part])


def _number_of(param: Param) -> int:
    default = 0 if param.default is None else bits(float(param.default))
    return mix(default, word(str(param.interval)))
