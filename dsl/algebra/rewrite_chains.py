"""Rewrites of whole products and sums: factors of the host, like terms, common factors. The law: `rewrites.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from .known import Builder, Known, joined
from .literals import LARGEST, may_meet

# ---------------------------------------------------------------- products


MODERATE_DIVISOR = 2.0**-64, 2.0**64
"""A divisor of the host within these may divide the other host factors first: no usual factor leaves float32 by it."""


@dataclass(slots=True)
class _Product:
    """A product taken apart, in the order written: the host's factors, the host's divisors, all the rest."""

    above: list[Known] = field(default_factory=list)
    below: list[Known] = field(default_factory=list)
    rest: list[Known] = field(default_factory=list)

    def collect(self, k: Known) -> None:
        if k.op == "mul" and not k.on_host:
            self.collect(k.args[0])
            self.collect(k.args[1])
        elif k.op == "div" and not k.on_host and _is_moderate(k.args[1]):
            self.collect(k.args[0])
            self.below.append(k.args[1])
        else:
            (self.above if k.on_host else self.rest).append(k)

    def literals(self) -> list[float]:
        above = [k.value for k in self.above if k.value is not None]
        return above + [1 / k.value for k in self.below if k.value is not None]


def _is_moderate(k: Known) -> bool:
    low, high = MODERATE_DIVISOR
    return k.on_host and not k.fact.nan and low <= k.fact.low and k.fact.high <= high


def host_factors(b: Builder, k: Known) -> Known | None:
    if k.on_host:
        return None
    product = _Product()
    product.collect(k)
    if len(product.above) + len(product.below) < 2 or not may_meet(product.literals()):
        return None
    tensors = joined(b, "mul", product.rest)
    below = joined(b, "mul", product.below) if product.below else None
    if not product.above:
        return b.make("div", tensors, below) if below else tensors
    scale = joined(b, "mul", product.above)
    return b.make("mul", b.make("div", scale, below) if below else scale, tensors)


# ---------------------------------------------------------------- sums


Term = tuple[float, Known | None]
"""A literal coefficient and what it multiplies; None is 1."""


def _terms(b: Builder, k: Known, scale: float = 1.0) -> list[Term]:
    if k.value is not None:
        return [(scale * k.value, None)]
    if k.op in ("add", "sub"):
        return _terms(b, k.args[0], scale) + _terms(b, k.args[1], -scale if k.op == "sub" else scale)
    if k.op == "mul" and k.args[0].value is not None:
        return [(scale * k.args[0].value, k.args[1])]
    if k.op == "mul" and k.args[1].value is not None:
        return [(scale * k.args[1].value, k.args[0])]
    return [(-scale, k.args[0])] if k.op == "neg" else [(scale, k)]


def like_terms(b: Builder, k: Known) -> Known | None:
    merged: list[Term] = []
    terms = _terms(b, k)
    for factor, base in terms:
        for i, (other, seen) in enumerate(merged):
            alike = seen is base or (seen is not None and base is not None and seen.same(base))
            # Of one sign only: 2*x - x is NaN where x is infinite, and a cancelled literal loses digits.
            if alike and factor * other > 0 and abs(factor + other) <= LARGEST:
                merged[i] = (factor + other, seen)
                break
        else:
            merged.append((factor, base))
    return _sum(b, merged) if len(merged) < len(terms) else None


def _sum(b: Builder, terms: list[Term]) -> Known:
    result = _term(b, *terms[0])
    for factor, base in terms[1:]:
        result = b.make("sub" if factor < 0 else "add", result, _term(b, abs(factor), base))
    return result


def _term(b: Builder, factor: float, base: Known | None) -> Known:
    if base is None:
        return b.number(factor)
    return base if factor == 1 else b.make("neg", base) if factor == -1 else b.make("mul", b.number(factor), base)


def common_factor(b: Builder, k: Known) -> Known | None:
    x, y = k.args
    if x.op != y.op or x.op not in ("mul", "div"):
        return None
    if x.op == "div":
        by = x.args[1]
        if by.same(y.args[1]) and not by.fact.zero and _may_distribute(b, by):
            return b.make("div", b.make(k.op, x.args[0], y.args[0]), by)
        return None
    for a, p in (x.args, x.args[::-1]):
        for c, q in (y.args, y.args[::-1]):
            if a.same(c) and _may_distribute(b, a):
                return b.make("mul", a, b.make(k.op, p, q))
    return None


def _may_distribute(b: Builder, a: Known) -> bool:
    """inf*(2 - 1) is inf where inf*2 - inf*1 is NaN; a negative or zero factor moves the sign of a zero sum."""
    return not a.fact.infinite and (b.zeros_free or (a.fact.nonnegative and not a.fact.zero))
