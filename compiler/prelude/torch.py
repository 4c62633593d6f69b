"""The operators that torch has not, or has with another meaning of NaN; each tensor in, tensor out.

The generated modules hold copies of those functions that their rule needs.
"""

from __future__ import annotations

import numpy
import torch
from torch import Tensor

from ..runtime.rounding import LOW, philox


def tensor_sqrt(x: Tensor) -> Tensor:
    """Correctly rounded, as everywhere else: on a CPU numpy's is, and MKL's, which torch.sqrt calls there, is not."""
    plain = type(x) is Tensor and x.device.type == "cpu" and not torch.is_grad_enabled()
    if not plain or torch.compiler.is_compiling() or torch._C._functorch.is_batchedtensor(x):  # no memory of its own
        return torch.sqrt(x)
    root = torch.empty_like(x)
    with numpy.errstate(invalid="ignore"):
        numpy.sqrt(x.numpy(), out=root.numpy())
    return root


def tensor_sign(x: Tensor) -> Tensor:
    """torch.sign, save that tensor_sign(NaN) is NaN."""
    return torch.where(x.isnan(), x, torch.sign(x))


def tensor_mod(x: Tensor, y: Tensor) -> Tensor:
    """torch.remainder, save that 0, too, has the sign of the divisor."""
    r = torch.remainder(x, y)
    return torch.where(r == 0, torch.copysign(r, y), r)


def tensor_pow(x: Tensor, y: Tensor) -> Tensor:
    """torch.pow, save that it is NaN wherever a negative base, -inf too, has a fractional exponent."""
    return torch.where((x < 0) & (y != torch.floor(y)), torch.nan, torch.pow(x, y))


def tensor_cbrt(x: Tensor) -> Tensor:
    """The real cube root: a power, then one Newton step, since 1/3 is not a float."""
    root = torch.sign(x) * x.abs().pow(1 / 3)
    better = root - (root * root * root - x) / (3 * root * root)
    return torch.where((x == 0) | x.isinf(), x, better)


def tensor_clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def tensor_lerp(a: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return a + w * (b - a)


AXES: dict[str, tuple[int, ...] | None] = {"row": (-1,), "col": (-2,), "matrix": (-2, -1), "tensor": None}
"""What a reduction over a scope runs along; the axes stay, with size 1, unless all of the tensor becomes one number."""


def total(x: Tensor, scope: str) -> Tensor:
    return x.sum(AXES[scope], keepdim=scope != "tensor") if x.ndim else x


def mean(x: Tensor, scope: str) -> Tensor:
    return x.mean(AXES[scope], keepdim=scope != "tensor") if x.ndim else x


def largest(x: Tensor, scope: str) -> Tensor:
    """The largest element, -inf of none."""
    if not x.numel():
        return torch.full_like(total(x, scope), -torch.inf)
    return x.amax(AXES[scope] or (), keepdim=scope != "tensor")


def norm(x: Tensor, scope: str) -> Tensor:
    return torch.sqrt(total(torch.square(x), scope))


def rms(x: Tensor, scope: str) -> Tensor:
    return torch.sqrt(mean(torch.square(x), scope))


def dot(x: Tensor, y: Tensor, scope: str) -> Tensor:
    return total(x * y, scope)


def count(x: Tensor) -> Tensor:
    """The number of elements, as a number that can be added up over tensors."""
    return torch.full((), x.numel(), dtype=x.dtype, device=x.device)  # a graph may not copy from the host


def orthogonalize(a: Tensor) -> Tensor:
    """U V^T of the singular value decomposition a = U S V^T; (..., m, n) in and out."""
    u, _, vt = torch.linalg.svd(a, full_matrices=False)
    return torch.matmul(u, vt)


def identity(a: Tensor) -> Tensor:
    """The identity of the size of a square (..., n, n) matrix, whatever that holds."""
    return torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand_as(a)


def eigenbasis(a: Tensor) -> Tensor:
    """Orthonormal eigenvectors of a symmetric (..., n, n) matrix, as columns, by ascending eigenvalue."""
    _, vectors = torch.linalg.eigh((a + a.mT) / 2)
    return torch.as_tensor(vectors)


def inverse_root(a: Tensor, p: Tensor) -> Tensor:
    """a^(-1/p) of a symmetric positive semi-definite (..., n, n) matrix; directions in which it is 0 stay 0."""
    if a.shape[-1] == 0:
        return a  # the largest of no eigenvalues is an error
    values, vectors = torch.linalg.eigh((a + a.mT) / 2)
    floor = torch.finfo(a.dtype).eps * a.shape[-1] * values.abs().amax(-1, keepdim=True)
    powers = torch.where(values > floor, values.pow(-1 / p), 0)
    return torch.matmul(vectors * powers.unsqueeze(-2), vectors.mT)


def orthonormal_factor(a: Tensor) -> Tensor:
    """Q of a = Q R; (..., n, n) in and out."""
    q, _ = torch.linalg.qr(a)
    return torch.as_tensor(q)


def noise(theta: Tensor, key: Tensor, index: int) -> Tensor:
    """Standard normal numbers of theta's shape, by Box and Muller; `key` is (seed, parameter, step)."""
    at = torch.arange(theta.numel(), device=theta.device)
    seed, place, t = key.unbind()
    first, second, _, _ = philox([at & LOW, at >> 32, t, torch.full_like(at, index)], [place, seed & LOW])
    u, v = ((x.to(theta.dtype) + 0.5) / 2**32 for x in (first, second))
    return (torch.sqrt(-2 * torch.log(u)) * torch.cos(2 * torch.pi * v)).view_as(theta)
