"""A function of one frozen object → the same one, which remembers what it made of the last ones; it holds no lock.

By identity: rules and trees are large, and to hash or to compare one would cost as much as many a question about it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
REMEMBERED = 1024


def remembering(make: Callable[[Given], Made]) -> Callable[[Given], Made]:
    """The function, made once for each of the last 1,024 objects; what it returns must not be changed."""
    recent: dict[int, tuple[Given, Made]] = {}

    @wraps(make)
    def remembered(given: Given) -> Made:
        known = recent.get(id(given))
        if known is not None and known[0] is given:
            return known[1]
        made = make(given)
        while len(recent) >= REMEMBERED:
            recent.pop(next(iter(recent), 0), None)
        recent[id(given)] = given, made
        return made

    return remembered
