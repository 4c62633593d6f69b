"""The checked rule: hyperparameters, states and statements whose every name is known; data only.

In a rule every call is resolved: only `Number, Bool, Name, Apply, Reduce, Matrix, Cast, Prev, Noise` occur in its
expressions, and only `Let, Assign, Output, When, Repeat` among its statements. Functions are inlined under names that
no user can type twice, so every local name has one meaning. Statements run in order; a `Name` is the latest value,
`Prev` the state as the step began; `theta` is always the value at the start of the step, and `theta <- e` is what the
step leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from .text.expressions import Expr, Number, Scope
from .text.syntax import Assign, Let, Repeat, Statement, Use, When
from .text.walking import names

ParamType = Literal["real", "int", "bool"]
Value = float | int | bool


@dataclass(frozen=True, slots=True)
class Interval:
    """Which values a hyperparameter may take."""

    low: float
    high: float
    low_open: bool
    high_open: bool

    def __contains__(self, x: float) -> bool:
        return (self.low < x if self.low_open else self.low <= x) and (
            x < self.high if self.high_open else x <= self.high
        )

    def __str__(self) -> str:
        return f"{'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


ANYTHING = Interval(-inf, inf, True, True)


@dataclass(frozen=True, slots=True)
class Prior:
    """`family(*args)`, or `complement - family(*args)`: where the search draws a hyperparameter from."""

    family: Literal["uniform", "loguniform", "normal"]
    args: tuple[float, ...]
    complement: float | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """A hyperparameter: one keyword argument of the optimizer. Without a default it is required."""

    name: str
    type: ParamType = "real"
    default: Value | None = None
    interval: Interval | None = None
    prior: Prior | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Memory between steps: a tensor of its scope's shape for every parameter, filled with `init` before step 1.

    `dtype` None means the default: float32, or the parameter's own where that is wider.
    """

    name: str
    scope: Scope = "element"
    dtype: str | None = None
    init: Expr = Number(0.0, "0")
    when: Expr | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Applies:
    """Which parameters the rule serves, and the rule, with its hyperparameters set, for the others.

    `use` is the line that brought that rule, for whoever writes this one down again.
    """

    condition: Expr
    otherwise: Rule | None = None
    settings: tuple[tuple[str, Value], ...] = ()
    use: Use | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """A whole optimizer. theta becomes what `theta <- e` says, or theta - step_size*(update + decay*theta)."""

    name: str
    params: tuple[Param, ...] = ()
    states: tuple[State, ...] = ()
    body: tuple[Statement, ...] = ()
    doc: str = ""
    inputs: tuple[str, ...] = ()
    applies: Applies | None = None
    evaluate: Expr | None = None

    def statements(self) -> Iterator[Statement]:
        """Every statement, those inside blocks too, in textual order."""
        yield from flattened(self.body)

    def writes_theta(self) -> bool:
        return any(isinstance(s, Assign) and s.name == "theta" for s in self.statements())

    def reads(self) -> frozenset[str]:
        """Every name that some expression of the rule reads."""
        exprs: list[Expr] = [e for s in self.states for e in (s.init, s.when) if e is not None]
        exprs += [] if self.evaluate is None else [self.evaluate]
        exprs += [] if self.applies is None else [self.applies.condition]
        return frozenset(n for part in (*exprs, *self.body) for n in names(part))


def flattened(body: Iterable[Statement]) -> Iterator[Statement]:
    """Every statement of a body, those inside blocks too, in textual order."""
    for s in body:
        yield s
        if isinstance(s, When):
            yield from flattened(s.then)
            yield from flattened(s.otherwise)
        elif isinstance(s, Repeat):
            yield from flattened(s.body)


def assigned(body: Iterable[Statement]) -> dict[str, None]:
    """The names that a block gives values to, in blocks inside it too, in the order in which it first does."""
    return dict.fromkeys(s.name for s in flattened(body) if isinstance(s, Let | Assign))
