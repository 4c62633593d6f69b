"""Gives every name of a rule an identifier that is safe in the generated Python; knows nothing of what names mean."""

from __future__ import annotations

import builtins
import keyword
import re

TAKEN = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "torch", "triton", "tl", "math", "warnings", "annotations"}
)
"""What a generated module needs for itself; the helpers that it holds are added by `Names(reserved)`."""

OURS = re.compile(r"_(at|type|old|scales)$|^(reduced|term|terms|measure|noise|given|known|matrix)\d+$")
"""Names that kernels make up of others, or number."""


class Names:
    """Identifiers handed out so far. The same name gets the same identifier, different names different ones."""

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._taken = set(TAKEN | reserved)
        self._given: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The identifier for a name of the rule."""
        if name not in self._given:
            self._given[name] = self.fresh(name)
        return self._given[name]

    def fresh(self, wish: str) -> str:
        """An identifier like `wish` that nothing else has."""
        base = re.sub(r"\W+", "_", wish, flags=re.ASCII).strip("_") or "x"
        base = base if not base[0].isdigit() else f"x{base}"
        base = f"{base}_" if OURS.search(base) else base
        candidate, n = base, 1
        while candidate in self._taken:
            n += 1
            candidate = f"{base}_{n}" if n > 2 or base[-1].isdigit() else f"{base}_"
        self._taken.add(candidate)
        return candidate

    def numbered(self, stem: str) -> str:
        """`stem1`, `stem2`, … whichever is the first still free."""
        n = 1
        while f"{stem}{n}" in self._taken:
            n += 1
        self._taken.add(f"{stem}{n}")
        return f"{stem}{n}"


def snake(name: str) -> str:
    """A class's name as a prefix of other names: `AdamW` is `adamw`, `ScheduleFreeAdamW` is `schedule_free_adamw`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name).lower()
