"""Declarations of the parse tree to the parameters and states of a rule, with every number in them worked out."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable
from typing import cast

from ..diagnostics import Diagnostic, Label, Span
from ..meant import nearest
from ..recent import remembering_sound
from ..rule import Interval, Param, ParamType, Prior, Rule, State, Value
from ..text.expressions import DTYPES, Apply, Call, Expr, Number, Scope
from ..text.syntax import STATE_SCOPES, ParamDecl, StateDecl
from ..text.syntax import Interval as IntervalNode
from ..text.syntax import Prior as PriorNode
from . import constants
from .resolve import Resolver
from .scope import GIVENS

Report = Callable[[Diagnostic], None]
_KNOWN = {name: GIVENS[name] for name in ("pi", "inf")}

TYPES = ("real", "int", "bool")
FAMILIES = {"uniform": 2, "loguniform": 2, "normal": 2}
TAKEN = frozenset(
    ("params", "self", "maximize", "foreach", "fused", "capturable", "differentiable", "backend", "initial_lr")
)
"""Keyword arguments and group keys that every optimizer has of its own."""
BETTER = {"lambda": "wd", "from": "start", "global": "total", "is": "flag", "class": "kind"}


@remembering_sound
def param(decl: ParamDecl, report: Report) -> Param:
    """One hyperparameter. What is wrong with it is reported; the rest of it still counts."""
    _name(decl, report)
    default = None if decl.default is None else _constant(decl.default, report)
    if isinstance(decl.default, Apply) and isinstance(default, bool):
        help = f"write `in (0, inf)` for what is allowed, `param {decl.name} = true` for a flag"
        report(Diagnostic("E306", "a condition where the default belongs", decl.default.span, help=help))
        default = None
    type_ = _type(decl, default, report)
    interval = None if decl.interval is None else _interval(decl.interval, report)
    prior = None if decl.prior is None else _prior(decl.prior, report)
    if default is not None and decl.default is not None:
        default = _fitting(default, type_, interval, decl, decl.default.span, report)
    return Param(decl.name, type_, default, interval, prior, decl.doc)


def _name(decl: ParamDecl, report: Report) -> None:
    if keyword.iskeyword(decl.name):
        message = f"`{decl.name}` is a Python keyword, and hyperparameters become keyword arguments"
        report(Diagnostic("E104", message, decl.name_span, help=f"try `{BETTER.get(decl.name, decl.name + '_')}`"))
    elif decl.name in TAKEN or decl.name.startswith("_"):
        message = f"`{decl.name}` is a name that every optimizer uses for itself"
        report(Diagnostic("E104", message, decl.name_span, help="choose another name"))


def _constant(e: Expr, report: Report) -> Value | None:
    """The value of an expression of literals; anything else is reported and is None."""
    if isinstance(e, Number) and constants.literal(e) is None:
        return e.value
    resolver = Resolver(report, lambda d, c, a: a[0], dict(_KNOWN))
    typed = resolver.expr(e)
    value = constants.evaluate(typed.expr) if typed.ok else None
    if typed.ok and value is None:
        report(Diagnostic("E306", "a constant belongs here", e.span, help="numbers, `pi`, `inf`, `true` and `false`"))
    return value


def _type(decl: ParamDecl, default: Value | None, report: Report) -> ParamType:
    if decl.type is None:
        return "bool" if isinstance(default, bool) else "real"
    if decl.type not in TYPES:
        span = Span(decl.name_span.source, decl.name_span.end, decl.span.end)
        help = f"a hyperparameter is {', '.join(TYPES[:-1])} or {TYPES[-1]}"
        report(Diagnostic("E204", f"unknown type `{decl.type}`", span, help=help))
        return "real"
    return cast(ParamType, decl.type)


def _fitting(
    value: Value, type_: ParamType, interval: Interval | None, decl: ParamDecl, span: Span, report: Report
) -> Value | None:
    """The default in its type, if it is of that type and in the interval."""
    if (type_ == "bool") != isinstance(value, bool) or (type_ == "int" and value != math.floor(value)):
        report(Diagnostic("E306", f"`{decl.name}` is of type {type_}, and its default is not", span))
        return None
    if not math.isfinite(value):
        report(Diagnostic("E401", "a default must be finite", span, help="leave it out to make the value required"))
        return None
    if interval is not None and decl.interval is not None and value not in interval:
        labels = (Label(decl.interval.span, "the values that are allowed"),)
        report(Diagnostic("E306", f"the default of `{decl.name}` is not in {interval}", span, labels=labels))
        return None
    return int(value) if type_ == "int" else value


@remembering_sound
def _interval(node: IntervalNode, report: Report) -> Interval | None:
    low, high = _constant(node.low, report), _constant(node.high, report)
    if low is None or high is None:
        return None
    nan = math.isnan(low) or math.isnan(high)
    empty = nan or low > high or (low == high and (node.low_open or node.high_open))
    if empty:
        report(Diagnostic("E306", "no value lies in this interval", node.span, help="write `in [low, high]`"))
        return None
    return Interval(float(low), float(high), node.low_open, node.high_open)


@remembering_sound
def _prior(node: PriorNode, report: Report) -> Prior | None:
    if node.family not in FAMILIES:
        meant = nearest(node.family, FAMILIES)
        help = f"did you mean `{meant}`?" if meant else f"priors are {', '.join(FAMILIES)}"
        report(Diagnostic("E204", f"unknown prior `{node.family}`", node.span, help=help))
        return None
    if len(node.args) != FAMILIES[node.family]:
        message = f"`{node.family}` takes {FAMILIES[node.family]} arguments, not {len(node.args)}"
        report(Diagnostic("E201", message, node.span))
        return None
    args = [_constant(a, report) for a in node.args]
    if any(a is None for a in args):
        return None
    a, b = (float(x) for x in args if x is not None)
    low_is_right = a > 0 if node.family == "loguniform" else True
    if (
        not (math.isfinite(a) and math.isfinite(b))
        or not low_is_right
        or (node.family != "normal" and a > b)
        or (node.family == "normal" and b <= 0)
    ):
        what = {"uniform": "low <= high", "loguniform": "0 < low <= high", "normal": "a mean and a deviation above 0"}
        report(Diagnostic("E306", f"`{node.family}` needs {what[node.family]}", node.span))
        return None
    one = None if node.complement is None else _constant(node.complement, report)
    return Prior(node.family, (a, b), None if one is None else float(one))  # type: ignore[arg-type]


def state(decl: StateDecl, resolver: Resolver) -> State:
    """One state. Its init may read hyperparameters, `theta` and sizes; its condition hyperparameters and sizes."""
    report = resolver.report
    scope = decl.scope or "element"
    if scope not in STATE_SCOPES:
        help = f"a state is kept per {', '.join(STATE_SCOPES[:-1])} or {STATE_SCOPES[-1]}"
        report(Diagnostic("E204", f"unknown scope `{scope}`", decl.annotation_span, help=help))
        scope = "element"
    if decl.dtype is not None and decl.dtype not in DTYPES:
        meant = nearest(decl.dtype, DTYPES)
        help = f"did you mean `{meant}`?" if meant else f"dtypes are {', '.join(DTYPES)}"
        report(Diagnostic("E204", f"unknown dtype `{decl.dtype}`", decl.annotation_span, help=help))
    if decl.name == "step":
        help = "`t` is the number of the step"
        report(Diagnostic("E104", "`step` is kept by every optimizer itself", decl.name_span, help=help))
    init = resolver.real(decl.init)
    when = None if decl.when is None else resolver.condition(decl.when)
    dtype = decl.dtype if decl.dtype in DTYPES else None
    when_expr = None if when is None else when.expr
    return State(decl.name, cast(Scope, scope), dtype, init.expr if init.ok else Number(0.0, "0"), when_expr, decl.doc)


def setting(name: str, value: Expr, rule: Rule, call: Call, report: Report) -> Value | None:
    """The value that `otherwise rule(name = value)` gives a hyperparameter, checked like any other."""
    known = {p.name: p for p in rule.params}
    target = known.get(name)
    if target is None:
        meant = nearest(name, known)
        help = f"did you mean `{meant}`?" if meant else f"it has {', '.join(known)}"
        report(Diagnostic("E101", f"`{call.function}` has no hyperparameter `{name}`", value.span, help=help))
        return None
    constant = _constant(value, report)
    if constant is None:
        return None
    if target.interval is not None and constant not in target.interval:
        report(Diagnostic("E306", f"`{name}` is not in {target.interval}", value.span))
        return None
    return constant
