"""Rule → what a step costs in memory: bytes of state, bytes moved, operations, and the least time they can take.

Bytes moved are the floor of a fused kernel: every tensor that the step needs is read once, every one that it changes
written once. A reduction over a whole tensor forces another pass, which reads again what it needs.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from ..algebra.facts import ELEMENT, HOST, SHAPES
from ..algebra.simplify import simplify
from ..algebra.study import at_defaults
from ..meaning.dtypes import BYTES
from ..meaning.graph import Node, Traced, reachable, trace
from ..operators import OPERATORS
from ..rule import Rule

BANDWIDTH = {
    "T4": 320e9, "RTX 4090": 1008e9, "A100": 2039e9, "H100": 3350e9, "H200": 4800e9, "B200": 8000e9, "DDR5": 80e9,
}  # fmt: skip
"""Bytes a second that a device's memory moves at best, as its maker states; DDR5 is two channels of a desktop."""


UNITS = {"GB/s": 1e9, "TB/s": 1e12, "GiB/s": 2.0**30, "TiB/s": 2.0**40}


def bytes_per_second(bandwidth: str) -> float:
    """The speed of a memory: a device of `BANDWIDTH`, or a figure with its unit such as "4.8TB/s".

    Raises ValueError for any other text.
    """
    if bandwidth in BANDWIDTH:
        return BANDWIDTH[bandwidth]
    match = re.fullmatch(rf"(\d+\.?\d*|\.\d+)\s*({'|'.join(UNITS)})", bandwidth.strip())
    speed = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0 < speed < float("inf"):
        raise ValueError(f"no bandwidth: {bandwidth}; it is one of {', '.join(BANDWIDTH)}, or like 4.8TB/s")
    return speed


@dataclass(frozen=True, slots=True)
class Traffic:
    """Per parameter, for parameters of `parameter_bytes` each.

    `state_bytes` by state, those of one value per element only; `smaller` names the others, which take next to nothing.
    `read` and `written` are bytes; `passes` is how often the tensors are gone through, `operations` how often each
    operator runs for one element. `matrices` are operations on whole matrices, whose cost is not of this kind.
    """

    parameter_bytes: float
    state_bytes: dict[str, float]
    smaller: dict[str, str]
    read: float
    written: float
    passes: int
    operations: dict[str, int]
    matrices: tuple[str, ...]

    @property
    def moved(self) -> float:
        """Bytes moved per parameter in a step."""
        return self.read + self.written

    def seconds(self, parameters: float, bandwidth: float) -> float:
        """The least time of a step for so many parameters at so many bytes a second."""
        return parameters * self.moved / bandwidth


def traffic(rule: Rule, parameter_bytes: float = 4.0) -> Traffic:
    """The memory traffic of a rule's step at its default hyperparameters: what is off by default costs nothing.

    `parameter_bytes` is the size of one parameter, and of its gradient.
    """
    simple = simplify(at_defaults(rule))
    traced = trace(simple)
    nodes = traced.graph.nodes
    shapes = _shapes(simple, traced)
    memory = {name: m.nodes() for name, m in traced.states.items()}
    roots = [traced.roots["theta"], *(m.update for m in traced.states.values())]
    live = reachable(nodes, roots, {name: (m.update,) for name, m in traced.states.items()})
    size = {s.name: BYTES.get(s.dtype or "float32", parameter_bytes) for s in simple.states if s.scope == "element"}
    weight = {**size, "g": parameter_bytes, "theta": parameter_bytes, **dict.fromkeys(simple.inputs, 4.0)}
    passes = _passes(nodes, live, roots)
    read = sum(weight.get(str(nodes[i].data), 0.0) * passes[i] for i in live if nodes[i].op in LEAVES)
    changed = [name for name in size if nodes[traced.states[name].update] != Node("state", (), name)]
    counted = Counter(nodes[i].op for i in live if nodes[i].op in OPERATORS and shapes[i] == ELEMENT)
    return Traffic(
        parameter_bytes=parameter_bytes,
        state_bytes=size,
        smaller={s.name: s.scope for s in simple.states if s.name in memory and s.scope != "element"},
        read=read,
        written=parameter_bytes + sum(size[name] for name in changed),
        passes=max([1, *passes.values()]),
        operations=dict(sorted(counted.items(), key=lambda x: (-x[1], x[0]))),
        matrices=tuple(sorted({str(nodes[i].data) for i in live if nodes[i].op == "matrix"} - {"transpose"})),
    )


LEAVES = ("given", "state", "input")


def _shapes(rule: Rule, traced: Traced) -> list[int]:
    """Over which scopes each node varies."""
    scopes = {s.name: SHAPES[s.scope] for s in rule.states}
    out: list[int] = []
    for node in traced.graph.nodes:
        match node.op:
            case "state":
                out.append(scopes[str(node.data)])
            case "reduce":
                out.append(SHAPES[node.data[1]])
            case "given":
                out.append(ELEMENT if node.data in ("g", "theta") else HOST)
            case "input" | "noise" | "matrix" | "carried" | "repeat" | "item":
                out.append(ELEMENT)
            case _:
                shape = HOST
                for a in node.args:
                    shape |= out[a]
                out.append(min(shape, ELEMENT))
    return out


def _passes(nodes: list[Node], live: list[int], roots: list[int]) -> dict[int, int]:
    """In how many passes over the tensors each node is needed: one, and one more for each reduction waited for."""
    level: dict[int, int] = {}
    for i in live:
        before = max((level[a] for a in nodes[i].args), default=0)
        level[i] = before + (nodes[i].op == "reduce" and nodes[i].data[1] != "element")
    last = max((level[i] for i in roots if i in level), default=0)
    needed: dict[int, set[int]] = {i: {last} for i in roots}
    for i in reversed(live):
        inside = {level[i] - 1} if nodes[i].op == "reduce" else needed.get(i, set())
        for a in nodes[i].args:
            needed.setdefault(a, set()).update(inside)
    return {i: len(needed.get(i, ())) for i in live}
