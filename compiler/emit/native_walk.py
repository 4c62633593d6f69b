"""Prints a plan's step as C functions over the tiles of all tensors: passes that measure, and the one that steps.

`measure1` leaves what each tile sums up, `combine1` adds that up, and so on; `step` writes parameters and states per
element, and `settle` the other states, once no tile reads them. Where each value is computed once and written once, no
tile depends on another, and a sum has one order, however many threads there are.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from ...dsl.text.expressions import Name, Scope
from ..plan.passes import LINES, NUMBERS, Column, Measure, cut
from ..plan.plan import Bind, Plan
from .inline import HERE
from .layout import STEP
from .native_nest import LOOPS, PLACES, Code, Nests, code_for, finished
from .triton import earlier

TILES = {"alone": (1, 1 << 14), "summed": (1, 1 << 10), "tiled": (32, 1 << 10)}
"""Rows and columns of a tile, for rules without sums, with sums, and with rows and columns."""

ONCE: dict[Scope, str] = {
    "row": "tile.col == 0",
    "col": "tile.row == 0",
    "matrix": "tile.row == 0 && tile.col == 0",
    "tensor": "number == work->tiles[i]",
}
"""Of the tiles that see a value, the one that counts it."""

PARTS: dict[Scope, tuple[str, str, str]] = {
    "row": ("tile.across", "n_matrices * n_rows", "n_across"),
    "col": ("tile.down", "n_matrices * n_cols", "n_down"),
    "matrix": ("(tile.down * tile.n_across + tile.across)", "n_matrices", "n_down * n_across"),
}
"""Of sums for lines: which part a tile has, how many lines there are, and of how many parts."""

AXES: dict[Scope, tuple[str, ...]] = {"element": ("rows", "cols"), "row": ("rows",), "col": ("cols",)}
"""What of a matrix there is one value of a scope for."""


def emit_native(plan: Plan) -> str:
    """C source of a step's passes. The dtypes of operands (`theta_type`), the flags, MAXIMIZE and DOUBLE are macros."""
    return "\n".join(_Walk(plan).source()) + "\n"


