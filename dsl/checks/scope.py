"""The names that a statement can see, and what to say about one that it cannot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from ..diagnostics import Diagnostic, Fix, Label, Span
from ..meant import factors, nearest, slip
from ..operators import FUNCTIONS, GIVEN, MATRIX, REDUCTIONS
from ..text.syntax import OUTPUTS
from .shapes import OF_GIVEN, Shape

EntityKind = Literal["param", "state", "let", "var", "given", "input"]


class Entity(NamedTuple):
    """What a name stands for. `name` is its name in the rule, which inlining may have changed.

    `ok` is False where an error was reported for its value, which silences what depends on it.
    """

    name: str
    kind: EntityKind
    shape: Shape
    boolean: bool = False
    span: Span | None = None
    ok: bool = True


GIVENS = {name: Entity(name, "given", OF_GIVEN[name]) for name in GIVEN}

SYNONYMS = {
    "grad": "g", "gradient": "g", "w": "theta", "x": "theta", "p": "theta", "param": "theta", "weight": "theta",
    "weights": "theta", "params": "theta", "step": "t", "k": "t", "iteration": "t", "epsilon": "eps",
    "learning_rate": "lr", "eta": "lr", "alpha": "lr", "weight_decay": "wd", "lam": "wd", "momentum": "m",
    "lambda": "wd", "PI": "pi", "infinity": "inf", "Inf": "inf", "T": "t", "dim": "ndim", "True": "true",
    "False": "false",
}  # fmt: skip

STANDARD = {
    name: f"declare it: `{kind} {name} = {value}`"
    for kind, name, value in (
        ("param", "lr", "1e-3"), ("param", "beta1", "0.9"), ("param", "beta2", "0.999"), ("param", "eps", "1e-8"),
        ("param", "wd", "0.01"), ("state", "m", "0"), ("state", "v", "0"),
    )
} | {"mhat": "Adam's is `m/(1 - beta1^t)`", "vhat": "Adam's is `v/(1 - beta2^t)`"}  # fmt: skip
"""What to write for a name that everybody takes for granted."""

FUNCTION_HINTS = {
    "rsqrt": "write `1/sqrt(x)`", "pow": "write `x^y`", "power": "write `x^y`", "sgn": "write `sign(x)`",
    "relu": "write `max(x, 0)`", "clamp": "write `clip(x, low, high)`", "ln": "write `log(x)`",
    "maximum": "write `max(x, y)`", "minimum": "write `min(x, y)`", "sigmoid": "write `1/(1 + exp(-x))`",
    "log1p": "write `log(1 + x)`", "expm1": "write `exp(x) - 1`", "sqr": "write `square(x)` or `x^2`",
    "fabs": "write `abs(x)`", "ceil": "write `-floor(-x)`", "round": "write `floor(x + 0.5)`", "len": "write `numel`",
    "float": "write `cast(x, float32)`", "amax": "write `max_of(x)`", "linalg": "write `norm(x)`",
    "select": "write `where(condition, x, y)`", "if": "write `where(condition, x, y)`", "randn": "write `noise()`",
    "average": "write `mean(x)`", "indicator": "write `where(condition, 1, 0)`",
    "std": "write `sqrt(mean(x^2) - mean(x)^2)`", "matmul": "write `A @ B`",
    "transpose": "write `A.T`", "cosine": "write `use std.schedules: cosine`",
    "warmup": "write `use std.schedules: warmup`",
    "clip_norm": "write `use std.clipping: clip_norm`",
    "atan": "there is none; `tanh(x)` has its shape", "arctan": "there is none; `tanh(x)` has its shape",
    "__import__": "rules cannot import code; `use` brings in other rules",
}  # fmt: skip

MEANT_BY = {
    ("max", 1): "; the largest element is `max_of(x)`",
    ("min", 1): "; the smallest element is `-max_of(-x)`",
    ("norm", 2): "; the 1-norm is `sum(abs(x))`",
    ("clip", 2): "; `clip(x, -c, c)` keeps what lies within c",
}
"""What a call with another number of arguments may mean, by the function and that number."""

RENAMED = frozenset(
    ("grad", "gradient", "epsilon", "learning_rate", "weight_decay", "PI", "infinity", "Inf", "True", "False")
)
"""The synonyms that mean one thing only; the others are guesses, which no `--fix` may act on."""

SAME_FUNCTION = {
    "sgn": "sign", "clamp": "clip", "ln": "log", "maximum": "max", "minimum": "min", "fabs": "abs", "amax": "max_of",
    "select": "where", "average": "mean", "randn": "noise",
}  # fmt: skip
"""Functions of other languages that take the same arguments here."""


def _renaming(span: Span, meant: str | None) -> Fix | None:
    return None if meant is None else Fix(span, meant)


def renamed(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one can only stand for: `m_t` is `m`, since textual order is time order."""
    plain = SYNONYMS[name] if name in RENAMED else name.removesuffix("_t")
    return plain if plain != name and plain in {*known, *STANDARD, "true", "false"} else None


