"""Random bits, and numbers rounded by them to one of their two neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optc.compiler.runtime.rounding import draws, philox, stochastic

from .precise import EVERY_HALF, HALVES, hard_numbers, same

# ---------------------------------------------------------------- random bits


def test_philox_is_the_published_one() -> None:
    """The known answers of Random123's kat_vectors for philox4x32-10."""
    known = {
        ((0, 0, 0, 0), (0, 0)): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)): (
            0xD16CFE09,
            0x94FDCCEB,
            0x5001E420,
            0x24126EA1,
        ),
    }
    for (counter, key), answer in known.items():
        words = philox([torch.tensor(x) for x in counter], [torch.tensor(x) for x in key])
        assert tuple(int(w) for w in words) == answer


def test_draws_are_uniform_and_differ_in_every_part_of_their_key() -> None:
    like = torch.empty(1 << 16)
    first = draws(like, (0, 0, 1), 0)
    assert first.min() >= 0
    assert first.max() < 1 << 16
    seen = torch.bincount(first >> 8, minlength=256).double()
    assert ((seen - 256) ** 2 / 256).sum() < 400  # chi squared with 255 degrees of freedom: above once in 1e8
    for key, stream in (((1, 0, 1), 0), ((0, 1, 1), 0), ((0, 0, 2), 0), ((0, 0, 1), 1)):
        other = draws(like, key, stream)
        assert (first == other).sum() < 20  # one is expected: 20 happen once in 1e18
    assert torch.equal(draws(like[:77], (0, 0, 1), 0), first[:77])


# ---------------------------------------------------------------- rounding at random


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("random", [0, 1, 0x7FFF, 0xFFFF])
def test_what_the_dtype_holds_never_moves(dtype: torch.dtype, random: int) -> None:
    x = EVERY_HALF.view(dtype)
    assert same(stochastic(x.float(), dtype, torch.full(x.shape, random, dtype=torch.int32)), x)


def neighbours(x: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The nearest numbers of a dtype on either side of each x, in float64; x itself where it is one."""
    every = EVERY_HALF.view(dtype).double()
    every = np.unique(every[every.isfinite()].numpy())
    at = np.searchsorted(every, x, side="left").clip(0, len(every) - 1)
    high = every[at]
    return np.where(high == x, high, every[(at - 1).clip(0)]), high


@pytest.mark.parametrize("dtype", HALVES)
def test_each_number_goes_to_a_neighbour_as_often_as_it_is_near(dtype: torch.dtype) -> None:
    """Every one of the 65,536 draws: the mean is the number, to within what 16 bits of chance can say."""
    x = hard_numbers(dtype)[::37]
    low, high = neighbours(x.double().numpy(), dtype)
    every = torch.arange(1 << 16, dtype=torch.int32)
    for value, below, above in zip(x, low, high, strict=True):
        got = stochastic(value.expand(every.shape).contiguous(), dtype, every).double().numpy()
        assert set(got) <= {below, above}
        subnormal = dtype == torch.float16 and abs(value) < torch.finfo(dtype).tiny
        np.testing.assert_allclose(got.mean(), float(value), rtol=1e-15, atol=(above - below) * 2.0**-16 * subnormal)


@pytest.mark.parametrize("dtype", HALVES)
def test_overflow_is_that_of_rounding_to_nearest(dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    x = torch.tensor([most * (1 + k * 2.0**-14) for k in range(80)] + [torch.inf, torch.nan, 3.4e38])
    x = torch.cat([x, -x])
    for random in (0, 0xFFFF):
        assert same(stochastic(x, dtype, torch.full(x.shape, random, dtype=torch.int32)), x.to(dtype))


def test_a_float64_is_rounded_to_float32_first() -> None:
    x = torch.tensor([1 + 2.0**-30, 1e300, -1e-300], dtype=torch.float64)
    got = stochastic(x, torch.bfloat16, torch.full(x.shape, 0xFFFF, dtype=torch.int32))
    assert got.tolist() == [1.0, torch.inf, 0.0]
