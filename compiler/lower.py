"""Turns a checked rule into a plan: splits host from tensors, numbers from structure. Prints nothing.

What depends on hyperparameters, `t` and sizes alone goes to the host; conditions of `when` and counts of `repeat`
become flags; everything else stays with the tensors, in the order of the text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ..dsl.diagnostics import Diagnostic, OptError
from ..dsl.operators import OPERATORS, Kind
from ..dsl.rule import Rule, RuleStatement, State
from ..dsl.syntax import (
    Apply,
    Assign,
    Bool,
    Cast,
    Expr,
    Let,
    Matrix,
    Name,
    Noise,
    Number,
    Output,
    Prev,
    Reduce,
    Repeat,
    When,
    walk,
)
from .names import Names
from .plan import (
    GIVEN_SCALARS,
    Bind,
    Branch,
    Flag,
    HostLet,
    HostStatement,
    HostWhen,
    Loop,
    Memory,
    Plan,
    Segment,
    Slot,
    Statement,
    verify,
)

KEYWORDS = frozenset({"self", "params", "inputs", "backend", "compile"}) | {
    "maximize",
    "foreach",
    "fused",
    "capturable",
    "differentiable",
}
"""Keyword arguments that every generated optimizer has, so that no hyperparameter may."""

GROUP_KEYS = frozenset({"param_names", "initial_lr", "step"})
RESULT = "theta_next"
INFIX = frozenset({"add", "sub", "mul", "lt", "le", "gt", "ge", "eq", "ne"})


def lower(rule: Rule, reserved: frozenset[str] = frozenset()) -> Plan:
    """The verified plan of a checked rule. `reserved` are identifiers that the generated module needs for itself.

    Raises OptError where a name of the rule would collide with what a torch optimizer already calls by that name.
    """
    return verify(_Lowering(rule, reserved).plan())


def _refuse(rule: Rule) -> None:
    noisy = any(isinstance(part, Noise) for s in rule.body for part in walk(s))
    taken = KEYWORDS | GROUP_KEYS | ({"seed"} if noisy else set())
    for p in rule.params:
        if p.name in taken:
            raise OptError(_taken(p.name, "hyperparameter", "keyword argument or group entry"))
    for s in rule.states:
        if s.name == "step":
            raise OptError(_taken(s.name, "state", "state: the count of steps"))
        if s.dtype in ("int8", "fp8"):
            text = f"state `{s.name}` is {s.dtype}: block-quantised states are not compiled yet"
            raise OptError(Diagnostic("E403", text, s.init.span, help="declare it bfloat16 or float32"))


def _taken(name: str, what: str, why: str) -> Diagnostic:
    from ..dsl.diagnostics import NOWHERE

    text = f"the {what} `{name}` collides with torch's own {why} of that name"
    return Diagnostic("E104", text, NOWHERE, help=f"rename it, `{name}_` for one")


class _Lowering:
    """What is known about one rule: which names live on the host, and what each is called in the code."""

    def __init__(self, rule: Rule, reserved: frozenset[str]) -> None:
        _refuse(rule)
        self.rule = rule
        self.reserved = reserved
        self.names = Names(reserved)
        for name in (*GIVEN_SCALARS, "g", "theta", RESULT, "update"):
            self.names.of(name)
        self.names.of("maximize")
        self.bools = {p.name for p in rule.params if p.type == "bool"}
        self.tensors = self._tensor_names()
        self.flags: list[Flag] = []
        self.host = self._host_body(rule.body)

    # -------------------------------------------------------- what lives where

    def _tensor_names(self) -> set[str]:
        """Every name whose value is a tensor, or may change within a step."""
        out = {"g", "theta", *self.rule.inputs, *(s.name for s in self.rule.states)}
        out |= {s.name for s in self.rule.statements() if isinstance(s, Assign)}
        lets = [s for s in self.rule.statements() if isinstance(s, Let | Output)]
        while grown := {s.name for s in lets if s.name not in out and not self._is_host(s.value, out)}:
            out |= grown
        return out

    @staticmethod
    def _is_host(value: Expr, tensors: set[str]) -> bool:
        return not any(
            isinstance(part, Reduce | Matrix | Cast | Prev | Noise) or (isinstance(part, Name) and part.id in tensors)
            for part in walk(value)
        )

    def is_host(self, value: Expr) -> bool:
        return self._is_host(value, self.tensors)

    def kind(self, value: Expr) -> Kind:
        """Whether an expression is a condition or a number."""
        if isinstance(value, Bool) or (isinstance(value, Name) and value.id in self.bools):
            return "bool"
        return OPERATORS[value.op].gives if isinstance(value, Apply) else "real"

    def _host_body(self, body: tuple[RuleStatement, ...]) -> tuple[HostStatement, ...]:
        out: list[HostStatement] = []
        for s in body:
            if isinstance(s, Let | Output):
                if self.kind(s.value) == "bool":
                    self.bools.add(s.name)
                if s.name not in self.tensors:
                    out.append(HostLet(self.names.of(s.name), self.rename(s.value)))
            elif isinstance(s, When):
                then, otherwise = self._host_body(s.then), self._host_body(s.otherwise)  # type: ignore[arg-type]
                if then or otherwise:
                    out.append(HostWhen(self.rename(s.condition), then, otherwise))
            elif isinstance(s, Repeat):
                out += self._host_body(s.body)  # type: ignore[arg-type]
        return tuple(out)

    def rename(self, value: Expr) -> Expr:
        """The expression under the code's names."""
        if isinstance(value, Name):
            return value if value.id in ("inf", "pi") else Name(self.names.of(value.id), value.span)
        if isinstance(value, Apply):
            return replace(value, args=tuple(self.rename(a) for a in value.args))
        return value

    # -------------------------------------------------------- the plan

    def plan(self) -> Plan:
        rule = self.rule
        memories = tuple(self._memory(s) for s in rule.states)
        inputs = ("theta", "g", *rule.inputs, *(s.name for s in rule.states))
        step = _Builder(self).step(inputs)
        initial = tuple(s for s, m in zip(rule.states, memories, strict=True) if m.fill is None)
        return Plan(
            name=rule.name,
            doc=rule.doc,
            params=tuple((p, self.names.of(p.name)) for p in rule.params),
            host=self.host,
            flags=tuple(self.flags),
            memories=memories,
            extra_inputs=rule.inputs,
            step=step,
            initial=self._initial(initial) if initial else None,
            evaluate=None if rule.evaluate is None else self._evaluate(rule.evaluate),
            serves=None if rule.applies is None else self.rename(rule.applies.condition),
            fallback=self._fallback(),
        )

    def _memory(self, state: State) -> Memory:
        written = any(isinstance(s, Assign) and s.name == state.name for s in self.rule.statements())
        return Memory(
            key=state.name,
            name=self.names.of(state.name),
            scope=state.scope,
            dtype=None if state.dtype == "float32" else state.dtype,
            fill=literal(state.init),
            flag=None if state.when is None else self.flag(state.when, "bool"),
            written=written,
        )

    def flag(self, value: Expr, kind: Literal["bool", "int"]) -> str:
        """The name of the flag for a static condition or count; equal ones share a flag."""
        renamed = self.rename(value)
        for f in self.flags:
            if (f.value, f.type) == (renamed, kind):
                return f.name
        stem = {"bool": "case", "int": "count"}[kind]
        named = isinstance(renamed, Name) and renamed.id not in ("inf", "pi")
        name = self.names.fresh(f"{stem} {renamed.id}") if named else self.names.numbered(stem)  # type: ignore[union-attr]
        self.flags.append(Flag(name, renamed, kind))
        return name

    def _initial(self, states: tuple[State, ...]) -> Segment:
        builder = _Builder(self)
        body = tuple(part for s in states for part in builder.bind(f"first {s.name}", s.init))
        return builder.segment(("theta",), body, tuple(self.names.of(f"first {s.name}") for s in states))

    def _evaluate(self, value: Expr) -> Segment:
        builder = _Builder(self)
        body = tuple(builder.bind(RESULT, value))
        return builder.segment(("theta", *(s.name for s in self.rule.states)), body, (RESULT,))

    def _fallback(self) -> Plan | None:
        applies = self.rule.applies
        if applies is None or applies.otherwise is None:
            return None
        given = dict(applies.settings)
        params = tuple(replace(p, default=given.get(p.name, p.default)) for p in applies.otherwise.params)
        return lower(replace(applies.otherwise, params=params, applies=None), self.reserved)


