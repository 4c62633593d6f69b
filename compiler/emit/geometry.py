"""Says where a program of a kernel's grid finds its elements: in one chunk of a tensor, or in one tile of its matrices.

Chunks are for rules that do not know rows from columns: runs of elements in the order of memory, walked in blocks. A
tile is a box of matrices x rows x columns. Either way there is code for whole blocks and tiles, which are known to be
aligned, and code with masks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ...dsl.text.expressions import Scope
from ..plan.passes import LINES, Column, Passes
from ..plan.plan import Memory, Plan
from .layout import STEP

TABLES = ("addresses", "work", "scalars")
"""What every kernel is given: where tensors are, what there is to do, and the rows of scalars."""

EXTENTS = ("matrices", "rows", "cols")
MASTER = "master"
"""The column of a parameter's master, in tables for chunks; one for each state's scales follows."""

PLACES: dict[Scope, str] = {"row": "at_row", "col": "at_col", "matrix": "at_matrix"}
"""Where, from a tensor's beginning, the value per row, column or matrix is that an element of a tile has to do with."""

MASKS: dict[Scope, str] = {"element": "mask", "row": "mask_row", "col": "mask_col", "matrix": "mask_matrix"}
ABSENT: dict[Scope, tuple[str, ...]] = {
    "row": ("col",),
    "col": ("row",),
    "matrix": ("row", "col"),
    "tensor": ("matrix", "row", "col"),
}
"""The axes that a value of a scope has not."""

WORDS = frozenset(
    {*TABLES, *PLACES.values(), *MASKS.values(), "job", "tensor", "at", "start", "count", "whole"}
    | {"done", "place", MASTER, "BLOCK", "MATRICES", "ROWS", "COLS"}
    | {f"{p}_{axis}" for p in ("from", "in") for axis in ("matrix", "row", "col")}
    | {f"n_{extent}" for extent in EXTENTS}
)
"""The names that kernels have for all this."""


