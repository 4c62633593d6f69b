"""A parse tree to its rule and to the key of its score: trees that are surely one rule share it."""

from __future__ import annotations

from ...dsl.algebra.canonical import canonical
from ...dsl.checks.check import check
from ...dsl.rule import Rule
from ...dsl.text.syntax import File

REMEMBERED = 1024
_recent: dict[int, tuple[File, Rule]] = {}
"""The trees that were checked last, by identity: whoever breeds a tree, gates it and scores it asks for its rule."""


def rule_of(tree: File) -> Rule:
    """The rule that a tree is. Raises OptError."""
    known = _recent.get(id(tree))
    if known is not None and known[0] is tree:
        return known[1]
    rule = check(tree)
    if len(_recent) >= REMEMBERED:
        del _recent[next(iter(_recent))]
    _recent[id(tree)] = tree, rule
    return rule


def key_of(tree: File) -> str:
    """The hash of the rule's canonical form, which leaves out names and sleeping genes. Raises OptError."""
    return canonical(rule_of(tree)).hash[:24]
