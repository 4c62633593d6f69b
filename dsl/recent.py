"""A function of one frozen object → the same one, which remembers what it made of the last ones; it holds no lock.

By identity: rules and trees are large, and to hash or to compare one would cost as much as many a question about it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
Report = TypeVar("Report")
REMEMBERED = 1024


class Recent(Generic[Given, Made]):
    """What was noted of each of the last 1,024 objects."""

    def __init__(self) -> None:
        self._notes: OrderedDict[int, tuple[Given, Made]] = OrderedDict()

    def get(self, given: Given) -> Made | None:
        note = self._notes.get(id(given))
        return note[1] if note is not None and note[0] is given else None

    def note(self, given: Given, made: Made) -> None:
        self._notes[id(given)] = given, made
        if len(self._notes) > REMEMBERED:
            self._notes.popitem(last=False)  # a plain dict looks for its first among all that went before


def remembering(make: Callable[[Given], Made]) -> Callable[[Given], Made]:
    """The function, made once for each of the last 1,024 objects; what it returns must not be changed, nor be None."""
    recent = Recent[Given, Made]()

    @wraps(make)
    def remembered(given: Given) -> Made:
        known = recent.get(given)
        if known is None:
            known = make(given)
            recent.note(given, known)
        return known

    return remembered


def remembering_sound(
    make: Callable[[Given, Callable[[Report], None]], Made],
) -> Callable[[Given, Callable[[Report], None]], Made]:
    """The same for a function that reports what is wrong: only where nothing is does it remember what it made."""
    recent = Recent[Given, Made]()

    @wraps(make)
    def remembered(given: Given, report: Callable[[Report], None]) -> Made:
        known = recent.get(given)
        if known is None:
            faults: list[Report] = []
            known = make(given, faults.append)
            for fault in faults:
                report(fault)
            if not faults:
                recent.note(given, known)
        return known

    return remembered
