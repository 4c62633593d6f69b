"""A checked rule, and the file it comes from, to warnings: what is allowed and is most likely not meant.

Every warning is a row of a table; those of `PEDANTIC` are for authors who ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..algebra.dead import live_names
from ..diagnostics import Diagnostic, Fix, Label, Span
from ..meaning.dtypes import CODE_BYTES
from ..meaning.graph import Node as Value
from ..meaning.graph import reachable, trace
from ..rule import Rule, State
from ..text.expressions import Apply, Call, Name
from ..text.spelling import format_expr
from ..text.syntax import Assign, Def, File, Let, Node, Output, ParamDecl, Repeat, StateDecl, When
from ..text.walking import names, walk
from .probe import Pole, Probe, kept_fraction

PEDANTIC = frozenset(("W511", "W512", "W513", "W514"))

STICKS = {"bfloat16": (0.997, 2.0**-9), "float16": (0.9996, 2.0**-12)}
"""dtype -> (the decay from which an average sticks, half the gap between the numbers just below 1)."""


@dataclass(frozen=True)
class Subject:
    """What a lint looks at."""

    file: File
    rule: Rule

    @cached_property
    def read(self) -> frozenset[str]:
        """Every name that the file reads, in functions that nobody calls too."""
        return frozenset(n for item in self.file.items for n in names(item))

    def declarations(self, kind: type[StateDecl] | type[ParamDecl]) -> dict[str, StateDecl | ParamDecl]:
        return {item.name: item for item in self.file.items if isinstance(item, kind)}


def lint(file: File, rule: Rule, pedantic: bool = False) -> list[Diagnostic]:
    """The warnings about a rule and the file it was checked from, in the order of the text."""
    subject = Subject(file, rule)
    found = [d for row in LINTS for d in row(subject)]
    first = {(d.code, d.span.start, d.span.source.name): d for d in reversed(found)}
    kept = [d for d in first.values() if pedantic or d.code not in PEDANTIC]
    return sorted(kept, key=lambda d: (d.span.source.name, d.span.start, d.code))


# ---------------------------------------------------------------- arithmetic


def _poles(s: Subject) -> Iterator[Diagnostic]:
    """W501: division by zero on the first step wherever the gradient is zero."""
    elements = Probe(s.rule).run()
    seen = {pole.quotient.span for pole in elements}
    tensors = [pole for pole in Probe(s.rule, whole=True).run() if pole.quotient.span not in seen]
    for poles, where in ((elements, "wherever g = 0"), (tensors, "for a tensor whose gradient is all 0")):
        for pole in poles:
            yield _pole(s.rule, pole, where)


def _pole(rule: Rule, pole: Pole, where: str) -> Diagnostic:
    what = "0/0, which is NaN," if pole.zero_over_zero else "a division by zero"
    message = f"{what} on step 1 {where}"
    eps = Name("eps")
    above, below = pole.quotient.args
    if pole.quotient.op == "div":
        better = Apply("div", (above, Apply("add", (below, eps))))
    else:
        better = Apply("pow", (Apply("add", (above, eps)), below))
    declared = "" if any(p.name == "eps" for p in rule.params) else ", with `param eps = 1e-8 in (0, inf)`"
    help = f"write `{format_expr(better)}`{declared}"
    return Diagnostic("W501", message, pole.quotient.span, note="this divisor begins at 0", help=help)


def _sticking(s: Subject) -> Iterator[Diagnostic]:
    """W504: an average that its own dtype rounds back to where it was."""
    dtypes = {state.name: state.dtype for state in s.rule.states if state.dtype in STICKS}
    probe = Probe(s.rule)
    probe.run()
    probe.values["t"] = None  # a decay that changes from step to step is not judged
    for statement in s.rule.statements():
        if not isinstance(statement, Assign) or statement.name not in dtypes:
            continue
        kept = kept_fraction(probe, statement.name, statement.value)
        dtype = str(dtypes[statement.name])
        if kept is not None and STICKS[dtype][0] <= kept < 1:
            yield _sticks(statement, dtype, kept)


def _sticks(statement: Assign, dtype: str, kept: float) -> Diagnostic:
    level = STICKS[dtype][1] / (1 - kept)
    when = "never decays" if level >= 1 else f"stops decaying at {level:.2f} of where it was"
    message = f"`{statement.name}` is an average in {dtype} that keeps {kept:g} of itself: it {when}"
    help = f"keep it in float32, or let it forget faster: below {STICKS[dtype][0]:g}"
    return Diagnostic("W504", message, statement.span, note="each change is rounded away", help=help)


def _linear_codes(s: Subject) -> Iterator[Diagnostic]:
    """W506: a divisor's root of what is kept in evenly spaced codes, which make small elements 0."""
    coded = {state.name for state in s.rule.states if state.dtype == "int8"}
    if not coded:
        return
    nodes = trace(s.rule).graph.nodes
    divisors = reachable(nodes, [n.args[1] for n in nodes if n.op == "div"])
    roots = [nodes[i] for i in divisors if nodes[i].op in ("sqrt", "pow")]
    roots += [n for n in nodes if n.op == "pow" and _negative(nodes[n.args[1]])]
    under = {nodes[i].data for i in reachable(nodes, [n.args[0] for n in roots]) if nodes[i].op == "state"}
    for name, decl in s.declarations(StateDecl).items():
        if name in coded & under:
            message = f"`{name}` is kept in int8, and a divisor takes its root"
            note = "less than 1/254 of a block's largest value becomes 0"
            help = "keep it as `ufp8`, which is as small, or in bfloat16"
            yield Diagnostic("W506", message, decl.span, note=note, help=help)


