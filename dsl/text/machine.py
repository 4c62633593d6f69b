"""Tokens to what the builder makes of them: runs the grammar's table, and stops at a token that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from .build import Builder, Located
from .table import NOTHING, Row, Table

SHIFT = -1
Maker = Callable[[list[Any]], Any]
Step = tuple[int, int, Any, dict[int, int]]
"""What a token does to the two topmost states: the state on top once all rows that pass a value through are done; how
many values a row then takes, what makes one of them, and the state that follows on each state below. Or SHIFT and the
state that follows, where the token itself is put on."""


@dataclass(slots=True)
class Reading:
    """How far a text has been read: the states, and a value for each of them but the lowest two."""

    states: list[int]
    values: list[Any] = field(default_factory=list)

    def copy(self) -> Reading:
        return Reading(self.states[:], self.values[:])


class Machine:
    """The table with a builder. One serves every text and thread, since all that it learns is about the grammar.

    `?expr: conj` and its like pass one value through, and eight such rows lie between a name and an expression. Where
    they lead depends on the two topmost states and the next token alone, so `steps` remembers it.
    """

    def __init__(self, table: Table, builder: Builder) -> None:
        self.table = table
        self.makers = [_maker(row, builder) for row in table.rows]
        self.after: dict[str, dict[int, int]] = {row.origin: {} for row in table.rows}
        for state, actions in enumerate(table.states):
            for name in actions.keys() & self.after.keys():
                self.after[name][state] = actions[name]
        self.steps: dict[tuple[int, int, str], Step | None] = {}

    def start(self) -> Reading:
        return Reading([self.table.end, self.table.start])  # what lies below the first state is never asked for

    def feed(self, reading: Reading, tokens: Sequence[Located]) -> int:
        """Read on; how many of the tokens fitted. The last token of a text is "$END"."""
        states, values, steps = reading.states, reading.values, self.steps
        for done, token in enumerate(tokens):
            kind = token.type
            while True:
                key = (states[-2], states[-1], kind)
                step = steps[key] if key in steps else self._learnt(key)
                if step is None:
                    return done
                states[-1], size, what, after = step
                if size == SHIFT:
                    states.append(what)
                    values.append(token)
                    break
                values[len(values) - size :] = [what(values[len(values) - size :])]
                del states[len(states) - size :]
                states.append(after[states[-1]])
        return len(tokens)

    def value(self, reading: Reading) -> Any:
        """What a text was made into that has been read to its end."""
        return reading.values[-2]

    def expected(self, reading: Reading, kind: str) -> frozenset[str]:
        """The tokens that would have fitted where one of another kind did not."""
        state, _ = self._passed(reading.states[-2], reading.states[-1], kind)
        return frozenset(name for name in self.table.states[state] if name not in self.after)

    def _learnt(self, key: tuple[int, int, str]) -> Step | None:
        state, action = self._passed(*key)
        if state == self.table.end and key[2] == "$END":
            step: Step | None = (state, SHIFT, state, {})
        elif action is None:
            step = None
        elif action >= 0:
            step = (state, SHIFT, action, {})
        else:
            row = self.table.rows[-1 - action]
            step = (state, row.size, self.makers[-1 - action], self.after[row.origin])
        self.steps[key] = step
        return step

    def _passed(self, below: int, top: int, kind: str) -> tuple[int, int | None]:
        """The topmost state once every row that only passes a value through is done, and what the table says there."""
        while True:
            action = self.table.states[top].get(kind)
            if action is None or action >= 0 or not self.table.rows[-1 - action].passes:
                return top, action
            top = self.after[self.table.rows[-1 - action].origin][below]


def _maker(row: Row, builder: Builder) -> Maker:
    """What makes one value of a row's parts."""
    if row.passes or not row.make:
        return lambda parts: _taken(row.take, parts)
    method = getattr(builder, row.make)
    if row.take == tuple(range(row.size)):
        return lambda parts: method(*parts)
    if len(row.take) > 1 and min(row.take) >= 0:
        pick = itemgetter(*row.take)
        return lambda parts: method(*pick(parts))
    return lambda parts: method(*_taken(row.take, parts))


def _taken(take: tuple[int, ...], parts: list[Any]) -> list[Any]:
    """The parts at the places in `take`; a list that comes first is added to, not copied."""
    first = take[0] if take else NOTHING
    out: list[Any] = parts[-2 - first] if first < NOTHING else []
    for place in take[1:] if first < NOTHING else take:
        if place < NOTHING:
            out += parts[-2 - place]
        else:
            out.append(None if place == NOTHING else parts[place])
    return out
