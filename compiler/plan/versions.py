"""Gives every binding of a body a name of its own, so that a name says which of a step's values is meant.

Names that are bound on one of two paths, or in a loop, get one more name where the paths meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...dsl.text.expressions import Apply, Cast, Expr, Matrix, Name, Reduce
from .plan import Bind, Branch, Loop, Statement


class Versions:
    """`of` says what each name is called by now."""

    def __init__(self, inputs: Iterable[str]) -> None:
        self.of: dict[str, str] = {name: name for name in inputs}
        self._used = set(self.of)

    def body(self, body: Iterable[Statement]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Bind):
                value = renamed(s.value, self.of)
                out.append(Bind(self._fresh(s.name), value))
            elif isinstance(s, Branch):
                out.append(self._branch(s))
            else:
                out += self._loop(s)
        return tuple(out)

    def _branch(self, s: Branch) -> Branch:
        before = dict(self.of)
        then, after = self.body(s.then), self.of
        self.of = dict(before)
        otherwise, other = self.body(s.otherwise), self.of
        self.of = {**after, **other}
        for name in {n for n in {**after, **other} if after.get(n, n) != other.get(n, n)}:
            if name in after and name in other:
                met = self._fresh(name)
                then = (*then, Bind(met, Name(after[name])))
                otherwise = (*otherwise, Bind(met, Name(other[name])))
        return Branch(s.flag, then, otherwise)

    def _loop(self, s: Loop) -> list[Statement]:
        carried = [name for name in sorted(_bound(s.body)) if name in self.of]
        head = [Bind(self._fresh(name), Name(before)) for name, before in [(n, self.of[n]) for n in carried]]
        within = {name: self.of[name] for name in carried}
        body = self.body(s.body)
        tail = [Bind(within[name], Name(self.of[name])) for name in carried]
        self.of |= within
        return [*head, Loop(s.flag, (*body, *tail))]

    def _fresh(self, name: str) -> str:
        version, n = name, 1
        while version in self._used:
            n += 1
            version = f"{name}_v{n}"
        self._used.add(version)
        self.of[name] = version
        return version


def renamed(value: Expr, names: dict[str, str]) -> Expr:
    match value:
        case Name(id=name):
            return Name(names.get(name, name), value.span)
        case Apply() | Reduce() | Matrix():
            return replace(value, args=tuple(renamed(a, names) for a in value.args))
        case Cast():
            return replace(value, value=renamed(value.value, names))
    return value


def _bound(body: Iterable[Statement]) -> set[str]:
    out: set[str] = set()
    for s in body:
        out |= {s.name} if isinstance(s, Bind) else _bound(s.body) if isinstance(s, Loop) else set()
        out |= _bound(s.then) | _bound(s.otherwise) if isinstance(s, Branch) else set()
    return out