@dataclass(frozen=True)
class Geometry:
    """`columns` are those of the table of addresses; `width` is how many the table of work has, `row` the one with the
    row of scalars, `whole` the one that says how far, or whether, all is there and aligned, `piece` the one that
    numbers the blocks or tiles of all launches; `sizes` are compile-time arguments.
    """

    columns: tuple[str, ...]
    tiled: bool
    width: int
    row: int
    whole: int
    piece: int
    sizes: tuple[str, ...]

    def head(self) -> list[str]:
        """Finds this program's tensor, and where in it to begin."""
        out = [
            f"{STEP}job = work + {self.width} * tl.program_id(0).to(tl.int64)",
            f"{STEP}tensor = addresses + {len(self.columns)} * tl.load(job)",
        ]
        if not self.tiled:
            out += [f"{STEP}start = tl.load(job + 1) * BLOCK", f"{STEP}count = tl.load(job + 2)"]
            return [*out, f"{STEP}whole = tl.load(job + {self.whole})"]
        out += [f"{STEP}from_{axis} = tl.load(job + {i})" for i, axis in enumerate(("matrix", "row", "col"), 1)]
        return [*out, *(f"{STEP}{n} = tl.load(tensor + {self.columns.index(n)})" for n in _extents())]

    def parted(self, empty: bool) -> tuple[list[str], list[str]]:
        """What stands before the code for what is whole, and before that with masks, which `empty` tensors take."""
        if self.tiled:
            return [f"if tl.load(job + {self.whole}) != 0:"], ["else:"]
        count = "tl.maximum(count, 1)" if empty else "count"
        return ["for done in range(0, whole, BLOCK):"], ["done = whole", f"if done < {count}:"]

    @property
    def element(self) -> str:
        """Where an element is, from its tensor's beginning."""
        return "at" if self.tiled else "place + at"

    def place(self, scope: Scope) -> str:
        """Where, from a tensor's beginning, the value is that an element has to do with."""
        return PLACES.get(scope, self.element)

    def first(self) -> str:
        """The condition that this is a tensor's first block or tile."""
        return "from_matrix + from_row + from_col == 0" if self.tiled else "place == 0"

    def indices(self, mask: str, indent: str, scopes: Collection[Scope]) -> list[str]:
        """Where each element of this program is, and whether it is there at all; and so the values of these scopes."""
        if not self.tiled:
            return [f"{indent}place = start + done", *([f"{indent}mask = at < count - done"] if mask else [])]
        # By arithmetic, since `tl.multiple_of` would speak of the value that the masked code has, too.
        out = [] if mask else ["from_col = from_col // 8 * 8", "n_cols = n_cols // 8 * 8"]
        out += [
            "in_matrix = from_matrix + tl.arange(0, MATRICES)[:, None, None]",
            "in_row = from_row + tl.arange(0, ROWS)[None, :, None]",
            "in_col = from_col + tl.arange(0, COLS)[None, None, :]",
            *(["at_matrix = in_matrix"] if "matrix" in scopes else []),
            "at_row = in_matrix * n_rows + in_row",
            *(["at_col = in_matrix * n_cols + in_col"] if "col" in scopes else []),
            "at = at_row * n_cols + in_col",
        ]
        if mask:
            out += [
                "mask_matrix = in_matrix < n_matrices",
                "mask_row = mask_matrix & (in_row < n_rows)",
                *(["mask_col = mask_matrix & (in_col < n_cols)"] if "col" in scopes else []),
                "mask = mask_row & (in_col < n_cols)",
            ]
        return [indent + line for line in out]

    @property
    def zero(self) -> str:
        """What is 0 in a tensor's first block or tile: where a state of one number is."""
        return "from_matrix" if self.tiled else "place"

    def numbered(self) -> str:
        """The number of this block or tile among those of all launches."""
        number = f"tl.load(job + {self.piece})"
        return number if self.tiled else f"({number} + done // BLOCK)"

    def counted(self, c: Column, mask: str) -> str:
        """Which elements bring a term to a reduction: of a row's terms those in its first column, and so on."""
        if not self.tiled:
            lacking = ["place + at == 0"] if c.of == "tensor" else []
        else:
            lacking = [f"in_{axis} == 0" for axis in ABSENT.get(c.of, ())]
        return " & ".join([*([mask] if mask else []), *(f"({x})" for x in lacking)])

    def partial(self, c: Column) -> str:
        """Where this program's part of a result per row, column or matrix goes, from the first of them."""
        row, col = "(from_row // ROWS)", "(from_col // COLS)"
        if c.per == "row":
            return f"{col} * n_matrices * n_rows + at_row"
        if c.per == "col":
            return f"{row} * n_matrices * n_cols + at_col"
        return f"({row} * tl.cdiv(n_cols, COLS) + {col}) * n_matrices + at_matrix"

    def owner(self, scope: Scope) -> str:
        """The condition that this program is the one that stores a state per row, column or matrix."""
        return f"{' + '.join(f'from_{axis}' for axis in ABSENT[scope])} == 0"


def geometry_of(plan: Plan, passes: Passes, kept: bool) -> Geometry:
    """`kept` says that memory may hold something else than numbers."""
    inputs = plan.step.inputs
    if not passes.tiled:
        beside = (MASTER, *(scales(m) for m in plan.memories)) if kept else ()
        return Geometry((*inputs, *beside), False, 5 if plan.elementwise else 6, 3, 4, 5, ("BLOCK",))
    olds = tuple(old(m) for m in plan.memories if m.scope in LINES and m.written)
    lines = tuple(name for c in passes.lines for name in (f"{c.name}_at", f"{c.term}_at"))
    return Geometry((*inputs, *olds, *_extents(), *lines), True, 7, 4, 5, 6, ("MATRICES", "ROWS", "COLS"))


def old(memory: Memory) -> str:
    """What the code calls the copy of a state that a step reads, while another program may already write the state."""
    return f"{memory.name}_old"


def scales(memory: Memory) -> str:
    """What the code calls the place of a state's scales, where it is kept as codes."""
    return f"{memory.name}_scales"


def _extents() -> tuple[str, ...]:
    return tuple(f"n_{extent}" for extent in EXTENTS)
