"""The zoo's kernels, on a GPU or in Triton's interpreter, against the torch backend: the same float32 arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from optc.compiler.load import load
from optc.dsl.load import zoo

from .harness import SHAPES
from .test_zoo import NAMES

STEPS = 4


def after(name: str, backend: str, device: str) -> list[np.ndarray]:
    draw = torch.Generator().manual_seed(5)
    params = [torch.randn(s, generator=draw).to(device).requires_grad_() for s in SHAPES]
    settings = {"total": 9} if name == "evolved" else {}
    optimizer: Any = load(zoo(name))(params, backend=backend, **settings)
    for _ in range(STEPS):
        for p in params:
            p.grad = torch.randn(p.shape, generator=draw).to(device)
        extra = [torch.rand(p.shape, generator=draw).to(device) for p in params]
        optimizer.step(**({"inputs": {"h": extra}} if name == "sophia" else {}))
    return [p.detach().cpu().numpy() for p in params]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", NAMES)
def test_kernels_are_the_torch_backend(name: str, device: str) -> None:
    """Four steps, each of a few roundings of numbers near 1: contraction and the order of sums may differ."""
    near = 1.6e-5 if name == "muon" else 1e-6  # its matrices are bfloat16: 2^-8 of a step of 1e-3, four times
    for x, y in zip(after(name, "triton", device), after(name, "torch", device), strict=True):
        np.testing.assert_allclose(x, y, rtol=near, atol=near)
