"""Complexity, state memory and the Pareto front, against counts by hand and the definition of dominance."""

import numpy as np
import pytest

from optc.dsl.text.parser import parse
from optc.search.spaces.measure import complexity, front, state_bytes
from optc.search.spaces.trees import tidied


def test_complexity_counts_names_numbers_and_operators():
    plain = parse("optimizer A\nparam lr = 1e-3\nupdate = g\n")
    sleeping = parse("optimizer A\nparam lr = 1e-3\nparam a = 2\nstate v = 0\nv <- v + g^2\nupdate = g\n")
    assert complexity(tidied(plain)) == complexity(tidied(sleeping)) == 1
    assert complexity(parse("optimizer A\nparam lr = 1e-3\nupdate = sign(g) + 2*g\n")) == 6


@pytest.mark.parametrize(
    ("state", "bytes_"),
    [("m = 0", 4), ("m : bfloat16 = 0", 2), ("m : per tensor = 0", 0)],
    ids=["f32", "bf16", "tensor"],
)
def test_state_bytes(state, bytes_):
    value = "norm(g)" if "tensor" in state else "g"
    tree = parse(f"optimizer A\nparam lr = 1e-3\nstate {state}\nm <- 0.9*m + {value}\nupdate = m*g\n")
    assert state_bytes(tree) == bytes_


def test_front_is_who_nobody_dominates():
    rng = np.random.default_rng(5)
    items = [(int(c), float(g)) for c, g in zip(rng.integers(1, 12, 60), rng.random(60), strict=True)]
    expected = [
        (c, g) for c, g in items if not any((d <= c and h > g) or (d < c and h >= g) for d, h in items)
    ]  # fmt: skip
    assert front(items, lambda i: i[0], lambda i: i[1]) == sorted(set(expected))
