"""A parse tree to the key of its score: trees that are surely the same rule share one, and so one evaluation."""

from __future__ import annotations

from ..dsl.canonical import canonical
from ..dsl.check import check
from ..dsl.syntax import File


def key_of(tree: File) -> str:
    """The hash of the rule's canonical form, which leaves out names and sleeping genes. Raises OptError."""
    return canonical(check(tree)).hash[:24]
