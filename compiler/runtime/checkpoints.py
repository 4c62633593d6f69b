"""Turns what torch's own optimizers save into what ours do, and refuses what another rule has saved.

This file's text is part of each generated module. It knows no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

OURS = ("step", "master", "missing_bits", "trained")
"""What a parameter's memory has besides the rule's states, and the `_scale` of those that are codes."""


def memories(state: Mapping[Any, Any]) -> dict[Any, dict[str, Any]]:
    """What a state has of parameters; hooks may have put other things beside it."""
    return {key: memory for key, memory in state.items() if isinstance(memory, dict)}


def from_torch(given: dict[str, Any], states: Mapping[str, str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """A `state_dict` with the rule's names of states in place of torch's. Raises ValueError where a flag is another.

    torch's SGD and Muon count no steps: what they have saved counts as saved behind the first.
    """
    for group in given["param_groups"]:
        for name, value in flags.items():
            if group.get(name, value) != value:
                raise ValueError(f"the state_dict is of {name}={group[name]!r}, and this rule is {name}={value!r}")
    state = dict(given["state"])
    for key, memory in memories(state).items():
        if states.keys() & memory.keys():
            named = {states.get(name, name): x for name, x in memory.items() if x is not None}
            state[key] = {"step": 1.0, **named}
    return {**given, "state": state}


def refuse_foreign(given: dict[str, Any], known: set[str]) -> None:
    """Raises ValueError where a parameter has states, and none that the rule knows: they are another's."""
    scales = {f"{name}_scale" for name in known}
    for memory in memories(given["state"]).values():
        tensors = {name for name, x in memory.items() if isinstance(x, Tensor)}
        strange = sorted(tensors - scales - known - {*OURS})
        if known and strange and not known & memory.keys():
            raise ValueError(
                f"the state_dict is another rule's: it has {', '.join(strange)}, and not {', '.join(sorted(known))}"
            )
