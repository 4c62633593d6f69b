"""Rule → a graph of values: no locals, one node for equal expressions, a root for what a step leaves behind.

Statements are followed in order; `clip`, `lerp`, `square`, `>` and `>=` are written out by what they mean. No algebra
is done here: `normal.py` does that. Arguments come before what uses them, so loops over nodes need no recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from ..operators import GIVEN
from ..recent import remembering
from ..rule import Rule, assigned
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When


class Node(NamedTuple):
    """`op` is an operator's name or a kind of leaf; `data` tells nodes of one op apart (a name, a literal, a scope)."""

    op: str
    args: tuple[int, ...] = ()
    data: Any = None


def reachable(
    nodes: Sequence[Node], starts: Iterable[int], memory: Mapping[str, Iterable[int]] = MappingProxyType({})
) -> list[int]:
    """The nodes that some start depends on, at this step or through `memory`, a state's other nodes, at a later one."""
    found: set[int] = set()
    pending = list(starts)
    while pending:
        i = pending.pop()
        if i not in found:
            found.add(i)
            pending += memory.get(nodes[i].data, ()) if nodes[i].op == "state" else nodes[i].args
    return sorted(found)


class Graph:
    """Nodes by number; asking for the same node twice gives the same number."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[tuple[str, tuple[int, ...], object], int] = {}

    def add(self, op: str, args: tuple[int, ...] = (), data: object = None) -> int:
        key = (op, args, data)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.nodes)
            self.nodes.append(Node._make(key))
        return number

    def number(self, value: float) -> int:
        """A literal; as text, since 0.0 and -0.0 are equal and are not the same."""
        return self.add("number", (), repr(value))


@dataclass(frozen=True, slots=True)
class Memory:
    """What one state starts from, becomes in a step, and where it exists at all (None is everywhere)."""

    init: int
    update: int
    when: int | None

    def nodes(self) -> tuple[int, ...]:
        return (self.init, self.update) if self.when is None else (self.init, self.update, self.when)


@dataclass(slots=True)
class Traced:
    """A whole rule as values.

    `roots` are "theta", and "evaluate" and "applies" where the rule says so; `outputs` those of `update`, `step_size`
    and `decay` that theta is made of, none where the rule writes theta itself.
    """

    graph: Graph
    roots: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    states: dict[str, Memory] = field(default_factory=dict)

    def live(self) -> list[int]:
        """The nodes that what a step leaves behind depends on, at this step or a later one."""
        return reachable(self.graph.nodes, self.roots.values(), {n: m.nodes() for n, m in self.states.items()})


@remembering
def trace(rule: Rule) -> Traced:
    """The rule's values. A local given a value in one arm only is the leaf "undefined" in the other."""
    tracer = _Tracer(rule)
    env: dict[str, int] = {}
    tracer.block(rule.body, env)
    traced = Traced(tracer.graph, {"theta": tracer.next_theta(env, rule.writes_theta())})
    traced.outputs = {name.removesuffix(" ="): i for name, i in env.items() if name.endswith(" =")}
    for s in rule.states:
        when = None if s.when is None else tracer.value(s.when, {})
        traced.states[s.name] = Memory(tracer.value(s.init, {}), env.get(s.name, tracer.leaf(s.name)), when)
    if rule.evaluate is not None:
        traced.roots["evaluate"] = tracer.value(rule.evaluate, {})
    if rule.applies is not None:
        traced.roots["applies"] = tracer.value(rule.applies.condition, {})
    return traced


NEXT = "theta <-"
"""Where the value that theta is to become is kept: `theta` itself stays what it was."""


