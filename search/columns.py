"""Cells of text to aligned lines, for a terminal and for files that people read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

FIGURE = re.compile(r"[+-]?[0-9][0-9./e+-]*$|-$")


def aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of words to the left, of figures to the right; the header is a column's first cell."""
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    figures = [all(FIGURE.match(row[k]) for row in cells[1:]) for k in range(len(cells[0]))]
    for row in cells:
        parts = [cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(row, widths, figures, strict=True)]
        yield "  ".join(parts).rstrip()