def _guess(name: str, known: dict[str, Entity]) -> str | None:
    synonym, product = SYNONYMS.get(name), factors(name, {*known, *STANDARD})
    if synonym in known or synonym in STANDARD:
        return synonym
    if product is not None:  # `mt` is `m`, whose step the paper writes below it
        return product[0] if product[1] == "t" else "*".join(product)
    own = (n for n, entity in known.items() if entity.kind != "given")
    return nearest(name, own if name in STANDARD else known)


def unknown_name(name: str, span: Span, names: dict[str, Entity], later: dict[str, Span]) -> Diagnostic:
    """E101, or E102 for a name that the file defines further down."""
    if name in later:
        help = "move the definition up; a value from the last step must be a `state`"
        there = (Label(later[name], "defined here"),)
        return Diagnostic("E102", f"`{name}` is used before it is defined", span, labels=there, help=help)
    if name in FUNCTIONS or name in REDUCTIONS or name in MATRIX:
        return Diagnostic("E101", f"`{name}` is a function", span, help=f"call it: `{name}(...)`")
    if name in GIVEN:
        return Diagnostic("E101", f"`{name}` is not known here", span, help="only a step may read it")
    certain = renamed(name, names)
    meant = certain or _guess(name, names)
    entity = names.get(meant) if meant is not None else None
    similar = None if entity is None else entity.span
    labels: tuple[Label, ...] = () if similar is None else (Label(similar, "a similar name is declared here"),)
    help = f"did you mean `{meant}`?" if meant else STANDARD.get(name, "declare it with `param`, `state` or `let`")
    if name == "T":
        help += " A transpose is `A.T`"
    fix = _renaming(span, certain or slip(name, names))
    return Diagnostic("E101", f"unknown name `{name}`", span, "not a param, state or let", labels, help, fix)


def unknown_function(name: str, span: Span, own: Iterable[str]) -> Diagnostic:
    """E105; an attribute arrives here as a function whose name begins with a dot."""
    if name.startswith("."):
        help = "a matrix has one: its transpose, `.T`; sizes are `rows`, `cols`, `numel`, `ndim`"
        return Diagnostic("E105", f"nothing here has the attribute `{name[1:]}`", span, help=help)
    known = [*own, *FUNCTIONS, *REDUCTIONS, *MATRIX, "cast", "prev", "noise"]
    meant = None if name in FUNCTION_HINTS else nearest(name, known)
    help = FUNCTION_HINTS.get(name) or (f"did you mean `{meant}`?" if meant else "define it with `def`")
    fix = _renaming(span, SAME_FUNCTION.get(name) or (None if name in FUNCTION_HINTS else slip(name, known)))
    return Diagnostic("E105", f"unknown function `{name}`", span, help=help, fix=fix)


SINGLE = (*OUTPUTS, "optimizer", "applies when", "evaluate theta")


def declared_twice(name: str, span: Span, first: Span | None) -> Diagnostic:
    """E103, pointing at both places; a given name or output has no first place."""
    if first is None:
        what = GIVEN.get(name, "what the rule makes of a step")
        help = "choose another name"
        return Diagnostic("E103", f"`{name}` is given: {what}", span, help=help)
    help = f"`{name} <- ...` changes a state or a `var`" if first.source == span.source else ""
    if name in SINGLE:
        help = "a rule has one: keep the right one"
    return Diagnostic(
        "E103", f"`{name}` is declared twice", span, note="again here", labels=(Label(first, "first here"),), help=help
    )
