"""Nodes → 64-bit keys that do not depend on the order in which nodes were made: equal keys for equal structure.

A key orders arguments and tells apart what looks alike; it decides nothing by itself, so a collision could at most make
two equal rules look different. Python's `hash` of numbers is the same in every process, that of text is not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from zlib import crc32

from ..meaning.graph import Node

UNORDERED = frozenset(("sum", "product", "min", "max", "and", "or", "eq", "ne"))
DATA_APART = frozenset(("sum", "product", "param", "state"))
"""Nodes whose data is counted with their arguments, or is a name and does not count."""
ORDERED = "ordered"
"""The data of a `min` or `max` whose arguments must stay as they stand."""
LIFTED = "#"
"""What stands for a literal where only structure counts."""


def mix(a: int, b: int) -> int:
    """A number that depends on both, and on which is which."""
    return hash((a, b))


@lru_cache(maxsize=4096)
def word(text: str) -> int:
    return mix(crc32(text.encode()), len(text))


def bits(value: float) -> int:
    """A number's 64 bits, so that 0.0 and -0.0 differ."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


@lru_cache(maxsize=4096, typed=True)
def _seed(op: str, data: object) -> int:
    return word(op if data is None else f"{op} {data!r}")


def own(node: Node, values: bool = False) -> int:
    """What a node is, its arguments aside; `values` says that a literal's number counts."""
    if node.op == "number":
        return mix(word(LIFTED), bits(float(node.data))) if values else word(LIFTED)
    return word(node.op) if node.op in DATA_APART else _seed(node.op, node.data)


def is_unordered(node: Node) -> bool:
    if node.op == "reduce":
        return len(node.args) == 2
    return node.op in UNORDERED and node.data != ORDERED


def coefficient(text: str, plain: bool) -> str:
    """How a sum's literal coefficient shows in its structure: 1 and -1 do; others, and `plain` literals, are lifted."""
    return text if text in ("1.0", "-1.0") and not plain else LIFTED


def edges(node: Node, one: int, values: bool = False) -> Iterable[tuple[int, int]]:
    """(What an argument is to its node, the argument), in the node's order; `one` is the term of a plain literal."""
    if node.op == "sum":
        slots = [_slot(text, a == one, values) for text, a in zip(node.data, node.args, strict=True)]
        return zip(slots, node.args, strict=True)
    if node.op == "product":
        return zip([word(str(n)) for n in node.data], node.args, strict=True)
    return zip(repeat(0), node.args, strict=False) if is_unordered(node) else enumerate(node.args, 1)


@lru_cache(maxsize=4096)
def _slot(text: str, plain: bool, values: bool) -> int:
    slot = word(coefficient(text, plain))
    return mix(slot, bits(float(text))) if values else slot


def key_of(itself: int, below: Iterable[tuple[int, int]], keys: Sequence[int]) -> int:
    """A node's key from its edges and its arguments' keys. Sums of mixed keys, since addition sees no order."""
    key, count = itself, 0
    for slot, a in below:
        key += mix(slot, keys[a])
        count += 1
    return mix(key, count)
