"""The compiled kernels on a real GPU: against the interpreter, at every alignment, and compiled once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optc.compiler.load import load
from optc.compiler.verify import verify
from optc.dsl.load import zoo

from .test_verify import settings

pytestmark = pytest.mark.gpu


def parameter(n: int, dtype: torch.dtype = torch.float32, offset: int = 0) -> torch.Tensor:
    """A vector on the GPU that starts `offset` elements into its memory, with a gradient that does not."""
    draw = torch.Generator().manual_seed(0)
    p = torch.randn(n + offset, generator=draw).to("cuda", dtype)[offset:].requires_grad_()
    p.grad = torch.randn(n, generator=draw).to("cuda", dtype)
    return p


@pytest.mark.parametrize("name", ["adamw", "evolved", "lamb", "adafactor", "novograd", "muon"])
def test_kernels_of_every_kind_hold_on_the_gpu(name: str) -> None:
    """In every dtype and way to keep states; the rest of the zoo: `tests/zoo/test_triton.py`."""
    assert [c for c in verify(zoo(name), settings(name), steps=5) if not c.ok] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("offset", [0, 1, 4])
def test_alignment_does_not_matter(dtype: torch.dtype, offset: int) -> None:
    adamw: Any = load(zoo("adamw"))
    p, q = parameter(100_003, dtype, offset), parameter(100_003, dtype)
    for x in (p, q):
        optimizer = adamw([x], lr=0.1, backend="triton")
        for _ in range(3):
            optimizer.step()
    assert torch.equal(p, q)


def test_auto_takes_the_kernel_and_torch_agrees() -> None:
    adamw: Any = load(zoo("adamw"))
    p, q = parameter(5000), parameter(5000)
    for x, backend in ((p, "auto"), (q, "torch")):
        optimizer = adamw([x], lr=0.1, backend=backend)
        for _ in range(3):
            optimizer.step()
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_nothing_that_changes_between_steps_compiles_anything() -> None:
    """Not the step, a rate, a beta, a new constant or group, nor more tensors of other sizes."""
    import sys

    adamw: Any = load(zoo("adamw"))
    optimizer = adamw([parameter(5000)], backend="triton")
    optimizer.step()
    kernel = sys.modules[adamw.__module__].kernel
    compiled = sum(len(cache[0]) for cache in kernel.device_caches.values())
    optimizer.param_groups[0].update(lr=0.5, beta1=0.1, eps=1e-3)
    optimizer.add_param_group({"params": [parameter(n) for n in (1, 7, 1024, 100_000)], "wd": 0.5})
    for _ in range(3):
        optimizer.step()
    assert sum(len(cache[0]) for cache in kernel.device_caches.values()) == compiled


def test_a_graph_capture_is_refused_in_words() -> None:
    adamw: Any = load(zoo("adamw"))
    optimizer = adamw([parameter(100)])
    optimizer.step()
    with pytest.raises(RuntimeError, match="a graph would freeze them"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        optimizer.step()
