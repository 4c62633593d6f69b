"""A text file to pieces of equal length and the characters that follow each of theirs; no model here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .data import Array, DataError, Examples

CONTEXT = 64
PAGE = 16
"""Neighbouring pieces are kept together in pages of so many: examples of two parts are rarely from one passage."""
TEST_FRACTION = 0.1
"""The end of the text, which is its test split."""
LEAST = 40 * PAGE * CONTEXT


def characters(path: Path, split: str) -> tuple[Array, Array]:
    """Pages of a text, (N, 16 * 64) whole numbers, and the same moved on by one character. Raises DataError.

    Characters are numbered by the training part, in the order of their code points; one that it never has, in the test
    split, counts as the first.
    """
    codes = _codes(path)
    cut = len(codes) - int(len(codes) * TEST_FRACTION)
    known = np.unique(codes[:cut])
    part = codes[:cut] if split == "train" else codes[cut:]
    at = np.searchsorted(known, part).clip(max=len(known) - 1)
    numbered = np.where(known[at] == part, at, 0).astype(np.int64)
    pages = (len(numbered) - 1) // (PAGE * CONTEXT)
    size = pages * PAGE * CONTEXT
    return numbered[:size].reshape(pages, -1), numbered[1 : size + 1].reshape(pages, -1)


def _codes(path: Path) -> Array:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if len(text) < LEAST:
        raise DataError(f"{path} has {len(text):,} characters, too few to learn from: it takes {LEAST:,} or more")
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def as_text(inputs: Array, targets: Array, where: str, split: str) -> Examples:
    """Pages as they are. Raises DataError for what is no text."""
    if inputs.ndim != 2 or inputs.shape != targets.shape or inputs.dtype != np.int64:
        raise DataError(f"{where} is no text")
    return Examples(inputs, targets)


def pieces(pages: Examples) -> Examples:
    """Pages (N, 16 * 64) cut into pieces (16 * N, 64)."""
    return Examples(pages.inputs.reshape(-1, CONTEXT), pages.targets.reshape(-1, CONTEXT))
