"""Trees to reasons why they are not worth a training run, found without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..dsl.syntax import File

Gate = Callable[[File], str]
"""Why a tree is refused; empty if it is not."""

GATES: Mapping[str, Gate] = {}
