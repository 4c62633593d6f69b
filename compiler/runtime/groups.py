"""Groups of parameters that know torch's names: `betas` and `weight_decay` are views of `beta1`, `beta2` and `wd`.

This file's text is part of each generated module. It knows no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Names = Mapping[str, str | tuple[str, ...]]
"""Each of torch's names with the rule's own for the same: one, or those of the numbers in a tuple."""

WORDS = {"lr": "learning rate", "eps": "epsilon value"}
"""What torch's messages call values otherwise than by their names."""

SPOKEN = {"adjust_lr_fn": {None: 0, "original": 0, "match_rms_adamw": 1, "spectral_unclamped": 2}}
"""Torch's words for what are numbers here; the first word of each is what is read."""


class Group(dict[str, Any]):
    """A dictionary that also takes and gives torch's names; it keeps and lists the rule's own alone.

    So there is one truth, whoever writes: torch's schedulers set `betas` and `momentum`, scripts `weight_decay`.
    `said` has the words of who wrote last, where they were torch's, for messages about a value.
    """

    def __init__(self, names: Names, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.names = names
        self.said: dict[str, str] = {}
        self.update(given)

    def words(self, own: str) -> str:
        """What a message about a value calls it."""
        return self.said.get(own, in_words(own))

    def __missing__(self, name: str) -> Any:  # and so the rule's own names are read as fast as in any dictionary
        own = self.names.get(name)
        if own is None:
            raise KeyError(name)
        if not isinstance(own, str):
            return tuple(self[each] for each in own)
        return next((word for word, value in SPOKEN.get(name, {}).items() if value == self[own]), self[own])

    def __setitem__(self, name: str, value: Any) -> None:
        own = self.names.get(name, name)
        if isinstance(own, str):
            self._write(own, understood(name, value), in_words(name))
            return
        try:
            values = tuple(value)
        except TypeError:
            raise TypeError(f"Invalid {name} value: {value!r}; it must be a tuple for {', '.join(own)}") from None
        if len(values) != len(own):
            raise ValueError(f"Invalid {name} value: {value!r}; it must have {len(own)} numbers, {', '.join(own)}")
        for i, (each, number) in enumerate(zip(own, values, strict=True)):
            if number is not None:  # as one of Adafactor's `eps` is in torch: whatever the default is
                one = name if name == "eps" else name.removesuffix("s")
                self._write(each, number, f"{one} parameter at index {i}")

    def _write(self, own: str, value: Any, words: str) -> None:
        super().__setitem__(own, value)
        self.said[own] = words

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.names

    def __reduce__(self) -> tuple[Any, ...]:
        return Group, (self.names, dict(self))

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or a default."""
        try:
            return self[name]
        except KeyError:
            return default

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value, which becomes the default where there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *given: Any, **named: Any) -> None:
        """Sets many; torch's names after the others, so that they count where both are given."""
        new = dict(*given, **named)
        for name in sorted(new, key=self.names.__contains__):
            self[name] = new[name]


def in_words(name: str) -> str:
    """What a message calls a value."""
    return WORDS.get(name, f"{name} value")


def understood(name: str, value: Any) -> Any:
    """A value without torch's words for it. Raises ValueError where torch has no such word either."""
    words = SPOKEN.get(name)
    if words is None or not isinstance(value, str | None):
        return value
    if value not in words:
        raise ValueError(f"Invalid {name} value: {value!r}; it must be one of {', '.join(map(repr, words))}")
    return words[value]
