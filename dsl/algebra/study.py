"""Rule → its normal form with the step taken apart: what moves theta along, and what only decays it."""

from __future__ import annotations

from dataclasses import dataclass

from ..meaning.graph import Node, Traced
from ..meaning.substitute import substitute
from ..rule import Rule
from .canonical import normal_form, traced_live
from .dead import without_dead
from .normal import Normal


@dataclass(frozen=True, slots=True)
class Study:
    """A rule's values in normal form.

    theta becomes theta - step_size*(direction + decay*theta); where the rule writes theta itself, the step size is part
    of the direction. `direction` is None where theta is not changed by a difference; `decays`: whether theta decays.
    """

    rule: Rule
    traced: Traced
    normal: Normal
    memory: dict[str, tuple[int, int]]
    direction: int | None
    decays: bool

    @property
    def nodes(self) -> list[Node]:
        return self.normal.graph.nodes


def study(rule: Rule) -> Study:
    """The rule taken apart; parts of it that change nothing are left out."""
    traced, live = traced_live(rule)
    normal = normal_form(rule, traced, live)
    memory = {name: (normal.of[m.init], normal.of[m.update]) for name, m in traced.states.items()}
    return Study(without_dead(rule), traced, normal, memory, *_direction(traced, normal))


def _direction(traced: Traced, normal: Normal) -> tuple[int | None, bool]:
    outputs = {name: normal.of[i] for name, i in traced.outputs.items()}
    if "update" in outputs:
        decays = "decay" in outputs and outputs["decay"] != normal.number(0.0)
        return outputs["update"], decays
    theta = normal.add("given", (), "theta")
    terms = normal.terms(traced.roots["theta"])
    if (1.0, theta) not in terms:
        return None, False
    rest = [(-c, i) for c, i in terms if (c, i) != (1.0, theta)]
    moving = [(c, i) for c, i in rest if not _is_decay(normal, i, theta)]
    return normal.total(moving), len(moving) < len(rest)


def _is_decay(normal: Normal, term: int, theta: int) -> bool:
    """Whether a term is theta times what is known on the host."""
    factors = normal.factors(term)
    return (theta, 1) in factors and all(i == theta or normal.facts[i].shape == 0 for i, _ in factors)


def at_defaults(rule: Rule) -> Rule:
    """The rule without the hyperparameters that are off: a default of 0 or false is put in their place."""
    off = {p.name: p.default for p in rule.params if p.default is not None and not p.default}
    return substitute(rule, off) if off else rule
