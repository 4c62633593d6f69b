"""Cuts a step at its matrix operations: what is fused before them, what torch does, and what is fused behind.

Everything between the first and the last matrix operation is one region for torch, which takes all parameters of a
shape at once. Values per element go in through memory that the part before fills, and come out through memory that the
part behind reads. Matrices of other sizes than the parameter's, such as sums of `g @ g.T`, never leave the region.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from ...dsl.checks.shapes import ELEMENT, HOST, OF_SCOPE, Shape, shape_of
from ...dsl.text.expressions import Apply, Cast, Expr, Matrix, Name, Noise, Reduce, Scope
from ...dsl.text.walking import names, walk
from .homes import RESULT
from .passes import LINES, NUMBERS, UncutError, scope_of, sliced
from .plan import Bind, Branch, Loop, Memory, Plan, Segment, Statement, verify
from .versions import Versions

FUSED: tuple[Scope, ...] = ("element", *LINES, *NUMBERS)
"""Scopes of the states that kernels know."""


@dataclass(frozen=True)
class Parts:
    """`before` fills its last memories, one for each of `given`; the region takes these, and the states `taken`.

    What it gives goes to the last memories of `after`, of the scopes `found`, and then to the states `stored`.
    """

    before: Plan
    region: Segment
    after: Plan
    taken: tuple[int, ...]
    found: tuple[Scope, ...]
    stored: tuple[int, ...]


def has_matrices(plan: Plan) -> bool:
    """Whether a kernel alone cannot step."""
    matrix = any(isinstance(part, Matrix) for b in plan.step.binds() for part in walk(b.value))
    return matrix or any(m.scope not in FUSED for m in plan.memories)


def split(plan: Plan) -> Parts:
    """The parts of a step with matrix operations. Raises UncutError where it does not come apart."""
    return _Splitter(plan).parts()


class _Splitter:
    def __init__(self, plan: Plan) -> None:
        self.plan, step = plan, plan.step
        versions = Versions([*step.inputs, *(s.name for s in step.slots)])
        self.body = versions.body(_apart(step.body, count(1)))
        self.last = {name: versions.of[name] for name in step.outputs}
        self.binds = list(replace(step, body=self.body).binds())
        self.bound = {b.name for b in self.binds}
        self.shapes: defaultdict[str, Shape] = defaultdict(lambda: HOST, dict.fromkeys(step.inputs, ELEMENT))
        self.shapes |= {m.name: OF_SCOPE[m.scope] for m in plan.memories}
        for b in self.binds:
            self.shapes[b.name] = shape_of(b.value, self.shapes)
        self.region = self._region()

    # -------------------------------------------------------- what torch does

    def _region(self) -> set[str]:
        """The names that are bound between the first and the last matrix operation, or could not be outside."""
        seeds = {b.name for b in self.binds if _has(b, Matrix) or self._odd(b)}
        region = self._closed(seeds)
        while wide := {b.name for b in self.binds if b.name in self._inputs(region) and not self._plain(b.name)}:
            region = self._closed(region | wide)
        if {b.name for b in self.binds if b.name in region and _has(b, Noise)}:
            raise UncutError("random numbers among matrix operations")
        if any(isinstance(b.value, Reduce) and b.value.scope == "model" for b in self.binds if b.name in region):
            raise UncutError("values over all tensors among matrix operations")
        return region

    def _closed(self, region: set[str]) -> set[str]:
        """With all that stands between two of these, and with whole loops. What is cast goes to torch in its dtype."""
        before: set[str] = set()
        while before != region:
            before = set(region)
            made = self._grown(region | {b.name for b in self.binds if _has(b, Cast)}, forwards=True)
            feeding = self._grown(region, forwards=False)
            region = region | (made & feeding)
            copies = {b.name for b in self.binds if isinstance(b.value, Name) and b.value.id in region}
            region = region | copies - {self.last[RESULT]}
            for loop in _loops(self.body):
                bound = {b.name for b in loop}
                region = region | bound if bound & region else region
        return region

    def _grown(self, seed: set[str], forwards: bool) -> set[str]:
        """With all that is computed from these, or all that these are computed from."""
        out = set(seed)
        while True:
            size = len(out)
            for b in self.binds if forwards else reversed(self.binds):
                if forwards and not out.isdisjoint(names(b.value)):
                    out.add(b.name)
                if not forwards and b.name in out:
                    out |= self.bound.intersection(names(b.value))
            if len(out) == size:
                return out

    def _odd(self, b: Bind) -> bool:
        """Whether a value is a matrix of another size than the parameter, so that no kernel can hold it."""
        shapes = (self.shapes[b.name], *(self.shapes[name] for name in names(b.value)))
        return any(not _fits(shape) for shape in shapes)

    def _plain(self, name: str) -> bool:
        return self.shapes[name] == ELEMENT

    def _inputs(self, region: set[str]) -> list[str]:
        """What a region reads and does not bind, in the order of the text."""
        reads = [name for b in self.binds if b.name in region for name in sorted(set(names(b.value)))]
        known = self.bound | set(self.plan.step.inputs)
        return list(dict.fromkeys(name for name in reads if name in known and name not in region))

    # -------------------------------------------------------- the parts

    def parts(self) -> Parts:
        inputs, memories = self._inputs(self.region), {m.name: i for i, m in enumerate(self.plan.memories)}
        given = [name for name in inputs if self._plain(name)]
        taken = [name for name in inputs if not self._plain(name)]
        outside = [b for b in self.binds if b.name not in self.region]
        stored = [x for x in self.plan.step.outputs if self.last[x] in self.region]
        read = {name for b in outside for name in names(b.value)} | {self.last[x] for x in self.plan.step.outputs}
        found = [b.name for b in self.binds if b.name in self.region & read and _fits(self.shapes[b.name])]
        found = [x for x in dict.fromkeys(found) if x not in {self.last[s] for s in stored} or _read_by(outside, x)]
        region = Segment(
            slots=self.plan.step.slots,
            inputs=(*given, *taken),
            body=(*_defaults(self.body, found, inputs[0]), *_kept(self.body, lambda b: b.name in self.region)),
            outputs=(*found, *(self.last[x] for x in stored)),
        )
        return Parts(
            self._before(given),
            region,
            self._after(found),
            tuple(memories[x] for x in taken),
            tuple(scope_of(self.shapes[x]) for x in found),
            tuple(memories[x] for x in stored),
        )

    def _outside(self) -> tuple[Statement, ...]:
        return _kept(self.body, lambda b: b.name not in self.region)

    def _before(self, given: list[str]) -> Plan:
        names = [f"given{i}" for i in range(1, len(given) + 1)]
        copies = (Bind(x, Name(name)) for x, name in zip(names, given, strict=True))
        body = (*_defaults(self.body, given, "theta"), *self._outside(), *copies)
        memories = [replace(m, written=False) for m in self.plan.memories if m.scope in FUSED]
        memories += [Memory(x, x, "element", None, 0.0, None, True, False) for x in names]
        return self._derived(body, memories, tuple(names))

    def _after(self, found: list[str]) -> Plan:
        mine = [x for x in self.plan.step.outputs if self.last[x] not in self.region]
        body = (*self._outside(), *(Bind(x, Name(self.last[x])) for x in mine if self.last[x] != x))
        memories = [replace(m, written=m.name in mine) for m in self.plan.memories if m.scope in FUSED]
        memories += [Memory(x, x, scope_of(self.shapes[x]), None, 0.0, None, False, False) for x in found]
        return self._derived(body, memories, tuple(mine))

    def _derived(self, body: tuple[Statement, ...], memories: list[Memory], outputs: tuple[str, ...]) -> Plan:
        inputs = (
            "theta",
            "g",
            *self.plan.step.inputs[2 : 2 + len(self.plan.extra_inputs)],
            *(m.name for m in memories),
        )
        segment = Segment(self.plan.step.slots, inputs, sliced(body, set(outputs)), outputs)
        alone = replace(self.plan, initial=None, evaluate=None, serves=None, fallback=None)
        return verify(replace(alone, memories=tuple(memories), step=segment))


def _defaults(body: Iterable[Statement], names: Iterable[str], value: str) -> list[Bind]:
    """What one arm alone of a condition binds is given something behind the other, where nothing reads it."""
    bound = {b.name for b in Segment((), (), tuple(body), ()).binds()}
    always = {s.name for s in body if isinstance(s, Bind)}
    return [Bind(name, Name(value)) for name in names if name in bound - always]


def _apart(body: Iterable[Statement], numbers: Iterator[int]) -> tuple[Statement, ...]:
    """The body with every outermost matrix operation under a name of its own, `matrix1` and so on."""
    out: list[Statement] = []
    for s in body:
        if isinstance(s, Branch):
            out.append(Branch(s.flag, _apart(s.then, numbers), _apart(s.otherwise, numbers)))
        elif isinstance(s, Loop):
            out.append(Loop(s.flag, _apart(s.body, numbers)))
        else:
            value, products = _named(s.value, numbers)
            out += [*products, Bind(s.name, value)]
    return tuple(out)


def _named(value: Expr, numbers: Iterator[int]) -> tuple[Expr, list[Bind]]:
    if isinstance(value, Matrix):
        name = f"matrix{next(numbers)}"
        return Name(name), [Bind(name, value)]
    if isinstance(value, Cast):
        inner, products = _named(value.value, numbers)
        return replace(value, value=inner), products
    if isinstance(value, Apply | Reduce):
        named = [_named(a, numbers) for a in value.args]
        return replace(value, args=tuple(a for a, _ in named)), [b for _, products in named for b in products]
    return value, []


def _fits(shape: Shape) -> bool:
    return shape.level != "matrix" or any(OF_SCOPE[scope] == shape for scope in ("element", *LINES))


def _has(b: Bind, kind: type) -> bool:
    return any(isinstance(part, kind) for part in walk(b.value))


def _read_by(binds: list[Bind], name: str) -> bool:
    return any(name in names(b.value) for b in binds)


def _loops(body: Iterable[Statement]) -> Iterator[list[Bind]]:
    """The bindings of each loop."""
    for s in body:
        if isinstance(s, Loop):
            yield list(Segment((), (), s.body, ()).binds())
        elif isinstance(s, Branch):
            yield from _loops((*s.then, *s.otherwise))


def _kept(body: Iterable[Statement], keep: Callable[[Bind], bool]) -> tuple[Statement, ...]:
    """The body with some of its bindings only."""
    out: list[Statement] = []
    for s in body:
        if isinstance(s, Bind):
            out += [s] if keep(s) else []
        elif isinstance(s, Branch):
            then, otherwise = _kept(s.then, keep), _kept(s.otherwise, keep)
            out += [Branch(s.flag, then, otherwise)] if then or otherwise else []
        else:
            inner = _kept(s.body, keep)
            out += [Loop(s.flag, inner)] if inner else []
    return tuple(out)
