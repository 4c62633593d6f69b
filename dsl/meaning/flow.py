"""A rule and gradients that are known beforehand → what every step does, each value for all steps at once.

Only what a step takes from the step before (a state, theta where it decays) is worked out step by step; everything else
is a few numpy calls on arrays with an axis for the steps. The meaning is `interpret.py`'s, in the same float64
arithmetic; sums of a reduction are added up in another order. Rules with loops, inputs or matrix operations are left to
the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..operators import OPERATORS
from ..rule import Rule, Value
from . import matrices
from .graph import Node, Traced, reachable, trace
from .interpret import default_noise, initial_states, reduction, state_shape, step
from .settle import settled

Array = NDArray[np.float64]
THETA = "theta"


def trajectories(rule: Rule, setting: Mapping[str, Value], theta: Array, gradients: Array) -> Array | None:
    """theta before each step and after the last, (trajectories, steps + 1, rows, columns).

    `theta` is a matrix, `gradients` one for every trajectory and step. None for a rule that only the interpreter runs.
    """
    rows, cols = theta.shape
    rule = settled(rule, {**setting, "ndim": 2, "rows": rows, "cols": cols, "numel": theta.size})
    traced = trace(rule)
    live = reachable(traced.graph.nodes, [traced.roots[THETA]], {n: m.nodes() for n, m in traced.states.items()})
    if rule.inputs or any(not _runs(traced.graph.nodes[i]) for i in live):
        return None
    with np.errstate(all="ignore"):
        return _Flow(rule, traced, setting, theta, gradients).thetas(live)


def paths(rule: Rule, setting: Mapping[str, Value], theta: Array, gradients: Array) -> Array:
    """The same for every rule: by the interpreter, trajectory after trajectory, where it has to be."""
    found = trajectories(rule, setting, theta, gradients)
    return np.stack([_interpreted(rule, setting, theta, row) for row in gradients]) if found is None else found


def _interpreted(rule: Rule, setting: Mapping[str, Value], theta: Array, gradients: Array) -> Array:
    states, path = initial_states(rule, setting, theta), [theta]
    for t, gradient in enumerate(gradients, 1):
        theta, states = step(rule, setting, theta, gradient, states, t)
        path.append(theta)
    return np.stack(path)


def _runs(node: Node) -> bool:
    return node.op in OPERATORS or node.op in _LEAVES or node.op in ("reduce", "cast")


_LEAVES = frozenset(("number", "bool", "given", "param", "state", "noise"))


class _Flow:
    """`series` has the value of each node that is known for all steps; `paths` what states, and theta, hold before each
    step and after the last; `known` says of which, as bits."""

    def __init__(
        self, rule: Rule, traced: Traced, setting: Mapping[str, Value], theta: Array, gradients: Array
    ) -> None:
        self.nodes, self.gradients, self.theta, self.setting = traced.graph.nodes, gradients, theta, setting
        self.roots = {THETA: traced.roots[THETA], **{name: m.update for name, m in traced.states.items()}}
        self.inits = {name: m.init for name, m in traced.states.items()}
        self.shapes = {THETA: theta.shape, **{s.name: state_shape(s.scope, theta.shape) or (1, 1) for s in rule.states}}
        self.bit = {name: 1 << k for k, name in enumerate(self.roots)}
        self.series: dict[int, Any] = {}
        self.paths: dict[str, Array] = {}
        self.known = 0
        rows, cols = theta.shape
        self.given: dict[str, Any] = {
            "g": gradients, "t": np.arange(1.0, self.steps + 1).reshape(-1, 1, 1), "pi": np.pi, "inf": np.inf,
            "ndim": 2.0, "rows": float(rows), "cols": float(cols), "numel": float(theta.size),
        }  # fmt: skip

    @property
    def steps(self) -> int:
        return len(self.gradients[0])

    def thetas(self, live: Sequence[int]) -> Array:
        waits = self._waits(live)
        for group in self._groups(live, waits):
            self._know(live, waits)
            self._loop(group, {i for i in live if i not in self.series})
        return self.paths[THETA]

    def _waits(self, live: Sequence[int]) -> dict[int, int]:
        """For each node, which states (and theta) as the step begins it is made of, as bits."""
        waits: dict[int, int] = {}
        for i in live:
            node = self.nodes[i]
            held = node.op == "state" or (node.op == "given" and node.data == THETA)
            waits[i] = self.bit[node.data] if held else 0
            for a in node.args:
                waits[i] |= waits[a]
        return waits

    def _groups(self, live: Sequence[int], waits: Mapping[int, int]) -> list[list[str]]:
        """States that wait for each other are one group; a group stands behind all that it waits for."""
        named = {THETA, *(self.nodes[i].data for i in live if self.nodes[i].op == "state")}
        needs = {name: waits[self.roots[name]] | self.bit[name] for name in named}
        for _ in named:  # what is needed by what is needed; a chain is no longer than there are names
            for name in named:
                for other in named:
                    needs[name] |= needs[other] if needs[name] & self.bit[other] else 0
        groups: dict[int, list[str]] = {}
        for name in sorted(named, key=lambda n: self.bit[n]):
            groups.setdefault(needs[name], []).append(name)
        return [groups[need] for need in sorted(groups, key=int.bit_count)]

    def _know(self, live: Sequence[int], waits: Mapping[int, int]) -> None:
        """The values of all nodes that nothing unknown holds up, for all steps at once."""
        for i in live:
            if i not in self.series and not waits[i] & ~self.known:
                self.series[i] = self._value(self.nodes[i])

    def _loop(self, group: Sequence[str], waiting: set[int]) -> None:
        """Step after step through what one group of states needs of itself."""
        count, nodes = len(self.gradients), self.nodes
        roots = {name: self.roots[name] for name in group}
        inner = _below(nodes, roots.values(), waiting)
        held = [(i, str(nodes[i].data)) for i in inner if not nodes[i].args]
        work = [(i, self._meaning(nodes[i]), nodes[i].args) for i in sorted(inner) if nodes[i].args]
        outer = {a for i in inner for a in nodes[i].args if a not in inner} | (set(roots.values()) - inner)
        at = {a: np.asarray(self.series[a]) for a in outer}
        moving = [(a, _by_step(x)) for a, x in at.items() if x.ndim >= 3]
        path = {name: np.empty((self.steps + 1, count, *self.shapes[name])) for name in group}
        for name in group:
            path[name][0] = self._start(name)
        for t in range(self.steps):
            for a, x in moving:
                at[a] = x[t]
            for i, name in held:
                at[i] = path[name][t]
            for i, meaning, args in work:
                at[i] = meaning(*[at[a] for a in args])
            for name, i in roots.items():
                path[name][t + 1] = at[i]
        self.known |= sum(self.bit[name] for name in group)
        self.paths |= {name: steps.swapaxes(0, 1) for name, steps in path.items()}

    def _start(self, name: str) -> Any:
        """What a state holds before the first step."""
        return self.theta if name == THETA else self._initial(self.inits[name])

    def _initial(self, i: int) -> Any:
        node = self.nodes[i]
        if node.op == "given" and node.data == THETA:
            return self.theta
        return self._meaning(node)(*map(self._initial, node.args)) if node.args else self._leaf(node)

    # ------------------------------------------------------------ nodes

    def _value(self, node: Node) -> Any:
        return self._meaning(node)(*[self.series[a] for a in node.args]) if node.args else self._leaf(node)

    def _leaf(self, node: Node) -> Any:
        match node.op:
            case "number":
                return float(node.data)
            case "bool":
                return node.data
            case "param":
                value = self.setting[node.data]
                return value if isinstance(value, bool) else float(value)
            case "noise":
                return np.stack([default_noise(node.data, 0, t + 1, self.theta.shape) for t in range(self.steps)])
        held = node.op == "state" or node.data == THETA
        return self.paths[node.data][:, :-1] if held else self.given[node.data]

    def _meaning(self, node: Node) -> Callable[..., Any]:
        if node.op == "reduce":
            op, scope = node.data
            return lambda *args: reduction(op, AXES.get(scope, (-2, -1)), args)
        if node.op == "cast":
            return lambda x: matrices.rounded(np.asarray(x, np.float64), node.data)
        return _UFUNCS.get(node.op) or partial(OPERATORS[node.op].numpy, np)


_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "sqrt": np.sqrt,
}  # fmt: skip
"""What the table of operators gives for most nodes, without the two calls to get there, half as dear again."""


def _by_step(x: Array) -> list[Array]:
    """A series' values step after step. One number has no axes: numpy broadcasts it three times as fast."""
    steps = x if x.ndim == 3 else x.swapaxes(0, 1)
    return [part.reshape(()) for part in steps] if x.size == len(steps) else list(steps)


AXES: dict[str, tuple[int, ...]] = {"row": (-1,), "col": (-2,)}


def _below(nodes: Sequence[Node], starts: Iterable[int], within: set[int]) -> set[int]:
    """The nodes that some start is made of, itself included, as far as they are among `within`."""
    found: set[int] = set()
    pending = [i for i in starts if i in within]
    while pending:
        i = pending.pop()
        if i not in found:
            found.add(i)
            pending += [a for a in nodes[i].args if a in within]
    return found