class _Walk:
    def __init__(self, plan: Plan) -> None:
        self.plan, passes = plan, cut(plan)
        self.passes = replace(passes, measures=tuple(map(_without_unset, passes.measures)))
        self.nests = Nests(plan, self.passes, [*(m.body for m in self.passes.measures), self.passes.body])
        homes = ["theta", *(m.name for m in plan.memories if m.written)]
        self.stored = dict(zip(homes, plan.step.outputs, strict=True))

    def source(self) -> list[str]:
        passes = self.passes
        size = TILES["tiled" if passes.tiled else "summed" if passes.measures else "alone"]
        headers = ["native.h", "native_tiles.h"]
        headers += ["native_sums.h"] * bool(passes.measures) + ["native_noise.h"] * bool(passes.noises)
        out = [f"#define {name} {n}" for name, n in zip(("HEIGHT", "WIDTH"), size, strict=True)]
        for header in headers:
            out += ["", *HERE.joinpath("prelude", header).read_text(encoding="utf-8").rstrip().splitlines()]
        for i, measure in enumerate(passes.measures, 1):
            out += ["", *indented(self._measure(f"measure{i}", measure))]
            out += ["", *indented(self._combine(f"combine{i}", measure))]
        out += ["", *indented(self._step())]
        return [*out, "", *indented(self._settle())] if settles(self.plan) else out

    def _step(self) -> list[str]:
        """Parameters and states per element."""
        homes, code = self._written("element")
        return self._over_tiles("step", code.used, self.passes.columns, homes, self._nest("element", homes, code))

    def _settle(self) -> list[str]:
        """The other states, lines before numbers, since lines may read these."""
        scopes: tuple[Scope, ...] = ("row", "col", "matrix", "tensor")
        parts = {scope: self._written(scope) for scope in scopes}
        used = frozenset[str]().union(*(code.used for _, code in parts.values()))
        head = self.nests.head(used, self.passes.columns, [x for homes, _ in parts.values() for x in homes])
        tile = ["const Tile tile = whole(work->extents + 3 * i);"] if self.passes.tiled else []
        body = [line for scope, (homes, code) in parts.items() if homes for line in self._nest(scope, homes, code)]
        return self._over_tensors("settle", [*tile, *head, *body])

    def _written(self, scope: Scope) -> tuple[list[str], Code]:
        """What is to be written of a scope, and the code for it."""
        homes = [name for name in self.stored if self.nests.scope(name) == scope]
        return homes, code_for(self.passes.body, {self.stored[name] for name in homes})

    def _nest(self, scope: Scope, homes: list[str], code: Code) -> list[str]:
        return self.nests.nest(scope, code, [self.nests.store(name, self.stored[name]) for name in homes])

    # -------------------------------------------------------- sums

    def _measure(self, name: str, measure: Measure) -> list[str]:
        """What a tile sums up: each column begins with nothing, and takes the terms of its scope."""
        out = [line for c in measure.columns for line in self._cleared(c)]
        out += [f"real {_run(c)}[WIDTH];" for c in measure.columns if "col" in LOOPS[c.of]]
        for of in dict.fromkeys(c.of for c in measure.columns):
            out += self._terms(measure, of)
        head = [line for c in measure.columns if c.per in LINES for line in self.nests.pointers(c)[1:]]
        if any(c.per in NUMBERS for c in measure.columns):
            head.append(f"double *const partial = work->partials + {len(self.passes.columns)} * number;")
        used = code_for(measure.body, {c.term for c in measure.columns}).used
        return self._over_tiles(name, used, earlier(self.passes, measure), (), [*head, *out])

    def _cleared(self, c: Column) -> list[str]:
        start = f"{self._part(c)} = {'-INFINITY' if c.op == 'max_of' else '0'};"
        return [start] if c.per in NUMBERS else self.nests.nest(c.per, Code(), [start])

    def _part(self, c: Column) -> str:
        """Where a tile's part of a sum is."""
        if c.per in NUMBERS:
            return f"partial[{c.index}]"
        part, lines, _ = PARTS[c.per]
        return f"{c.term}_at[{part} * {lines} + {PLACES[c.per][0]}]"

    def _terms(self, measure: Measure, of: Scope) -> list[str]:
        """The loops over what there is a term for; runs of columns are added up side by side."""
        columns = [c for c in measure.columns if c.of == of]
        code = code_for(measure.body, {c.term for c in columns})
        if "col" not in LOOPS[of]:
            last = [f"{self._part(c)} = {_fold(c)}({self._part(c)}, (double){c.term});" for c in columns]
            nest = self.nests.nest(of, code, last)
        else:
            at = "in_col" if self.passes.tiled else "at"
            last = [f"{_run(c)}[{at} - tile.col] = {c.term};" for c in columns]
            nest = self.nests.nest(of, code, last, [self._folded(c) for c in columns])
        return [f"if ({ONCE[of]}) {{", *nest, "}"] if of in ONCE else nest

    def _folded(self, c: Column) -> str:
        """Takes a run of columns into a sum, or into the sum of each column."""
        run = f"{_run(c)}, tile.col_end - tile.col"
        if c.per == "col":
            return (
                f"{_total(c)}_each(&{self._part(c).replace(PLACES['col'][0], 'in_matrix * n_cols + tile.col')}, {run});"
            )
        return f"{self._part(c)} = {_fold(c)}({self._part(c)}, {_total(c)}({run}));"

    def _combine(self, name: str, measure: Measure) -> list[str]:
        """What tiles have summed up becomes results for lines and sums for numbers."""
        width, lines = len(self.passes.columns), [c for c in measure.columns if c.per in LINES]
        numbers = [f"{_total(c)}_number(work, {width}, {c.index});" for c in measure.columns if c.per in NUMBERS]
        body = ["const int64_t n_down = pieces(n_rows, HEIGHT), n_across = pieces(n_cols, WIDTH);"]
        for c in lines:
            _, count, parts = PARTS[c.per]
            n = " * ".join(f"n_{axis}" for axis in AXES[c.of] if axis not in AXES.get(c.per, ())) or "1"
            body += [*self.nests.pointers(c), f"{_total(c)}_lines({c.name}_at, {c.term}_at, {count}, {parts});"]
            x = f"{c.name}_at[at]"
            if finished(c, x, n) != x:
                body.append(f"for (int64_t at = 0; at < {count}; at++) {x} = {finished(c, x, f'(double)({n})')};")
        head = self.nests.head(set(), ())
        return [*self._over_tensors(name, [*head, *body] if lines else [])[:-1], *numbers, "}"]

    # -------------------------------------------------------- functions

    def _over_tiles(
        self, name: str, used: Set[str], known: Sequence[Column], stored: Sequence[str], body: list[str]
    ) -> list[str]:
        return [
            f"void {name}(const Work *work, int64_t begin, int64_t end) {{",
            "for (int64_t i = owner_of(work, begin), number = begin; number < end; number++) {",
            "while (number >= work->tiles[i + 1]) i++;",
            "const Tile tile = tile_of(work->extents + 3 * i, number - work->tiles[i]);",
            *self.nests.head(used, known, stored),
            *body,
            "}",
            "}",
        ]

    @staticmethod
    def _over_tensors(name: str, body: list[str]) -> list[str]:
        loop = ["for (int64_t i = 0; i < work->tensors; i++) {", *body, "}"] if body else []
        return [f"void {name}(const Work *work) {{", *loop, "}"]


def settles(plan: Plan) -> bool:
    """Whether there is anything to write that is not per element."""
    return any(m.written and m.scope != "element" for m in plan.memories)


def _without_unset(measure: Measure) -> Measure:
    """Without what stands for a term where a branch is not taken: an element, which there is none of for a row's."""
    unset = [Bind(c.term, Name("theta")) for c in measure.columns if c.of != "element"]
    return replace(measure, body=tuple(s for s in measure.body if s not in unset))


def indented(lines: list[str]) -> list[str]:
    """The lines as their braces nest them."""
    out, depth = [], 0
    for line in lines:
        depth -= line.startswith("}")
        out.append(STEP * depth + line)
        depth += line.endswith("{")
    return out


def _total(c: Column) -> str:
    """The function that folds many terms."""
    return "largest" if c.op == "max_of" else "total"


def _fold(c: Column) -> str:
    """The function that folds two."""
    return "most" if c.op == "max_of" else "plus"


def _run(c: Column) -> str:
    """Where the terms of a run of columns are."""
    return f"terms{c.index + 1}"
