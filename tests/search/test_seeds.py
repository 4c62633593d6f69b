"""Names of streams: other names, other draws; the same name, the same draws, whoever asks."""

import subprocess
import sys
from itertools import combinations

import numpy as np

from optc.search.seeds import generator, seed_of

NAMES = [
    (0,),
    (1,),
    (0, 0),
    (12, 3),
    (1, 23),
    ("12", 3),
    ("a", "bc"),
    ("ab", "c"),
    ("abc",),
    (0, "train"),
    ("train", 0),
]


def test_no_two_names_are_one():
    assert all(seed_of(*a) != seed_of(*b) for a, b in combinations(NAMES, 2))
    first = {name: tuple(generator(*name).integers(2**62, size=2)) for name in NAMES}
    assert len(set(first.values())) == len(NAMES)


def test_another_process_draws_the_same():
    code = "from optc.search.seeds import generator; print(generator(7, 'train', 'digits').integers(2**62))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(elsewhere) == generator(7, "train", "digits").integers(2**62)


def test_draws_of_one_name_do_not_depend_on_those_of_another():
    alone = generator("a").standard_normal(8)
    generator("b").standard_normal(3)
    np.testing.assert_array_equal(generator("a").standard_normal(8), alone)
