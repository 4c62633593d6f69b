"""A plan as text, for people: `optc compile --emit ir`. Reads plans, never makes them."""

from __future__ import annotations

from ...dsl.text.spelling import format_expr
from .plan import Bind, Branch, HostLet, HostStatement, Plan, Segment, Statement


def show(plan: Plan) -> str:
    """The plan as text, for people."""
    out = [f"plan {plan.name}"]
    out += [f"  param {p.name}{'' if p.default is None else f' = {p.default}'}" for p, _ in plan.params]
    for m in plan.memories:
        first = "computed" if m.fill is None else f"{m.fill:g}"
        kept = f" when {m.flag}" if m.flag else ""
        out.append(f"  state {m.name}: per {m.scope} {m.dtype or 'float32'} = {first}{kept}")
    out += _show_host(plan.host, "  host ")
    out += [f"  flag {f.name}: {f.type} = {format_expr(f.value)}" for f in plan.flags]
    for title, segment in (("step", plan.step), ("initial", plan.initial), ("evaluate", plan.evaluate)):
        if segment is not None:
            out += [
                "",
                f"{title}({', '.join(segment.inputs)}) -> {', '.join(segment.outputs)}",
                *_show_segment(segment),
            ]
    if plan.fallback is not None:
        assert plan.serves is not None
        out += ["", f"otherwise, unless {format_expr(plan.serves)}:", show(plan.fallback)]
    return "\n".join(out)


def _show_segment(segment: Segment) -> list[str]:
    out = [f"  slot {s.name}: {s.kind} = {format_expr(s.value)}" for s in segment.slots]
    return [*out, *_show_body(segment.body, "  ")]


def _show_host(host: tuple[HostStatement, ...], indent: str) -> list[str]:
    out: list[str] = []
    for s in host:
        if isinstance(s, HostLet):
            out.append(f"{indent}{s.name} = {format_expr(s.value)}")
        else:
            out += [f"{indent}when {format_expr(s.condition)}", *_show_host(s.then, indent + "  ")]
            out += [f"{indent}else", *_show_host(s.otherwise, indent + "  ")] if s.otherwise else []
    return out


def _show_body(body: tuple[Statement, ...], indent: str) -> list[str]:
    out: list[str] = []
    for s in body:
        if isinstance(s, Bind):
            out.append(f"{indent}{s.name} = {format_expr(s.value)}")
        elif isinstance(s, Branch):
            out += [f"{indent}when {s.flag}", *_show_body(s.then, indent + "  ")]
            out += [f"{indent}else", *_show_body(s.otherwise, indent + "  ")] if s.otherwise else []
        else:
            out += [f"{indent}repeat {s.flag}", *_show_body(s.body, indent + "  ")]
    return out
