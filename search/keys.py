"""A parse tree to the key of its score: trees that are surely the same rule share one, and so one evaluation."""

from __future__ import annotations

from hashlib import blake2b

from ..dsl.format import format_file
from ..dsl.syntax import File
from .trees import named, tidied


def key_of(tree: File) -> str:
    """A hash of the tree's text without its name and its sleeping genes."""
    return blake2b(format_file(named(tidied(tree), "Rule")).encode(), digest_size=12).hexdigest()
