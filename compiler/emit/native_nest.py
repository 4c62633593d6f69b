"""Prints loops in C over what there is one value for: elements, rows, columns, matrices, tensors; and loads for them.

Lines come without indentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from ...dsl.text.expressions import Scope
from ..plan.passes import NUMBERS, Column, Passes, needed, noise_name, sliced
from ..plan.plan import Plan, Slot, Statement, binds
from .native import c_name, c_statements
from .native_levels import Hoist, at_depth, levels

LOOPS: dict[Scope, tuple[Scope, ...]] = {
    "element": ("matrix", "row", "col"),
    "row": ("matrix", "row"),
    "col": ("matrix", "col"),
    "matrix": ("matrix",),
    "tensor": (),
}
"""The loops around the code for one value of a scope, by what each counts."""

PLACES: dict[Scope, tuple[str, str]] = {
    "element": ("at", "at_row * n_cols + in_col"),
    "row": ("at_row", "in_matrix * n_rows + in_row"),
    "col": ("at_col", "in_matrix * n_cols + in_col"),
    "matrix": ("in_matrix", ""),
    "tensor": ("0", ""),
}
"""Where a value is from the tensor's beginning: its name, and how it is found."""

FINISH = {"mean": "{x} / {n}", "rms": "sqrt({x} / {n})", "norm": "sqrt({x})"}
"""A reduction's result in float64, from what was added up and the number of terms, where it is not the sum."""


def finished(c: Column, x: str, n: str) -> str:
    return FINISH.get(c.op, "{x}").format(x=x, n=n)


@dataclass(frozen=True)
class Code:
    """What gives some results: statements, and the names that these need."""

    body: tuple[Statement, ...] = ()
    used: frozenset[str] = frozenset()


def code_for(body: tuple[Statement, ...], results: set[str]) -> Code:
    return Code(sliced(body, results), frozenset(needed(body, results)))


