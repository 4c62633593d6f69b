"""Prints a plan's host side a second time, as Python on float64 tensors, so that a CUDA graph can replay it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...dsl.text.expressions import Apply, Bool, Expr, Name, Number
from ..plan.names import Names
from ..plan.plan import HostLet, HostStatement, Plan
from .layout import STEP, assignment, docstring, returned, wrapped
from .scalars import SIZES, defines, needed_by
from .spell import NAMED, Speller
from .torch import TORCH

spell = Speller(TORCH)


def emit_live(plan: Plan, name: str, names: Names) -> list[str]:
    """The function that gives the step's columns of the scalar table from hyperparameters and steps on the device."""
    values = [s.value for s in plan.step.slots]
    printer = _Printer(needed_by(plan.host, values), names)
    body = printer.lines(plan.host, STEP)
    body += [f"{STEP}{s.name} = {spell(printer.lifted(s.value))}" for s in plan.step.slots if s.value != Name(s.name)]
    constants = [f"{STEP}{x} = constant({value}, t.device)" for value, x in printer.constants.items()]
    body = body[1:] if body[:1] == [""] and not constants else body
    args = [*(code for _, code in plan.params), "t", *SIZES]
    doc = "Columns of the scalar table, one number for each element of t; all arguments are tensors."
    return [
        *wrapped(f"def {name}", args, ":"),
        *docstring(doc, STEP),
        *constants,
        *body,
        *returned([s.name for s in plan.step.slots], STEP),
    ]


@dataclass
class _Printer:
    """Which names matter, and the constants met so far under theirs: an operator of torch's takes tensors only."""

    needed: set[str]
    names: Names
    constants: dict[str, str] = field(default_factory=dict)

    def lifted(self, value: Expr) -> Expr:
        """The expression with names in place of its literals."""
        if isinstance(value, Apply):
            return replace(value, args=tuple(self.lifted(a) for a in value.args))
        if isinstance(value, Number | Bool) or (isinstance(value, Name) and value.id in NAMED):
            return Name(self.constant(spell(value)))
        return value

    def constant(self, text: str) -> str:
        if text not in self.constants:
            self.constants[text] = self.names.numbered("constant")
        return self.constants[text]

    def lines(self, host: tuple[HostStatement, ...], indent: str) -> list[str]:
        out: list[str] = []
        for s in host:
            if isinstance(s, HostLet):
                if s.name in self.needed:
                    out += assignment(s.name, self.lifted(s.value), spell, self.names, indent)
                continue
            results = sorted(defines(s.then, self.needed) | defines(s.otherwise, self.needed))
            if not results:
                continue
            arms = [self.names.numbered("arm") for _ in range(2)]
            for arm, block in zip(arms, (s.then, s.otherwise), strict=True):
                out += self._arm(arm, block, results, indent)
            condition = spell(self.lifted(s.condition))
            names = ", ".join(results) if len(results) > 1 else f"({results[0]},)"
            out += ["", f"{indent}{names} = chosen({condition}, {arms[0]}(), {arms[1]}())"]
        return out

    def _arm(self, name: str, block: tuple[HostStatement, ...], results: list[str], indent: str) -> list[str]:
        """One side of a condition as a function: both are computed, since the device alone knows which one holds."""
        inner = self.lines(block, indent + STEP)
        missing = set(results) - defines(block, self.needed)
        inner += [f"{indent}{STEP}{x} = {self.constant('math.nan')}" for x in results if x in missing]
        return ["", f"{indent}def {name}():", *inner, *returned(results, indent + STEP)]
