"""Blocks in C against torch's own layers: pooling to the bit, normalisation against the same in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from optc.search.tasks import blocks
from optc.search.tasks.layers import LEVELS, NormRelu, PoolReluDropout, draw_from

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(*shape, dtype=torch.float32, seed=0):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return made.contiguous(memory_format=torch.channels_last)


def with_gradient(function, x, dy):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = function(x)
    y.backward(dy)
    return y.detach(), x.grad


def test_this_machine_has_them():
    assert blocks.available()
    assert blocks.served(images(1, 2, 4, 4))
    assert not blocks.served(torch.zeros(1, 3, 4, 4))
    assert not blocks.served(images(1, 2, 4, 4).double())
    assert not blocks.served(images(0, 2, 4, 4))
    torch.set_num_threads(2)
    assert not blocks.served(images(1, 2, 4, 4))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(4, 32, 8, 8), (2, 5, 6, 10), (3, 1, 2, 2), (1, 67, 4, 2)], ids=str)
def test_pooling_gives_torch_s_bits(dtype, shape):
    x = images(*shape, dtype=dtype).sub_(0.5).mul_(2).round_().div_(2)  # full of equal neighbours
    y = functional.max_pool2d(x, 2)
    dy = images(*y.shape, dtype=dtype, seed=1)
    ours = with_gradient(PoolReluDropout(), x, dy)
    theirs = with_gradient(lambda x: functional.max_pool2d(x, 2).relu(), x, dy)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("p", [0.25, 0.5, 0.999])
def test_dropout_in_the_block_is_the_layer_s_own(dtype, p):
    x, dy = images(8, 32, 8, 8, dtype=dtype), images(8, 32, 4, 4, dtype=dtype, seed=1)
    layer, found = PoolReluDropout(p), []
    for threads in (1, 2):  # in C, and by torch
        torch.set_num_threads(threads)
        draw_from(layer, torch.Generator().manual_seed(7))
        found.append(with_gradient(layer, x, dy))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    mean = (LEVELS - layer.dropped) / LEVELS * functional.max_pool2d(x, 2).relu().gt(0).float().mean()
    assert abs((found[0][0] > 0).float().mean() - mean) < 0.05
    assert torch.equal(layer.eval()(x), functional.max_pool2d(x, 2).relu())


def test_pooling_hands_nan_and_infinity_on_as_torch_does():
    x = images(2, 8, 8, 8)
    for every, strange in ((11, torch.nan), (13, torch.inf), (17, -torch.inf)):
        x.permute(0, 2, 3, 1).view(-1)[::every] = strange
    expected = functional.max_pool2d(x, 2).relu()
    assert expected.isnan().any() and expected.isinf().any()
    assert torch.equal(PoolReluDropout()(x).nan_to_num(-7), expected.nan_to_num(-7))


def test_images_of_odd_size_are_torch_s_to_pool():
    x = images(2, 4, 7, 6)
    assert torch.equal(PoolReluDropout()(x), functional.max_pool2d(x, 2).relu())


@pytest.mark.parametrize("shape", [(128, 32, 8, 8), (2, 5, 3, 7), (1, 64, 16, 17)], ids=str)
@pytest.mark.parametrize("far", [0.0, 30.0])
def test_normalisation_is_as_good_as_float32_can_be(shape, far):
    """Against float64; a mean that is far from 0 costs what torch's own float32 loses by it, and no more."""
    x, dy = images(*shape) + far, images(*shape, seed=1)
    weights = torch.randn(2, shape[1], generator=torch.Generator().manual_seed(2))

    def run(layer, dtype):
        layer = layer.to(dtype)
        with torch.no_grad():
            layer[0].weight.copy_(weights[0])
            layer[0].bias.copy_(weights[1])
        y, dx = with_gradient(layer, x.to(dtype), dy.to(dtype))
        norm = layer[0]
        return [y, dx, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]

    ours = run(nn.Sequential(NormRelu(shape[1])), torch.float32)
    torch_s = run(nn.Sequential(nn.BatchNorm2d(shape[1]), nn.ReLU()), torch.float32)
    exact = run(nn.Sequential(nn.BatchNorm2d(shape[1]), nn.ReLU()), torch.float64)
    for mine, other, true in zip(ours, torch_s, exact, strict=True):
        size = true.abs().max()
        assert (mine - true).abs().max() <= 2 * (other - true).abs().max() + 2**-22 * size


def test_normalisation_of_bfloat16_rounds_once():
    x, dy = images(16, 32, 8, 8, dtype=torch.bfloat16), images(16, 32, 8, 8, dtype=torch.bfloat16, seed=1)
    ours = with_gradient(NormRelu(32), x, dy)
    exact = with_gradient(nn.Sequential(nn.BatchNorm2d(32).double(), nn.ReLU()), x.double(), dy.double())
    for mine, true in zip(ours, exact, strict=True):
        assert ((mine.double() - true).abs() <= 2**-8 * true.abs() + 1e-6).all()


def test_a_network_without_a_compiler_learns_the_same_to_rounding(monkeypatch):
    from optc.search.tasks.models import paper_cnn32

    losses = []
    for there in (True, False):
        monkeypatch.setattr(blocks, "available", lambda there=there: there)
        torch.manual_seed(0)
        model = paper_cnn32(3, 10).to(memory_format=torch.channels_last)
        draw_from(model, torch.Generator().manual_seed(1))
        optimizer, x = torch.optim.SGD(model.parameters(), 0.05), images(32, 3, 32, 32)
        for _ in range(3):
            loss = functional.cross_entropy(model(x), torch.arange(32) % 10)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
