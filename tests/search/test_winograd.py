"""3x3 convolutions in C against torch's in float64: to the bit where every number is a small whole one, else to the
bound of two roundings."""

import pytest
import torch
from torch.nn import functional

from optc.search.tasks import winograd
from optc.search.tasks.layers import Conv3x3

B = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=torch.float64)
G = torch.tensor([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], dtype=torch.float64) / 2
A = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=torch.float64)
SHAPES = [(2, 32, 32, 4, 6), (3, 32, 64, 14, 14), (1, 64, 32, 2, 2), (5, 96, 32, 8, 4), (13, 64, 64, 6, 10)]
"""Images, channels, filters, height, width: fewer tiles than go together, a multiple of them, and some more."""

pytestmark = pytest.mark.skipif(not winograd.available(), reason="no C compiler, or no products of bfloat16 numbers")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.autocast("cpu", torch.bfloat16):
        yield
    torch.set_num_threads(before)


def laid(x, dtype=torch.bfloat16):
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def results(convolve, x, filters, bias, dy):
    """What comes of a convolution, and its gradients by images, filters and bias."""
    given = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in (x, filters, bias)]
    y = convolve(*given)
    y.backward(dy)
    return [y.detach(), *(t.grad for t in given)]


def exact(x, filters, bias, dy):
    with torch.autocast("cpu", enabled=False):
        return results(
            lambda *t: functional.conv2d(*t, padding=1), x.double(), filters.double(), bias.double(), dy.double()
        )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["filters", "last"])
def test_small_whole_numbers_come_out_exactly(shape, order):
    images, channels, width, h, w = shape
    draw = torch.Generator().manual_seed(0)
    x, dy = (laid(torch.randint(-2, 3, (images, c, h, w), generator=draw)) for c in (channels, width))
    filters = 4.0 * torch.randint(-2, 3, (width, channels, 3, 3), generator=draw)  # four divides what is halved twice
    bias = torch.randint(-2, 3, (width,), generator=draw).float()
    found = results(winograd.convolution, x, filters.contiguous(memory_format=order), bias, dy)
    for ours, true in zip(found, exact(x, filters, bias, dy), strict=True):
        assert torch.equal(ours, true.to(ours.dtype))


def spread(matrix, x):
    """`matrix` applied to the last two axes of |x| without its signs: what errors add up to at most."""
    return matrix.abs() @ x.double().abs() @ matrix.abs().T


def tiles(x):
    """(B, C, H, W) to (B, C, tiles, 4, 4)."""
    return functional.pad(x.double(), (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2).flatten(2, 3)


def test_errors_are_those_of_rounding_both_factors_once():
    draw = torch.Generator().manual_seed(0)
    x, dy = (laid(torch.randn(2, 32, 8, 8, generator=draw)) for _ in range(2))
    filters, bias = torch.randn(32, 32, 3, 3, generator=draw), torch.randn(32, generator=draw)
    found, true = results(winograd.convolution, x, filters, bias, dy), exact(x, filters, bias, dy)
    factors = torch.einsum("fcij,bctij->bftij", spread(G, filters), spread(B, tiles(x)))
    bound = functional.fold(
        spread(A, factors).permute(0, 1, 3, 4, 2).reshape(2 * 32, 4, 16), (8, 8), (2, 2), stride=2
    ).reshape(2, 32, 8, 8)
    twice = 2**-8 + 2**-14  # two factors rounded to 8 bits, and sums in float32
    assert ((found[0] - true[0]).abs() <= twice * bound + 2**-9 * true[0].abs() * 1.01).all()
    given = spread(A.T, dy.unfold(2, 2, 2).unfold(3, 2, 2).flatten(2, 3))
    bound = spread(G.T, torch.einsum("bftij,bctij->fcij", given, spread(B, tiles(x))))
    assert ((found[2] - true[2]).abs() <= twice * bound).all()
    assert torch.allclose(found[3].double(), true[3], rtol=0, atol=2**-20 * dy.double().abs().sum((0, 2, 3)).max())


def test_nan_reaches_all_that_it_reaches_in_torch():
    x = laid(torch.zeros(2, 32, 8, 8))
    x[1, 7, 3, 4] = torch.nan
    y = winograd.convolution(x, torch.ones(32, 32, 3, 3), torch.zeros(32))
    assert y[1, :, 2:5, 3:6].isnan().all()
    assert not y[0].isnan().any()


def test_what_it_cannot_serve_is_torch_s():
    x, filters = laid(torch.zeros(2, 32, 8, 8)), torch.zeros(32, 32, 3, 3)
    assert winograd.served(x, filters)
    for other in (x.float(), x.contiguous(), x[:0], laid(x[:, :, 1:]), laid(x[:, :16])):
        assert not winograd.served(other, filters[:, : other.shape[1]])
    assert not winograd.served(x, filters.bfloat16())
    with torch.autocast("cpu", enabled=False):
        assert not winograd.served(x, filters)
    torch.set_num_threads(2)
    assert not winograd.served(x, filters)


def test_the_layer_is_torch_s_but_for_roundings():
    torch.manual_seed(0)
    layer, x = Conv3x3(32, 32), laid(torch.randn(4, 32, 8, 8))
    ours = layer(x)
    torch.set_num_threads(2)
    theirs = layer(x)
    assert not torch.equal(ours, theirs)
    assert (ours - theirs).float().norm() < 0.01 * theirs.float().norm()
    assert ours.dtype == theirs.dtype and ours.stride() == theirs.stride()