class _Tracer:
    def __init__(self, rule: Rule) -> None:
        self.graph = Graph()
        self.loops = 0
        self.kinds = {
            **dict.fromkeys(GIVEN, "given"),
            **{p.name: "param" for p in rule.params},
            **dict.fromkeys(rule.inputs, "input"),
            **{s.name: "state" for s in rule.states},
        }

    def leaf(self, name: str) -> int:
        """What a name is before any statement has changed it."""
        if name == NEXT:
            return self.leaf("theta")
        return self.graph.add(self.kinds[name], (), name) if name in self.kinds else self.graph.add("undefined")

    def next_theta(self, env: Mapping[str, int], written: bool) -> int:
        if written:
            return env.get(NEXT, self.leaf(NEXT))
        add, theta = self.graph.add, self.leaf("theta")
        total = env["update ="]
        if "decay =" in env:
            total = add("add", (total, add("mul", (env["decay ="], theta))))
        return add("sub", (theta, add("mul", (env["step_size ="], total))))

    def block(self, body: Iterable[Statement], env: dict[str, int]) -> None:
        for s in body:
            match s:
                case Let(name=name, value=value) | Assign(name=name, value=value):
                    env[NEXT if name == "theta" else name] = self.value(value, env)
                case Output(name=name, value=value):
                    env[f"{name} ="] = self.value(value, env)
                case When():
                    self.when(s, env)
                case Repeat():
                    self.repeat(s, env)

    def when(self, s: When, env: dict[str, int]) -> None:
        condition, left, right = self.value(s.condition, env), dict(env), dict(env)
        self.block(s.then, left)
        self.block(s.otherwise, right)
        for name in sorted({*left, *right}):
            x, y = (arm[name] if name in arm else self.leaf(name) for arm in (left, right))
            env[name] = x if x == y else self.graph.add("when", (condition, x, y))

    def repeat(self, s: Repeat, env: dict[str, int]) -> None:
        """What the loop carries from round to round are leaves inside it."""
        count = self.value(s.count, env)
        self.loops += 1
        given = [NEXT if name == "theta" else name for name in assigned(s.body)]
        carried = [name for name in given if name in env or name in self.kinds or name == NEXT]
        inside = dict(env)
        for i, name in enumerate(carried):
            inside[name] = self.graph.add("carried", (), (self.loops, i))
        self.block(s.body, inside)
        before = (env[n] if n in env else self.leaf(n) for n in carried)
        parts = (count, *before, *(inside[n] for n in carried))
        loop = self.graph.add("repeat", parts, self.loops)
        for i, name in enumerate(carried):
            env[name] = self.graph.add("item", (loop,), i)

    def value(self, e: Expr, env: Mapping[str, int]) -> int:
        match e:
            case Apply(op=op, args=args):
                return self.apply(op, tuple([self.value(a, env) for a in args]))
            case Name(id=name):
                return env[name] if name in env else self.leaf(name)
            case Number(value=value):
                return self.graph.number(value)
            case Bool(value=value):
                return self.graph.add("bool", (), value)
            case Prev(state=name):
                return self.leaf(name)
            case Noise(index=index):
                return self.graph.add("noise", (), index)
            case Reduce(op=op, args=args, scope=scope):
                return self.graph.add("reduce", tuple(self.value(a, env) for a in args), (op, scope))
            case Matrix(op=op, args=args):
                return self.graph.add("matrix", tuple(self.value(a, env) for a in args), op)
            case Cast(value=inner, dtype=dtype):
                return self.graph.add("cast", (self.value(inner, env),), dtype)
        raise TypeError(f"not an expression of a checked rule: {type(e).__name__}")

    def apply(self, op: str, args: tuple[int, ...]) -> int:
        spelled = _SPELLED.get(op)
        return self.graph.add(op, args) if spelled is None else spelled(self.graph.add, *args)


_SPELLED: dict[str, Callable[..., int]] = {
    "gt": lambda add, x, y: add("lt", (y, x)),
    "ge": lambda add, x, y: add("le", (y, x)),
    "square": lambda add, x: add("mul", (x, x)),
    "clip": lambda add, x, low, high: add("min", (add("max", (x, low)), high)),
    "lerp": lambda add, a, b, w: add("add", (a, add("mul", (w, add("sub", (b, a)))))),
}
"""What operators are written out as."""