class Nests:
    """The loops of one plan, whose passes are `bodies`. Where rows and columns do not count, elements are one loop."""

    def __init__(self, plan: Plan, passes: Passes, bodies: Iterable[tuple[Statement, ...]]) -> None:
        self.plan, self.passes = plan, passes
        self.memories = {m.name: m for m in plan.memories}
        self.lines = {c.name: c for c in passes.lines}
        self.loaded = [*plan.step.inputs, *self.lines]
        self.noises = {noise_name(i): i for i in passes.noises}
        axes = {x: frozenset(self._loops(self.scope(x))) for x in (*self.loaded, *self.noises)}
        self.levels = levels(bodies, axes)

    def scope(self, name: str) -> Scope:
        """What there is one value of an operand or of a reduction for."""
        if name in self.lines:
            return self.lines[name].per
        scope = self.memories[name].scope if name in self.memories else "element"
        return "tensor" if scope in NUMBERS else scope

    def _loops(self, scope: Scope) -> tuple[Scope, ...]:
        return ("element",) if scope == "element" and not self.passes.tiled else LOOPS[scope]

    # -------------------------------------------------------- what is known before any loop

    def head(self, used: Set[str], known: Iterable[Column], stored: Iterable[str] = ()) -> list[str]:
        """A tensor's extents, and of what is used: scalars, places of operands, states of one number, results."""
        step = self.plan.step
        slots = [f"const real {c_name(s.name)} = {_slot(i, s)};" for i, s in enumerate(step.slots) if s.name in used]
        wanted = {*used, *stored}
        operands = [f"{c_name(x)}_type *const {c_name(x)}_at" for x in step.inputs if x in wanted]
        places = [f"{x} = operands[{i}];" for x, i in zip(operands, self._indices(wanted), strict=True)]
        results = [line for c in known if c.name in used for line in self._result(c)]
        return [
            *(self._extents() if self.passes.tiled else []),
            *([f"const double *const row = work->scalars + {len(step.slots)} * work->rows[i];"] if slots else []),
            *slots,
            *([f"void *const *const operands = work->addresses + {self.columns} * i;"]),
            *places,
            *(["const int64_t *const key = work->keys + 3 * i;"] if self.noises.keys() & used else []),
            *results,
        ]

    @property
    def columns(self) -> int:
        """How many addresses a tensor has: of its operands, and of results and parts of each reduction to lines."""
        return len(self.plan.step.inputs) + 2 * len(self.lines)

    def _indices(self, names: Set[str]) -> list[int]:
        return [i for i, x in enumerate(self.plan.step.inputs) if x in names]

    @staticmethod
    def _extents() -> list[str]:
        extents = ", ".join(f"n_{x} = extent[{i}]" for i, x in enumerate(("matrices", "rows", "cols")))
        return ["const int64_t *const extent = work->extents + 3 * i;", f"const int64_t {extents};"]

    def _result(self, c: Column) -> list[str]:
        """The result of a reduction to one number, or where those of one to lines are."""
        if c.per not in NUMBERS:
            return self.pointers(c)[:1]
        width, counts = len(self.passes.columns), self.passes.counts
        own, i = "(1 + i)" if c.per == "tensor" else "0", counts.index(c.of) if c.of in counts else 0
        n = f"work->counts[{len(counts)} * {own} + {i}]"
        return [f"const real {c.name} = (real)({finished(c, f'work->reduced[{width} * {own} + {c.index}]', n)});"]

    def pointers(self, c: Column) -> list[str]:
        """Where the results of a reduction to lines are, and the parts of these."""
        first = len(self.plan.step.inputs) + 2 * list(self.lines).index(c.name)
        return [f"double *const {x}_at = operands[{i}];" for i, x in enumerate((c.name, c.term), first)]

    # -------------------------------------------------------- loops

    def nest(self, scope: Scope, code: Code, last: Sequence[str], after: Sequence[str] = ()) -> list[str]:
        """The code for each value of a scope in `tile`, then the last lines; those of `after` behind the inmost loop.

        Each loop begins with what is the same in all rounds of the loops in it.
        """
        loops = self._loops(scope)
        depths = self._depths(loops, code.used)
        body = Hoist(depths).body(code.body)
        outside = self._at(-1, body, depths, code.used)
        out: list[str] = []
        for depth, level in enumerate(loops):
            out += [*self._opened(level, scope), *self._at(depth, body, depths, code.used)]
        out += [*last, *(["}", *after] if loops else []), *["}"] * (len(loops) - 1)]
        return ["{", *outside, *out, "}"] if outside else out

    def _depths(self, loops: Sequence[Scope], used: Set[str]) -> dict[str, int]:
        """For each name the loop that it is computed in, -1 for outside of all."""
        of = {x: self.levels.get(x, frozenset()) for x in {*self.levels, *used}}
        return {x: max((i for i, loop in enumerate(loops) if loop in axes), default=-1) for x, axes in of.items()}

    def _at(self, depth: int, body: tuple[Statement, ...], depths: Mapping[str, int], used: Set[str]) -> list[str]:
        """What is loaded and computed in a loop, before those in it."""
        known = [x for x in (*self.loaded, *self.noises) if x in used and depths[x] == depth]
        bound = dict.fromkeys(b.name for b in binds(body) if depths[b.name] == depth and b.name not in known)
        out = [line for x in known for line in self._loaded(x)]
        out += [f"real {', '.join(map(c_name, bound))};"] if bound else []
        return [*out, *c_statements(at_depth(body, depth, depths))]

    def _opened(self, level: Scope, scope: Scope) -> list[str]:
        if level == "element":
            return ["EACH_ALONE", "for (int64_t at = tile.col; at < tile.col_end; at++) {"]
        x = f"in_{level}"
        out = [f"for (int64_t {x} = tile.{level}; {x} < tile.{level}_end; {x}++) {{"]
        out = ["EACH_ALONE", *out] if level == "col" else out
        named: list[Scope] = [level] if level != "matrix" else []
        named += ["element"] if level == "col" and scope == "element" else []
        return [*out, *(f"const int64_t {PLACES[s][0]} = {PLACES[s][1]};" for s in named)]

    def _loaded(self, x: str) -> list[str]:
        """An operand, a result or a random number as a number; what is not kept is 0."""
        c, at = c_name(x), PLACES[self.scope(x)][0]
        if x in self.noises:
            return [f"real {c} = noise(key, {at}, {self.noises[x]});"]
        value = f"(real){c}_at[{at}]" if x in self.lines else f"LOAD({c}_type, {c}_at[{at}])"
        flag = self.memories[x].flag if x in self.memories else None
        out = [f"real {c} = {value if flag is None else f'{c_name(flag)} ? {value} : 0'};"]
        return [*out, "if (MAXIMIZE) g = -g;"] if x == "g" else out

    def store(self, name: str, value: str) -> str:
        """One result goes home, if it is kept."""
        c, flag = c_name(name), self.memories[name].flag if name in self.memories else None
        guard = "" if flag is None else f"if ({c_name(flag)}) "
        return f"{guard}{c}_at[{PLACES[self.scope(name)][0]}] = STORE({c}_type, {c_name(value)});"


def _slot(index: int, slot: Slot) -> str:
    return f"row[{index}] != 0" if slot.kind == "bool" else f"(real)row[{index}]"
