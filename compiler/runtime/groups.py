"""Groups of parameters that know torch's names: `betas` and `weight_decay` are views of `beta1`, `beta2` and `wd`.

This file's text is part of each generated module. It knows no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

Names = Mapping[str, str | tuple[str, ...]]
"""Each of torch's names with the rule's own for the same: one, or those of the numbers in a tuple."""

WORDS = {
    "lr": "Invalid learning rate: {value}",
    "eps": "Invalid epsilon value: {value}",
    "betas": "Invalid beta parameter at index {i}: {value}",
    "etas": "Invalid eta values: {given}",
    "adjust_lr_fn": "Adjust learning rate function {value} is not supported",
}
"""How torch's messages about a value begin, by its name there; the others begin `Invalid NAME value: VALUE`."""

SPOKEN = {"adjust_lr_fn": {None: 0, "original": 0, "match_rms_adamw": 1, "spectral_unclamped": 2}}
"""Torch's words for what are numbers here; the first word of each is what is read."""


class Group(dict[str, Any]):
    """A dictionary that also takes and gives torch's names; it keeps and lists the rule's own alone.

    So there is one truth, whoever writes: torch's schedulers set `betas` and `momentum`, scripts `weight_decay`.
    `said` has for each of the rule's own names the name and the value that were last written, for messages about it;
    `words` are a rule's own beside `WORDS`.
    """

    def __init__(self, names: Names, given: Mapping[str, Any], words: Mapping[str, str] = {}) -> None:
        super().__init__()
        self.names, self.words_for = names, {**WORDS, **words}
        self.said: dict[str, tuple[str, Any]] = {}
        self.update(given)

    def complaint(self, own: str, value: Any) -> str:
        """How a message about a value begins: as torch's does about the one that was given."""
        name, given = self.said.get(own, (own, value))
        members = self.names.get(name, own)
        i = 0 if isinstance(members, str) else members.index(own)
        said = ", ".join(map(str, given)) if isinstance(given, tuple) else given
        words = self.words_for.get(name, "Invalid {name} value: {value}")
        return words.format(name=name, value=value, given=said, i=i, nth=i + 1)

    def __missing__(self, name: str) -> Any:  # and so the rule's own names are read as fast as in any dictionary
        own = self.names.get(name)
        if own is None:
            raise KeyError(name)
        if not isinstance(own, str):
            return tuple(self[each] for each in own)
        if name in SPOKEN:  # for words
            return next((word for word, value in SPOKEN[name].items() if value == self[own]), self[own])
        return self[own]

    def __setitem__(self, name: str, value: Any) -> None:
        own = self.names.get(name, name)
        if isinstance(own, str):
            value = understood(name, value)  # for words
            self._write(own, value, (name, value))
            return
        try:
            values = tuple(value)
        except TypeError:
            raise TypeError(f"Invalid {name} value: {value!r}; it must be a tuple for {', '.join(own)}") from None
        if len(values) != len(own):
            raise ValueError(f"Invalid {name} value: {value!r}; it must have {len(own)} numbers, {', '.join(own)}")
        for each, number in zip(own, values, strict=True):
            if number is not None:  # as one of Adafactor's `eps` is in torch: whatever the default is
                self._write(each, number, (name, values))

    def _write(self, own: str, value: Any, said: tuple[str, Any]) -> None:
        super().__setitem__(own, value)
        self.said[own] = said

    get, setdefault = MutableMapping.get, MutableMapping.setdefault  # type: ignore[assignment]  # since a dict's know its own keys alone

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.names

    def __reduce__(self) -> tuple[Any, ...]:
        return Group, (self.names, dict(self), self.words_for)

    def copy(self) -> Group:
        """Another group with the same values."""
        return Group(self.names, self, self.words_for)

    def update(self, *given: Any, **named: Any) -> None:
        """Sets many; torch's names after the others, so that they count where both are given."""
        new = dict(*given, **named)
        for name in sorted(new, key=self.names.__contains__):
            self[name] = new[name]


def understood(name: str, value: Any) -> Any:
    """A value without torch's words for it. Raises ValueError where torch has no such word either."""
    words = SPOKEN.get(name)
    if words is None or not isinstance(value, str | None):
        return value
    if value not in words:
        raise ValueError(f"{WORDS[name].format(value=value)}; it must be one of {', '.join(map(repr, words))}")
    return words[value]