def _negative(exponent: Value) -> bool:
    return exponent.op == "neg" or (exponent.op == "number" and float(exponent.data) < 0)


def _rate_twice(s: Subject) -> Iterator[Diagnostic]:
    """W507: what multiplies the update in itself, and once more as a part of step_size."""
    traced = trace(s.rule)
    factors = _factors(traced.graph.nodes)
    already = factors[traced.outputs["step_size"]] if "step_size" in traced.outputs else frozenset()
    for statement in s.rule.statements():
        if isinstance(statement, Output) and statement.name in ("update", "decay"):
            for name in sorted(already & factors[traced.outputs[statement.name]]):
                spans = [n.span for n in walk(statement.value) if isinstance(n, Name) and n.id == name]
                message = f"`{statement.name}` is multiplied by `{name}` here, and again by step_size"
                help = "take it out: theta loses step_size*(update + decay*theta), and step_size is `lr` by default"
                span = spans[0] if spans else statement.span
                yield Diagnostic("W507", message, span, note=f"so a step has `{name}^2` in it", help=help)


def _theta_twice(s: Subject) -> Iterator[Diagnostic]:
    """W507, too: the paper's new parameter where what is subtracted from the old one belongs."""
    for statement in s.rule.statements():
        match statement:
            case Output(name="update", value=Apply(op="sub", args=(Name(id="theta") as theta, taken))):
                if "lr" in names(taken):
                    help = "for what a step leaves write `theta <- theta - ...`; else take out `theta -` and the rate"
                    message = "`update` is subtracted from theta, and has it inside"
                    yield Diagnostic("W507", message, theta.span, help=help)


def _factors(nodes: Sequence[Value]) -> list[frozenset[str]]:
    """The hyperparameters that each value is proportional to."""
    found: list[frozenset[str]] = []
    for node in nodes:
        of = [found[i] for i in node.args]
        match node.op:
            case "param":
                found.append(frozenset((node.data,)))
            case "mul":
                found.append(of[0] | of[1])
            case "neg" | "div":
                found.append(of[0])
            case "add" | "sub":
                found.append(of[0] & of[1])
            case "where":
                found.append(of[1] & of[2])
            case _:
                found.append(frozenset())
    return found


# ---------------------------------------------------------------- what is not used


def _unread_states(s: Subject) -> Iterator[Diagnostic]:
    """W502: memory that nothing depends on."""
    live = live_names(s.rule)
    declared = s.declarations(StateDecl)
    for state in s.rule.states:
        if state.name in declared and state.name not in live:
            message = f"theta does not depend on the state `{state.name}`, which costs {_cost(state)}"
            span = declared[state.name].name_span
            yield Diagnostic("W502", message, span, help="take it out, and what is written to it")


def _cost(state: State) -> str:
    scope = "parameter" if state.scope == "element" else state.scope.replace("_", " ")
    if state.dtype == "like_param":
        return f"as many bytes a {scope} as the parameter has"
    size = CODE_BYTES[state.dtype or "float32"]
    return f"{size} byte{'s' * (size != 1)} a {scope}"


def _unread_params(s: Subject) -> Iterator[Diagnostic]:
    """W503: a hyperparameter that does nothing."""
    used = s.rule.reads()
    for name, decl in s.declarations(ParamDecl).items():
        if name not in used:
            message = f"nothing reads the hyperparameter `{name}`"
            help = "take it out: it costs no memory, but whoever tunes it tunes nothing"
            yield Diagnostic("W503", message, decl.name_span, help=help)


