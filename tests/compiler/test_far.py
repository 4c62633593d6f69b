"""Elements beyond the reach of 32 bits: kernels begin far into tensors, whose beginnings are taken to be far away."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from optc.compiler.load import load
from optc.dsl.load import zoo

FAR = 3 << 31
"""Elements: more than 32 bits count, and 24 GiB of float32."""


def after(rule: str) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    params = [torch.randn(n, generator=draw).requires_grad_() for n in (1500, 1024, 7)]
    optimizer: Any = load(zoo(rule))(params, backend="triton")
    for p in params:
        p.grad = torch.randn(p.shape, generator=draw)
    optimizer.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("rule", ["adamw", "lamb"])
def test_offsets_have_64_bits(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same memory, once from its beginning, and once from an address so far before it that 32 bits would wrap."""
    near = after(rule)
    module: Any = sys.modules[load(zoo(rule)).__module__]
    addresses, chunks = module.address_table, module.chunk_table
    started = torch.tensor([0, FAR // module.BLOCK, 0, 0, 0])
    monkeypatch.setattr(module, "address_table", lambda operands: addresses(operands) - 4 * FAR)
    monkeypatch.setattr(module, "chunk_table", lambda *args: chunks(*args) + started)
    for x, y in zip(near, after(rule), strict=True):
        assert torch.equal(x, y)
