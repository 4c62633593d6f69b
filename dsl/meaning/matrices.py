"""What matrix operations and casts mean, in numpy; leading axes are a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def orthogonalize(a: Array) -> Array:
    """U V^T of the singular value decomposition A = U S V^T, for A of shape (..., m, n)."""
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    return np.asarray(u @ vt)


def identity(a: Array) -> Array:
    """The identity of the size of a square A (..., n, n), whatever A holds."""
    return np.broadcast_to(np.eye(a.shape[-1]), a.shape)


def inv_root(a: Array, p: Any) -> Array:
    """A^(-1/p) of a symmetric positive semi-definite A (..., n, n); directions in which A is 0 stay 0."""
    values, vectors = np.linalg.eigh((a + np.swapaxes(a, -1, -2)) / 2)
    floor = np.finfo(np.float64).eps * a.shape[-1] * np.max(np.abs(values), axis=-1, keepdims=True, initial=0)
    powers = np.where(values > floor, np.where(values > floor, values, 1.0) ** (-1.0 / p), 0.0)
    return np.asarray((vectors * powers[..., None, :]) @ np.swapaxes(vectors, -1, -2))


def eigenbasis(a: Array) -> Array:
    """Orthonormal eigenvectors of a symmetric A (..., n, n), as columns, by ascending eigenvalue."""
    return np.asarray(np.linalg.eigh((a + np.swapaxes(a, -1, -2)) / 2)[1])


def qr_basis(a: Array) -> Array:
    """The orthonormal factor Q of A = Q R, for A of shape (..., n, n)."""
    return np.asarray(np.linalg.qr(a)[0])


NUMPY: dict[str, Callable[..., Array]] = {
    "matmul": np.matmul,
    "transpose": lambda a: np.swapaxes(a, -1, -2),
    "identity": identity,
    "orthogonalize": orthogonalize,
    "inv_root": inv_root,
    "eigenbasis": eigenbasis,
    "qr_basis": qr_basis,
}


def rounded(x: Array, dtype: str) -> Array:
    """x rounded to the nearest value, ties to even, that a dtype can hold; still float64."""
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            return _bfloat16(np.asarray(x, np.float32)).astype(np.float64)
        return np.asarray(x).astype(dtype).astype(np.float64)


def _bfloat16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    bits = np.atleast_1d(x).view(np.uint32)
    even = bits + (0x7FFF + ((bits >> 16) & 1))
    out = np.where(np.isnan(x), bits, even & np.uint32(0xFFFF0000)).astype(np.uint32)
    return out.view(np.float32).reshape(np.shape(x))
