"""Faster layers: the same values and gradients as torch's own, and a dropout with masks of its own generator."""

import pytest
import torch
from torch import nn

from optc.search.tasks.layers import Dropout, FlattenInPlace, PoolReluDropout, draw_from


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_pooling_before_relu_is_relu_before_pooling_to_the_bit(dtype):
    torch.manual_seed(0)
    given = torch.randn(4, 8, 10, 10, dtype=dtype).sub(0.8)  # windows without anything positive too
    given.view(-1)[::7] = 0
    found = []
    for layer in (PoolReluDropout(), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))):
        x = given.clone().requires_grad_()
        y = layer(x)
        y.backward(torch.arange(y.numel(), dtype=dtype).view_as(y) % 13)
        found.append((y.detach(), x.grad))
    (ours, our_gradient), (theirs, their_gradient) = found
    assert (ours == 0).float().mean() > 0.1
    assert torch.equal(ours, theirs) and torch.equal(our_gradient, their_gradient)


def test_flattening_moves_nothing_and_loses_nothing():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    y = FlattenInPlace()(x)
    assert y.shape == (2, 60) and y.data_ptr() == x.data_ptr()
    assert torch.equal(y.view(2, 4, 5, 3).permute(0, 3, 1, 2), x)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.3, 0.5])
@pytest.mark.parametrize("shape", [(64, 32, 8, 8), (3, 7), (1,)], ids=str)
def test_dropout_is_zero_or_scaled_and_its_gradient_is_the_mask(p, shape):
    torch.manual_seed(0)
    layer = Dropout(p)
    x = torch.ones(shape)
    if len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    y = layer(x)
    assert y.stride() == x.stride()
    kept = y != 0
    assert torch.allclose(y[kept], torch.tensor(1 / (1 - p)), rtol=1e-4)
    if y.numel() > 1000:
        deviations = (kept.float().mean() - (1 - p)).abs() * (y.numel() / max(p * (1 - p), 1e-9)) ** 0.5
        assert deviations < 4
    (y * 3).sum().backward()
    assert torch.equal(x.grad, 3 * y.detach())


def test_dropout_drops_every_place_alike_and_no_two_together():
    """Four elements come out of each word that is drawn: none of them may be special, or linked to another."""
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(20_000, 4)) != 0).double()
    correlation = torch.corrcoef(kept.T)
    assert (kept.mean(0) - 0.5).abs().max() < 4 * 0.5 / 20_000**0.5
    assert (correlation - torch.eye(4)).abs().max() < 4 / 20_000**0.5


def test_masks_are_those_of_the_generator_and_evaluation_has_none():
    model = nn.Sequential(Dropout(0.5), nn.Sequential(Dropout(0.25)))
    x = torch.ones(1000)
    drawn = []
    for seed in (1, 1, 2):
        draw_from(model, torch.Generator().manual_seed(seed))
        before = torch.get_rng_state()
        drawn.append(model(x))
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(model.eval()(x), x)