def _unread_lets(s: Subject) -> Iterator[Diagnostic]:
    """W512: a value or a function that nothing uses."""
    nodes = [n for item in s.file.items for n in walk(item)]
    called = {n.function for n in nodes if isinstance(n, Call)}
    for n in nodes:
        if isinstance(n, Let) and n.name not in s.read:
            yield Diagnostic("W512", f"nothing reads `{n.name}`", n.name_span, help="take it out")
        if isinstance(n, Def) and n.name not in called:
            yield Diagnostic("W512", f"nothing calls `{n.name}`", n.name_span, help="take it out")


# ---------------------------------------------------------------- how it is written


def _folded(s: Subject) -> Iterator[Diagnostic]:
    """W505: pasted mathematics, once a line."""
    lines: dict[int, list[tuple[Span, str]]] = {}
    for span, plain in s.file.folded:
        lines.setdefault(span.source.position(span.start)[0], []).append((span, plain))
    for places in lines.values():
        whole = places[0][0].to(places[-1][0])
        plain = _plain(places)
        help = f"plain text is `{plain}`; `optc fmt` writes it so"
        yield Diagnostic("W505", "pasted mathematics was read as plain text", whole, help=help, fix=Fix(whole, plain))


def _plain(places: list[tuple[Span, str]]) -> str:
    """The text from the first place to the last, each replaced; words keep a space from the words beside them."""
    text, out = places[0][0].source.text, ""
    at = places[0][0].start
    for span, plain in places:
        out += text[at : span.start]
        before = out[-1:] or text[: span.start][-1:]
        after = text[span.end : span.end + 1]
        out += " " if _word(before) and _word(plain[:1]) else ""
        out += plain + (" " if plain.isalpha() and plain in ("in", "and", "or", "not") and _word(after) else "")
        at = span.end
    return out


def _word(c: str) -> bool:
    return c == "_" or c.isalnum()


def _old_and_new(s: Subject) -> Iterator[Diagnostic]:
    """W511: above its `<-` a state is last step's, below it this step's; a reader may miss that."""
    states = {state.name for state in s.rule.states}
    before: dict[str, Span] = {}
    written: dict[str, Span] = {}
    told: set[str] = set()
    for statement in s.rule.statements():
        own = statement.name if isinstance(statement, Assign) else ""
        for name, span in _reads(statement):
            if name not in states or name == own or name in told:
                continue
            if name not in written:
                before.setdefault(name, span)
            elif name in before:
                told.add(name)
                labels = (Label(written[name], "changes here"), Label(span, "this step's"))
                help = f"write `prev({name})` for last step's value"
                message = f"`{name}` is read both before and after it changes"
                yield Diagnostic("W511", message, before[name], note="last step's", labels=labels, help=help)
        if own in states:
            written.setdefault(own, statement.span)


def _reads(statement: Node) -> Iterator[tuple[str, Span]]:
    """The names that a statement reads itself; what stands in its blocks is read there."""
    inner = statement
    match statement:
        case Let(value=value) | Assign(value=value) | Output(value=value):
            inner = value
        case When(condition=condition):
            inner = condition
        case Repeat(count=count):
            inner = count
    for n in walk(inner):
        if isinstance(n, Name):
            yield n.id, n.span


def _undocumented(s: Subject) -> Iterator[Diagnostic]:
    """W513: a rule that does not say what it is."""
    if not s.file.doc and not (len(s.file.items) == 1 and len(s.rule.body) > 1):
        start = Span(s.file.span.source, 0, min(1, len(s.file.span.source.text)))
        help = "begin with a line such as `## Adam (Kingma & Ba, 2015)`"
        yield Diagnostic("W513", "this rule has no documentation", start, help=help)


def _unbounded(s: Subject) -> Iterator[Diagnostic]:
    """W514: a real hyperparameter that takes any value at all."""
    for param in s.rule.params:
        decl = s.declarations(ParamDecl).get(param.name)
        if decl is not None and param.interval is None and param.prior is None and param.type != "bool":
            low = "[0" if isinstance(param.default, (int, float)) and param.default == 0 else "(0"
            help = f"say which values are valid, for instance `in {low}, inf)`; `in (-inf, inf)` says any"
            yield Diagnostic("W514", f"`{param.name}` takes any value at all", decl.name_span, help=help)


LINTS: tuple[Callable[[Subject], Iterator[Diagnostic]], ...] = (
    _poles,
    _unread_states,
    _unread_params,
    _sticking,
    _linear_codes,
    _rate_twice,
    _theta_twice,
    _folded,
    _old_and_new,
    _unread_lets,
    _undocumented,
    _unbounded,
)
