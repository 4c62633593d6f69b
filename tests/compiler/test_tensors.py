"""A step of parameters of every kind: in whatever order their memory is, complex, of few bits, and mixed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from .optimizers import BACKENDS, SGD, AdamW, parameter, steps


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["transposed", "channels_last", "strided", "expanded_grad", "offset"])
def test_memory_order_does_not_matter(kind: str, backend: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, g = torch.randn(4, 6, 5, 5, generator=draw), torch.randn(4, 6, 5, 5, generator=draw)
    wanted = nn.Parameter(x.clone())
    p = {
        "transposed": lambda: x.clone().transpose(0, 1).contiguous().transpose(0, 1),
        "channels_last": lambda: x.clone().to(memory_format=torch.channels_last),
        "strided": lambda: torch.zeros(4, 6, 5, 10)[..., ::2].copy_(x),
        "expanded_grad": x.clone,
        "offset": lambda: torch.zeros(601)[1:].view(4, 6, 5, 5).copy_(x),
    }[kind]().requires_grad_()
    g = torch.tensor(0.3).expand(4, 6, 5, 5) if kind == "expanded_grad" else g
    wanted.grad, p.grad = g.clone(), g
    for parameter_, how in ((wanted, "torch"), (p, backend)):
        optimizer = SGD([parameter_], lr=0.1, backend=how)
        steps(optimizer)
    assert torch.equal(p, wanted)


def test_both_backends_give_the_same_bits() -> None:
    """Nothing is contracted or reordered. (Not AdamW: torch's root on CPU is not correctly rounded.)"""
    p, q = parameter(3000), parameter(3000)
    steps(SGD([p], lr=0.1, backend="triton"), 5)
    steps(SGD([q], lr=0.1, backend="torch"), 5)
    assert torch.equal(p, q)


def test_complex_parameters_are_pairs_of_reals() -> None:
    draw = torch.Generator().manual_seed(0)
    z = nn.Parameter(torch.randn(5, generator=draw, dtype=torch.complex64))
    z.grad = torch.randn(5, generator=draw, dtype=torch.complex64)
    x = nn.Parameter(torch.view_as_real(z.detach().clone()))
    x.grad = torch.view_as_real(z.grad.clone())
    steps(AdamW([z]))
    steps(AdamW([x]))
    assert torch.equal(torch.view_as_real(z.detach()), x.detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_states_are_float32_or_wider(dtype: torch.dtype) -> None:
    p = parameter(3, dtype=dtype)
    optimizer = AdamW([p])
    optimizer.step()
    assert p.dtype == dtype
    assert optimizer.state[p]["m"].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_mixed_dtypes_in_one_optimizer(backend: str) -> None:
    dtypes = (torch.float32, torch.bfloat16, torch.float64, torch.float32)
    together = [parameter(5, dtype=d, seed=i) for i, d in enumerate(dtypes)]
    apart = [parameter(5, dtype=d, seed=i) for i, d in enumerate(dtypes)]
    steps(AdamW(together, backend=backend))
    for p in apart:
        steps(AdamW([p], backend=backend))
    assert all(torch.equal(p, q) for p, q in zip(together, apart, strict=True))
