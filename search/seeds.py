"""Names of things to random streams: equal names give equal draws, whoever asks and in whatever order."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def seed_of(*parts: int | str) -> int:
    """A seed below 2^63 for the thing that the parts name, such as (run seed, "train", task, replicate)."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A stream of its own for the thing that the parts name."""
    return np.random.Generator(np.random.Philox(seed_of(*parts)))
