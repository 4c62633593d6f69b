"""States in int8 and fp8 where something is odd: numbers at the edges, strides, pairs, shapes without a state."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optc.compiler.load import load

from .coded import Coded, bits, give_gradients, parameters, read, run

SUM = "param lr = 1 in [0, inf)\nstate m : per element {0} = {1}\nm <- m + g\nupdate = m"


def summed(dtype: str, gradients: list[float], init: float = 0.0) -> tuple[torch.Tensor, dict[str, Any]]:
    """What is read one step after gradients were stored, and the memory."""
    p = nn.Parameter(torch.zeros(len(gradients)))
    optimizer: Any = load(SUM.format(dtype, init))([p])
    p.grad = torch.tensor(gradients)
    optimizer.step()
    with torch.no_grad():
        p.zero_()
    p.grad.zero_()
    before = copy.deepcopy(optimizer.state[p])
    optimizer.step()
    return -p.detach(), before


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_block_with_what_is_no_number_reads_nan_and_others_do_not(dtype: str, bad: float) -> None:
    value, memory = summed(dtype, [1.0] * 300 + [bad] + [1.0] * 300)
    assert torch.isnan(value).tolist() == [256 <= i < 512 for i in range(601)]
    assert torch.isnan(memory["m_scale"]).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
def test_zeros_and_the_smallest_numbers_stay_in_their_place(dtype: str) -> None:
    blocks = [0.0, 1e-44, 2.49e-43, 8.79e-43]  # the scales of the last two are rounded down by a third
    value, memory = summed(dtype, [x for x in blocks for _ in range(256)])
    assert memory["m_scale"][0] == 0
    for x, read_back in zip(blocks, value.view(4, 256), strict=True):
        assert ((read_back >= 0) & (read_back <= x)).all()


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
@pytest.mark.parametrize("init", [2.5, -3.0, "0.5*lr", "abs(theta) + 1"])
def test_a_state_may_begin_at_any_number(dtype: str, init: Any) -> None:
    value, _ = summed(dtype, [0.0] * 300, init)
    expected = {"0.5*lr": 0.5, "abs(theta) + 1": 1.0}.get(init, init)
    torch.testing.assert_close(value, torch.full((300,), expected), rtol=2**-21, atol=0)


def test_strides_do_not_matter() -> None:
    turned = nn.Parameter(torch.arange(600.0).view(20, 30).T)
    plain = nn.Parameter(turned.detach().contiguous())
    optimizers = [Coded([turned]), Coded([plain])]
    for optimizer, p in zip(optimizers, (turned, plain), strict=True):
        run(optimizer, [p], 1, 4)
    assert torch.equal(turned, plain)
    assert bits(optimizers[0]) == bits(optimizers[1])


def test_complex_parameters_are_pairs_of_reals() -> None:
    (z,) = zs = parameters(torch.complex64, ((20, 30),))
    pair = nn.Parameter(torch.view_as_real(z.detach()).clone())
    ours, theirs = Coded(zs), Coded([pair])
    for t in range(1, 5):
        give_gradients(zs, t)
        assert z.grad is not None
        pair.grad = torch.view_as_real(z.grad).clone()
        ours.step()
        theirs.step()
    assert torch.equal(torch.view_as_real(z), pair)
    assert ours.state[z]["m"].shape == (20, 30, 2)


def test_values_over_all_tensors_see_numbers() -> None:
    text = "param lr = 0.1\nstate m : per element {} = 0\nm <- m + g\nupdate = m/norm(m per model)"
    thetas = []
    for dtype in ("int8", "float32"):
        ps = parameters(torch.float32, ((4, 4), (200, 200), (300,)))
        run(load(text.format(dtype))(ps), ps, 1, 3)
        thetas.append(torch.cat([p.detach().reshape(-1) for p in ps]))
    assert (thetas[0] - thetas[1]).abs().max() < 3 * 0.1 / 127


def test_evaluation_reads_numbers_and_leaves_codes() -> None:
    text = (
        "param lr = 0.1\nstate a : per element int8 = theta\na <- lerp(a, theta, 0.5)\nupdate = g\nevaluate theta = a"
    )
    (p,) = ps = parameters(torch.float32, ((300,),))
    optimizer: Any = load(text)(ps)
    run(optimizer, ps, 1, 3)
    before, trained = bits(optimizer), p.detach().clone()
    optimizer.eval()
    np.testing.assert_allclose(p.detach().numpy(), read(optimizer.state[p], "a"), rtol=1e-6)
    optimizer.train()
    assert torch.equal(p, trained)
    assert bits(optimizer) == before


def test_a_state_that_is_there_for_some_shapes_alone() -> None:
    text = "param lr = 0.1\nstate m : per element int8 = 0 when ndim >= 2\n"
    text += "when ndim >= 2 { m <- m + g; let u = m } else { let u = g }\nupdate = u"
    p, q = ps = parameters(torch.float32, ((4, 4), (4,)))
    optimizer: Any = load(text)(ps)
    run(optimizer, ps, 1, 2)
    assert [sorted(optimizer.state[x]) for x in (p, q)] == [["m", "m_scale", "step"], ["step"]]
