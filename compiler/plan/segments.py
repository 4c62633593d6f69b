"""Builds the segments of a plan: the functions on tensors, in the order of the rule's text.

Each expression is split into what the host can compute, which becomes slots, and what is left for the tensors.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from ...dsl.checks.shapes import ELEMENT, HOST, OF_GIVEN, OF_SCOPE, Shape, shape_of
from ...dsl.operators import OPERATORS, Kind
from ...dsl.text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Number, Prev, Reduce
from ...dsl.text.syntax import Assign, Let, Output, Repeat, When
from ...dsl.text.syntax import Statement as RuleStatement
from ...dsl.text.walking import walk
from .homes import RESULT, Homes
from .plan import Bind, Branch, Loop, Segment, Slot, Statement

INFIX = frozenset({"add", "sub", "mul", "lt", "le", "gt", "ge", "eq", "ne"})
"""Operators beside which every backend understands a plain 0 or 1."""


class Builder:
    """One segment in the making: rewrites expressions, and collects the slots that they turn out to need."""

    def __init__(self, homes: Homes) -> None:
        self.homes = homes
        self.slots: dict[tuple[Expr, Kind], Slot] = {}
        self.pending: list[Statement] = []
        parts = [part for s in homes.rule.body for part in walk(s)]
        self.gathers = any(isinstance(part, Reduce | Matrix) for part in parts)
        self.kept = {s.name: OF_SCOPE[s.scope] for s in homes.rule.states}
        inputs = dict.fromkeys(homes.rule.inputs, ELEMENT)
        self.shapes: defaultdict[str, Shape] = defaultdict(lambda: HOST, {**OF_GIVEN, **inputs, **self.kept})

    def segment(self, inputs: tuple[str, ...], body: tuple[Statement, ...], outputs: tuple[str, ...]) -> Segment:
        return Segment(
            slots=tuple(self.slots.values()),
            inputs=tuple(self.homes.names.of(n) for n in inputs),
            body=body,
            outputs=outputs,
        )

    def step(self, inputs: tuple[str, ...]) -> Segment:
        rule, names = self.homes.rule, self.homes.names
        head = [Bind(names.of(f"prev {s}"), Name(names.of(s))) for s in self._previous()]
        if rule.writes_theta():
            nested = not any(isinstance(s, Assign) and s.name == "theta" for s in rule.body)
            body = [*([Bind(RESULT, Name("theta"))] if nested else []), *self.statements(rule.body)]
        else:
            body = [*self.statements(rule.body), *self._finish()]
        written = {s.name for s in rule.statements() if isinstance(s, Assign)}
        outputs = (RESULT, *(names.of(s.name) for s in rule.states if s.name in written))
        return self.segment(inputs, (*head, *body), outputs)

    def _previous(self) -> list[str]:
        read = {part.state for s in self.homes.rule.body for part in walk(s) if isinstance(part, Prev)}
        return [s.name for s in self.homes.rule.states if s.name in read]

    def _finish(self) -> list[Statement]:
        """theta - step_size*(update + decay*theta)."""
        outputs = {s.name for s in self.homes.rule.statements() if isinstance(s, Output)}
        theta, total = Name("theta"), Name("update")
        moved: Expr = total
        if "decay" in outputs:
            moved = Apply("add", (total, Apply("mul", (Name("decay"), theta))))
        step_size = Name("step_size" if "step_size" in outputs else "lr")
        return self.bind(RESULT, Apply("sub", (theta, Apply("mul", (step_size, moved)))))

    # -------------------------------------------------------- statements

    def statements(self, body: tuple[RuleStatement, ...]) -> list[Statement]:
        out: list[Statement] = []
        for s in body:
            out += self._statement(s)
        return out

    def _statement(self, s: RuleStatement) -> list[Statement]:
        if isinstance(s, When):
            flag = self.homes.flag(s.condition, "bool")
            then, otherwise = self.statements(s.then), self.statements(s.otherwise)
            return [Branch(flag, tuple(then), tuple(otherwise))] if then or otherwise else []
        if isinstance(s, Repeat):
            flag = self.homes.flag(s.count, "int")
            return [Loop(flag, tuple(self.statements(s.body)))]
        assert isinstance(s, Let | Assign | Output)
        if s.name not in self.homes.tensors:
            return []
        target = RESULT if isinstance(s, Assign) and s.name == "theta" else s.name
        return self.bind(target, s.value)

    def bind(self, name: str, value: Expr) -> list[Statement]:
        """`name = value`, after the reductions inside it, each under a name of its own."""
        spread = self._spreads(name, value)
        if isinstance(value, Reduce) and not spread:
            lowered = self._reduce(value)
        else:
            lowered = self.lower(value, "bool" if name in self.homes.bools else "real", False)
        if spread:
            lowered = Apply("where", (self._slot(Bool(True), "bool", False), lowered, Name(self.homes.names.of(name))))
        out = [*self.pending, Bind(self.homes.names.of(name), lowered)]
        self.pending = []
        return out

    def _spreads(self, name: str, value: Expr) -> bool:
        """Whether a state is set to a value of fewer axes: it must get all of its own, for whoever sums it up."""
        shape, kept = shape_of(value, self.shapes), self.kept.get(name)
        self.shapes[name] = kept or shape
        return kept is not None and kept.level == "matrix" and shape != kept and self.gathers

    # -------------------------------------------------------- expressions

    def lower(self, value: Expr, wanted: Kind, infix: bool) -> Expr:
        """The expression on tensors and slots. `wanted` is what its reader takes; a condition may be used as 0 or 1."""
        if self.homes.is_host(value):
            return self._slot(value, self.homes.kind(value) if wanted == "bool" else wanted, infix)
        lowered = self._tensor(value)
        if wanted == "real" and self.homes.kind(value) == "bool":
            one, zero = (self._slot(Number(x, f"{x:g}"), "real", False) for x in (1.0, 0.0))
            return Apply("where", (lowered, one, zero), value.span)
        return lowered

    def _tensor(self, value: Expr) -> Expr:
        match value:
            case Name():
                return Name(self.homes.names.of(value.id), value.span)
            case Prev():
                return Name(self.homes.names.of(f"prev {value.state}"), value.span)
            case Reduce():
                name = self.homes.names.numbered(value.op)
                self.pending.append(Bind(name, self._reduce(value)))
                return Name(name)
            case Cast():
                return replace(value, value=self.lower(value.value, "real", False))
            case Matrix():
                return replace(value, args=tuple(self.lower(a, "real", False) for a in value.args))
            case Apply("pow", (base, Number(value=2.0))):
                return Apply("square", (self.lower(base, "real", False),), value.span)
            case Apply():
                takes, infix = OPERATORS[value.op].takes_at, value.op in INFIX
                args = tuple(self.lower(a, takes(i), infix) for i, a in enumerate(value.args))
                return replace(value, args=args)
        return value

    def _reduce(self, value: Reduce) -> Expr:
        return replace(value, args=tuple(self.lower(a, "real", False) for a in value.args))

    def _slot(self, value: Expr, kind: Kind, infix: bool) -> Expr:
        """A name for a host value; 0 and 1 stay as they are where the code can say them."""
        if infix and isinstance(value, Number) and value.value in (0.0, 1.0):
            return value
        renamed = self.homes.rename(value)
        if (renamed, kind) not in self.slots:
            taken = {s.name for s in self.slots.values()}
            own = renamed.id if isinstance(renamed, Name) and renamed.id not in ("inf", "pi") else None
            name = own if own is not None and own not in taken else self.homes.names.numbered("c")
            self.slots[renamed, kind] = Slot(name, renamed, kind)
        return Name(self.slots[renamed, kind].name)
