"""A rule to its variants with one part dropped each, and to the contest between them and the whole; runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ...dsl.algebra.dead import without_dead, without_unread
from ...dsl.checks.check import check
from ...dsl.rule import Rule
from ...dsl.text.expressions import Apply, Expr, Name, Number
from ...dsl.text.parser import parse
from ...dsl.text.spelling import format_expr
from ...dsl.text.syntax import Assign, Let, Output, Statement
from ...dsl.text.walking import mapped, walk, with_values
from ...dsl.writing import text_of
from ..config import ConfigError
from .contest import Contest
from .entrants import Entrant, from_text
from .factors import schedule_factors, without
from .schedules import has_own_schedule, under
from .tune import Budget

ONE = Number(1.0, "1")
Variants = Iterator[tuple[str, Rule]]
"""What is left out, in the rule's own words, and the rule without it."""


@dataclass(frozen=True)
class Ablation:
    """A kind of part that a rule can be robbed of, one at a time."""

    name: str
    variants: Callable[[Rule], Variants]


def _terms(rule: Rule) -> Variants:
    """Each term of the update, where there are several; the update may be named by a `let`."""
    place = _place_of_update(rule)
    if place is None:
        return
    terms = list(_summands(_value(rule.body[place])))
    for k, (_, term) in enumerate(terms):
        if len(terms) > 1:
            yield format_expr(term), _with_value(rule, place, _sum([*terms[:k], *terms[k + 1 :]]))


def _schedule(rule: Rule) -> Variants:
    for factor in schedule_factors(rule):
        yield f"schedule {format_expr(factor)}", without(rule, [factor])


def _decay(rule: Rule) -> Variants:
    """Decoupled decay, and decay that is added to the gradient."""
    kept = tuple(s for s in rule.body if not (isinstance(s, Output) and s.name == "decay"))
    if len(kept) < len(rule.body):
        yield "decay", replace(rule, body=kept)
    for place, s in enumerate(rule.body):
        if isinstance(s, Assign) and s.name == "g" and any(part == Name("theta") for part in walk(s)):
            terms = [term for term in _summands(s.value) if all(part != Name("theta") for part in walk(term[1]))]
            if terms:
                yield "coupled decay", _with_value(rule, place, _sum(terms))


def _corrections(rule: Rule) -> Variants:
    """Each division by 1 - beta^t, and all of them."""
    found = list(dict.fromkeys(p for s in rule.statements() for p in walk(s) if isinstance(p, Apply) and _corrects(p)))
    for part in found:
        yield f"correction {format_expr(part)}", _mapped(rule, {part: ONE})
    if len(found) > 1:
        yield "all corrections", _mapped(rule, dict.fromkeys(found, ONE))


def _treatments(rule: Rule) -> Variants:
    """Each other thing that is done to the gradient before it is used, such as clipping."""
    for place, s in enumerate(rule.body):
        if isinstance(s, Assign) and s.name == "g" and all(part != Name("theta") for part in walk(s)):
            yield f"g <- {format_expr(s.value)}", replace(rule, body=(*rule.body[:place], *rule.body[place + 1 :]))


ABLATIONS = (
    Ablation("terms", _terms),
    Ablation("schedule", _schedule),
    Ablation("decay", _decay),
    Ablation("corrections", _corrections),
    Ablation("gradient", _treatments),
)


def variants(entrant: Entrant) -> list[Entrant]:
    """The entrant without each of its parts, named `without PART`. Raises ConfigError for what has no parts to see."""
    if entrant.in_torch:
        raise ConfigError(f"{entrant.name} is torch's own code; the zoo has rules whose parts can be dropped")
    rule = check(parse(entrant.text))
    if rule.applies is not None and rule.applies.otherwise is not None:
        raise ConfigError(f"{entrant.name} has an `otherwise`, and so cannot be taken apart")
    found = [(f"without {part}", variant) for row in ABLATIONS for part, variant in row.variants(rule)]
    if not found:
        raise ConfigError(f"{entrant.name} has no part that can be dropped: one term, no schedule, decay or correction")
    return [from_text(text_of(without_unread(without_dead(variant))), name) for name, variant in found]


def ablation(entrant: Entrant, schedules: tuple[str, ...], budget: Budget, seeds: int) -> Contest:
    """The whole rule against each variant, under every schedule in which the variant is another rule."""
    entries = [(entrant, schedule) for schedule in schedules]
    for variant in variants(entrant):
        for schedule in schedules:
            if under(variant, schedule).text != under(entrant, schedule).text:
                entries.append((variant, schedule))
    names = dict.fromkeys(e.name for e, _ in entries if e is not entrant)
    return Contest(tuple(entries), tuple((n, entrant.name) for n in names), budget, seeds, variants=True)


def usual_schedules(entrant: Entrant) -> tuple[str, ...]:
    """With and without a schedule: its own, or where it has none, the one from outside."""
    return ("own", "constant") if has_own_schedule(entrant) else ("constant", "cosine")


# ---------------------------------------------------------------- trees


def _place_of_update(rule: Rule) -> int | None:
    """The statement whose value is the update: its output, or the `let` that the output names."""
    lets = {s.name: k for k, s in enumerate(rule.body) if isinstance(s, Let) and not s.var}
    outputs = [k for k, s in enumerate(rule.body) if isinstance(s, Output) and s.name == "update"]
    place = outputs[-1] if outputs else None
    while place is not None and isinstance(name := _value(rule.body[place]), Name) and name.id in lets:
        place = lets[name.id]
    return place


def _value(s: Statement) -> Expr:
    assert isinstance(s, Let | Assign | Output)
    return s.value


def _with_value(rule: Rule, place: int, value: Expr) -> Rule:
    s = rule.body[place]
    assert isinstance(s, Let | Assign | Output)
    return replace(rule, body=(*rule.body[:place], replace(s, value=value), *rule.body[place + 1 :]))


def _summands(value: Expr, sign: int = 1) -> Iterator[tuple[int, Expr]]:
    """The terms of a sum with their signs."""
    match value:
        case Apply("add", args):
            for part in args:
                yield from _summands(part, sign)
        case Apply("sub", (first, second)):
            yield from _summands(first, sign)
            yield from _summands(second, -sign)
        case Apply("neg", (part,)):
            yield from _summands(part, -sign)
        case _:
            yield sign, value


def _sum(terms: list[tuple[int, Expr]]) -> Expr:
    first, out = terms[0]
    out = out if first > 0 else Apply("neg", (out,))
    for sign, term in terms[1:]:
        out = Apply("add" if sign > 0 else "sub", (out, term))
    return out


def _corrects(part: Apply) -> bool:
    match part:
        case Apply("sub", (Number(1.0), Apply("pow", (_, Name("t"))))):
            return True
    return False


def _mapped(rule: Rule, meanings: Mapping[Apply, Expr]) -> Rule:
    """The rule with expressions replaced wherever they stand."""

    def made(e: Expr) -> Expr:
        if isinstance(e, Apply) and e in meanings:
            return meanings[e]
        if isinstance(e, Apply) and e.op == "div" and e.args[1] in meanings:  # x/1 is x
            return made(e.args[0])
        return mapped(e, made)

    return replace(rule, body=tuple(with_values(s, made) for s in rule.body))
