"""Says where each value of a rule lives: on the host, or with the tensors.

The host has what depends on hyperparameters, `t` and sizes alone. This module also gives the rule's names their names
in the code, and collects the flags: what is structure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ...dsl.operators import OPERATORS, Kind
from ...dsl.rule import Rule
from ...dsl.text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Prev, Reduce
from ...dsl.text.syntax import Assign, Let, Output, Repeat, Statement, When
from ...dsl.text.walking import walk
from .names import Names
from .plan import GIVEN_SCALARS, Flag, HostLet, HostStatement, HostWhen

RESULT = "theta_next"
"""What the code calls theta after the step."""


class Homes:
    """What is known about one rule. `host` is its program for the host, `flags` what is structure so far."""

    def __init__(self, rule: Rule, reserved: frozenset[str]) -> None:
        self.rule = rule
        self.names = Names(reserved)
        for name in (*GIVEN_SCALARS, "g", "theta", RESULT, "update", "maximize"):
            self.names.of(name)
        self.bools = {p.name for p in rule.params if p.type == "bool"}
        self.tensors = self._tensor_names()
        self.flags: list[Flag] = []
        self.host = self._host_body(rule.body)

    def _tensor_names(self) -> set[str]:
        """Every name whose value is a tensor, or may change within a step."""
        out = {"g", "theta", *self.rule.inputs, *(s.name for s in self.rule.states)}
        out |= {s.name for s in self.rule.statements() if isinstance(s, Assign)}
        lets = [s for s in self.rule.statements() if isinstance(s, Let | Output)]
        known = 0
        while known < len(out):  # again, since a round of a loop reads what the one before it left
            known = len(out)
            for s in lets:
                if s.name not in out and not self._is_host(s.value, out):
                    out.add(s.name)
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

    def _host_body(self, body: tuple[Statement, ...]) -> tuple[HostStatement, ...]:
        out: list[HostStatement] = []
        for s in body:
            if isinstance(s, Let | Output):
                if self.kind(s.value) == "bool":
                    self.bools.add(s.name)
                if s.name not in self.tensors:
                    out.append(HostLet(self.names.of(s.name), self.rename(s.value)))
            elif isinstance(s, When):
                then, otherwise = self._host_body(s.then), self._host_body(s.otherwise)
                if then or otherwise:
                    out.append(HostWhen(self.rename(s.condition), then, otherwise))
            elif isinstance(s, Repeat):
                out += self._host_body(s.body)
        return tuple(out)

    def rename(self, value: Expr) -> Expr:
        """The expression under the code's names."""
        if isinstance(value, Name):
            return value if value.id in ("inf", "pi") else Name(self.names.of(value.id), value.span)
        if isinstance(value, Apply):
            return replace(value, args=tuple(self.rename(a) for a in value.args))
        return value

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
