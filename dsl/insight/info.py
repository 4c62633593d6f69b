"""A rule to plain data about it: its hyperparameters, states and statements, and which backends can run it."""

from __future__ import annotations

import math
from typing import Any

from ..meaning.dtypes import CODE_BYTES
from ..rule import Interval, Param, Prior, Rule, State
from ..text.spelling import format_expr
from ..text.syntax import Assign, Let, Output
from ..writing import text_of


def info(rule: Rule) -> dict[str, Any]:
    """What a program may want to know of a rule, as JSON can hold it: infinities are None, sizes are in bytes."""
    written = list(rule.statements())
    return {
        "name": rule.name,
        "doc": rule.doc,
        "params": [_param(p) for p in rule.params],
        "inputs": list(rule.inputs),
        "states": [_state(s) for s in rule.states],
        "outputs": sorted({s.name for s in written if isinstance(s, Output)} | ({"theta"} & _assigned(rule))),
        "statements": sum(isinstance(s, (Let, Assign, Output)) for s in written),
        "applies": None if rule.applies is None else format_expr(rule.applies.condition),
        "otherwise": None if rule.applies is None or rule.applies.otherwise is None else rule.applies.otherwise.name,
        "evaluate": None if rule.evaluate is None else format_expr(rule.evaluate),
        "text": text_of(rule),
    }


def _assigned(rule: Rule) -> set[str]:
    return {s.name for s in rule.statements() if isinstance(s, Assign)}


def _param(p: Param) -> dict[str, Any]:
    return {
        "name": p.name,
        "type": p.type,
        "required": p.default is None,
        "default": p.default,
        "interval": None if p.interval is None else _interval(p.interval),
        "prior": None if p.prior is None else _prior(p.prior),
        "doc": p.doc,
    }


def _interval(i: Interval) -> dict[str, Any]:
    low, high = (None if math.isinf(x) else x for x in (i.low, i.high))
    return {"text": str(i), "low": low, "high": high, "low_open": i.low_open, "high_open": i.high_open}


def _prior(p: Prior) -> dict[str, Any]:
    return {"family": p.family, "args": list(p.args), "complement": p.complement}


def _state(s: State) -> dict[str, Any]:
    """`bytes` are those of one value, None for a state in the parameter's own dtype; `scope` says what has one."""
    return {
        "name": s.name,
        "scope": s.scope,
        "dtype": s.dtype or "float32",
        "bytes": CODE_BYTES.get(s.dtype or "float32"),
        "init": format_expr(s.init),
        "when": None if s.when is None else format_expr(s.when),
        "doc": s.doc,
    }
