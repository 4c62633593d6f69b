"""Nodes in normal form → their facts, those of states found by following the whole rule until nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from ..meaning.graph import Memory, Node, reachable
from ..operators import OPERATORS
from ..rule import Rule
from .analysis import settle
from .facts import SHAPES, UNKNOWN, Fact, apply, literal, observes_zero_sign, power, reduced, rounded
from .leaf_facts import GIVEN, NOISE, of_param

LeafFact = Callable[[Node], Fact]


def fact_of(node: Node, facts: Sequence[Fact], leaf_fact: LeafFact) -> Fact:
    """The fact of a node from those of its arguments, or from `leaf_fact` where it has none."""
    if not node.args and node.op != "bool":
        return _literal(node.data) if node.op == "number" else leaf_fact(node)
    args = [facts[a] for a in node.args]
    match node.op:
        case "sum":
            terms = zip(node.data, args, strict=True)
            return _folded("add", [f if c == "1.0" else apply("mul", (_literal(c), f)) for c, f in terms])
        case "product":
            return _folded("mul", [power(f, n) for f, n in zip(args, node.data, strict=True)])
        case "mul" if node.args[0] == node.args[1]:
            return power(args[0], 2)
        case "reduce":
            op, scope = node.data
            return reduced(op, args, SHAPES[scope])
        case "cast":
            return rounded(args[0])
        case "when":
            return args[1].either(args[2])
        case "matrix" if node.data in ("matmul", "transpose") and all(f.low == f.high == 0 and not f.nan for f in args):
            return args[0]._replace(minus_zero=True)
        case "matrix" | "repeat" | "item" | "carried" | "undefined":
            return UNKNOWN
        case "bool":
            return CONSTANT_CONDITION
    return apply(node.op, tuple(args)) if node.op in OPERATORS else leaf_fact(node)


@lru_cache(maxsize=1 << 12)
def _literal(text: str) -> Fact:
    """Cached by its text, since 0.0 and -0.0 are equal."""
    return literal(float(text))


CONSTANT_CONDITION = apply("eq", (literal(0.0), literal(0.0)))


def _folded(op: str, facts: list[Fact]) -> Fact:
    result = facts[0]
    for fact in facts[1:]:
        result = apply(op, (result, fact))
    return result


def leaf_facts(rule: Rule, states: dict[str, Fact]) -> LeafFact:
    """What is known of a rule's leaves, given what is known of its states."""
    return _leaf_facts({**_before_any_step(rule), **states})


def _before_any_step(rule: Rule) -> dict[str, Fact]:
    return {**GIVEN, **{p.name: of_param(p) for p in rule.params}}


def _leaf_facts(known: dict[str, Fact]) -> LeafFact:
    def leaf_fact(node: Node) -> Fact:
        if node.op == "noise":
            return NOISE
        return known.get(node.data, UNKNOWN) if node.op in ("given", "param", "state") else UNKNOWN

    return leaf_fact


def facts_of_all(
    rule: Rule, nodes: Sequence[Node], roots: Sequence[int], memory: dict[str, Memory]
) -> tuple[dict[str, Fact], list[Fact], bool]:
    """(The facts of a rule's states as each step begins, of all nodes, whether nothing can tell the sign of a zero)."""
    shapes = {s.name: SHAPES[s.scope] for s in rule.states}
    starts = [i for m in memory.values() for i in (m.init, m.update)]
    needed = reachable(nodes, starts)
    facts: list[Fact] = [UNKNOWN] * len(nodes)
    start = _before_any_step(rule)

    def follow(states: dict[str, Fact], live: list[int]) -> None:
        leaf_fact = _leaf_facts({**start, **states})
        for i in live:
            facts[i] = fact_of(nodes[i], facts, leaf_fact)

    def after(states: dict[str, Fact]) -> dict[str, Fact]:
        follow(states, needed)
        return {name: facts[m.update]._replace(shape=shapes[name]) for name, m in memory.items()}

    follow({}, reachable(nodes, [m.init for m in memory.values()]))
    states = settle({name: facts[m.init]._replace(shape=shapes[name]) for name, m in memory.items()}, after)
    live = reachable(nodes, [*roots, *starts])
    follow(states, live)
    return states, facts, not any(_sees_zero_sign(nodes[i], facts) for i in live)


def _sees_zero_sign(node: Node, facts: Sequence[Fact]) -> bool:
    """Whether a node may turn the sign of a zero into the sign of an infinity."""
    match node.op:
        case "div" | "pow":
            return observes_zero_sign(node.op, tuple(facts[a] for a in node.args))
        case "matrix":
            return node.data not in ("matmul", "transpose")
    return False