class _Builder:
    """One segment in the making: rewrites expressions, and collects the slots that they turn out to need."""

    def __init__(self, rule: _Lowering) -> None:
        self.rule = rule
        self.slots: dict[tuple[Expr, Kind], Slot] = {}
        self.pending: list[Statement] = []

    def segment(self, inputs: tuple[str, ...], body: tuple[Statement, ...], outputs: tuple[str, ...]) -> Segment:
        return Segment(
            slots=tuple(self.slots.values()),
            inputs=tuple(self.rule.names.of(n) for n in inputs),
            body=body,
            outputs=outputs,
        )

    def step(self, inputs: tuple[str, ...]) -> Segment:
        rule, names = self.rule.rule, self.rule.names
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
        read = {part.state for s in self.rule.rule.body for part in walk(s) if isinstance(part, Prev)}
        return [s.name for s in self.rule.rule.states if s.name in read]

    def _finish(self) -> list[Statement]:
        """theta - step_size*(update + decay*theta)."""
        outputs = {s.name for s in self.rule.rule.statements() if isinstance(s, Output)}
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
            flag = self.rule.flag(s.condition, "bool")
            then, otherwise = self.statements(s.then), self.statements(s.otherwise)  # type: ignore[arg-type]
            return [Branch(flag, tuple(then), tuple(otherwise))] if then or otherwise else []
        if isinstance(s, Repeat):
            flag = self.rule.flag(s.count, "int")
            return [Loop(flag, tuple(self.statements(s.body)))]  # type: ignore[arg-type]
        if s.name not in self.rule.tensors:
            return []
        target = RESULT if isinstance(s, Assign) and s.name == "theta" else s.name
        return self.bind(target, s.value)

    def bind(self, name: str, value: Expr) -> list[Statement]:
        """`name = value`, after the reductions inside it, each under a name of its own."""
        if isinstance(value, Reduce):
            lowered = self._reduce(value)
        else:
            lowered = self.lower(value, "bool" if name in self.rule.bools else "real", False)
        out = [*self.pending, Bind(self.rule.names.of(name), lowered)]
        self.pending = []
        return out

    # -------------------------------------------------------- expressions

    def lower(self, value: Expr, wanted: Kind, infix: bool) -> Expr:
        """The expression on tensors and slots. `wanted` is what its reader takes; a condition may be used as 0 or 1."""
        if self.rule.is_host(value):
            return self._slot(value, self.rule.kind(value) if wanted == "bool" else wanted, infix)
        lowered = self._tensor(value)
        if wanted == "real" and self.rule.kind(value) == "bool":
            one, zero = (self._slot(Number(x, f"{x:g}"), "real", False) for x in (1.0, 0.0))
            return Apply("where", (lowered, one, zero), value.span)
        return lowered

    def _tensor(self, value: Expr) -> Expr:
        match value:
            case Name():
                return Name(self.rule.names.of(value.id), value.span)
            case Prev():
                return Name(self.rule.names.of(f"prev {value.state}"), value.span)
            case Reduce():
                name = self.rule.names.numbered(value.op)
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
        renamed = self.rule.rename(value)
        if (renamed, kind) not in self.slots:
            taken = {s.name for s in self.slots.values()}
            own = renamed.id if isinstance(renamed, Name) and renamed.id not in ("inf", "pi") else None
            name = own if own is not None and own not in taken else self.rule.names.numbered("c")
            self.slots[renamed, kind] = Slot(name, renamed, kind)
        return Name(self.slots[renamed, kind].name)


def literal(value: Expr) -> float | None:
    """The number that an expression plainly is, its sign included, or None."""
    match value:
        case Number():
            return value.value
        case Bool():
            return float(value.value)
        case Name("inf"):
            return float("inf")
        case Apply("neg", (inner,)):
            number = literal(inner)
            return None if number is None else -number
    return None
