"""Looks at many tensors: which objects memories hold, and where and how tensors lie.

This file's text is part of each generated module.
"""

from __future__ import annotations

from array import array
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

ORDINARY = Tensor, torch.nn.Parameter
"""The types of tensors whose memory holds what they are; others are looked at by whoever knows them."""

Seen = tuple[bytes, Any] | None
"""The address of each tensor, an int64, and everything else, to be compared; None if some tensor is not ordinary."""


def look_by_python(tensors: list[Tensor], lists: list[list[Any]], memories: list[dict[str, Any]]) -> Seen:
    """The tensors, and the objects in lists and in memories."""
    if not {*ORDINARY}.issuperset(map(type, tensors)):
        return None
    try:
        addresses = array("q", map(Tensor.data_ptr, tensors)).tobytes()
    except RuntimeError:
        return None
    kinds = [list(map(read, tensors)) for read in (attrgetter("dtype"), attrgetter("shape"), Tensor.stride)]
    return addresses, (
        kinds,
        [list(map(id, x)) for x in lists],
        [list(map(id, x.values())) for x in memories if isinstance(x, dict)],
    )
