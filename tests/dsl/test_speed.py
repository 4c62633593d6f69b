"""How fast genome-sized rules are read, counted in a fixed piece of plain Python, so that slow machines pass too.

Measured when this was written, in the search's long form (15 to 20 lines): 2.2 ms a rule to parse, check and bring into
canonical form, 1.1 of it canonical, where `unit` takes 1.0 ms; the bound has half as much again to spare.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from optc.dsl.algebra.canonical import canonical
from optc.dsl.load import rule_from_text
from optc.dsl.text.format import format_file
from optc.search.spaces.space import SPACES

COUNT = 30


def unit() -> int:
    """Plain Python of the parser's kind: dictionaries, tuples, slices and calls."""
    seen: dict[tuple[int, str], list[int]] = {}
    for i in range(3000):
        seen.setdefault((i % 97, str(i % 13)), []).append(i)
    return sum(len(part[1:]) for part in seen.values())


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def test_reading_rules() -> None:
    rng = np.random.default_rng(0)
    texts = [format_file(SPACES["paper"].random(rng)) for _ in range(COUNT)]

    def read() -> None:
        for text in texts:
            canonical(rule_from_text(text))

    read()
    ratios = [seconds(read) / COUNT / seconds(unit) for _ in range(9)]  # in turns: what disturbs one disturbs both
    assert min(ratios) < 3.3
