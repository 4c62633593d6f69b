"""A parse tree to its rule and to the key of its score: trees that are surely one rule share it."""

from __future__ import annotations

from ...dsl.algebra.canonical import canonical
from ...dsl.checks.check import check
from ...dsl.recent import remembering
from ...dsl.rule import Rule
from ...dsl.text.syntax import File


@remembering
def rule_of(tree: File) -> Rule:
    """The rule that a tree is. Raises OptError. Whoever breeds a tree, gates it and scores it asks for its rule."""
    return check(tree)


def key_of(tree: File) -> str:
    """The hash of the rule's canonical form, which leaves out names and sleeping genes. Raises OptError."""
    return canonical(rule_of(tree)).hash[:24]
