"""Checkpoints of torch's optimizer of the same rule, read and written.

This file's text is part of each generated module whose rule torch has too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from .checkpoints import memories
from .groups import Group
from .optimizer import RuleOptimizer

NOT_TORCHS = ("seed", "rounding", "master", "state_dtype")
"""Entries of groups that are neither the rule's nor torch's."""


class PeerOptimizer(RuleOptimizer):
    """An optimizer that can go on from what torch's has saved, and torch's from what it has.

    `torch_states` are torch's names of states with the rule's own, `torch_flags` torch's switches with the position
    that the rule has them in, `torch_lacks` the states that torch alone keeps, `torch_plain` the hyperparameters that
    torch takes as tensors only where it need not.
    """

    torch_states: ClassVar[dict[str, str]]
    torch_flags: ClassVar[dict[str, Any]] = {}
    torch_lacks: ClassVar[tuple[str, ...]] = ()
    torch_plain: ClassVar[tuple[str, ...]] = ()

    def _check_hyperparameters(self, given: Group) -> None:
        super()._check_hyperparameters(given)
        for name in self.torch_plain:
            refuse_tensors(name, given)

    def torch_state_dict(self) -> dict[str, Any]:
        """A `state_dict` that torch's optimizer of the same rule loads, to go on as this one would.

        Raises ValueError where torch has no place for all that is kept: masters, states in codes, the states of
        parameters that another rule serves; and where torch keeps what this rule does not.
        """
        if self.torch_lacks:
            raise ValueError(
                f"torch's {type(self).__name__} keeps {', '.join(self.torch_lacks)}, and this rule does not"
            )
        given = self.state_dict()
        state = {key: to_torch(memory, self.torch_states) for key, memory in memories(given["state"]).items()}
        own = {each for names in self.torch_names.values() for each in ((names,) if isinstance(names, str) else names)}
        groups = [
            {name: x for name, x in saved.items() if name not in own.union(NOT_TORCHS)}
            | {name: group[name] for name in self.torch_names}
            | self.torch_flags
            for saved, group in zip(given["param_groups"], self.param_groups, strict=True)
        ]
        return {**given, "state": state, "param_groups": groups}

    def _understood(self, given: dict[str, Any]) -> dict[str, Any]:
        """A `state_dict` under the rule's own names of states. Raises ValueError where a switch of torch's is another.

        torch's SGD and Muon count no steps: what they have saved counts as saved behind the first.
        """
        for group in given["param_groups"]:
            for name, value in self.torch_flags.items():
                if group.get(name, value) != value:
                    raise ValueError(f"the state_dict is of {name}={group[name]!r}, and this rule is {name}={value!r}")
        state = dict(given["state"])
        for key, memory in memories(state).items():
            if self.torch_states.keys() & memory.keys():
                named = {self.torch_states.get(name, name): x for name, x in memory.items() if x is not None}
                state[key] = {"step": 1.0, **named}
        return {**given, "state": state}


def refuse_tensors(name: str, given: Group) -> None:
    """Raises ValueError where torch would, so that what runs with this optimizer runs with torch's too."""
    many = isinstance(given.names.get(name), tuple)
    are_tensors = [isinstance(x, Tensor) for x in (given[name] if many else (given[name],))]
    if len(set(are_tensors)) > 1:
        raise ValueError(f"{name} must be either both floats or both Tensors")
    if are_tensors[0] and given["foreach"] and not given["capturable"]:
        first = f"{name}[0]" if many else name
        raise ValueError(f"{first} as a Tensor is not supported for capturable=False and foreach=True")


def to_torch(memory: Mapping[str, Any], states: Mapping[str, str]) -> dict[str, Any]:
    """A parameter's memory under torch's names of states. Raises ValueError where torch has no name for something."""
    theirs = {own: name for name, own in states.items()} | {"step": "step"}
    if strange := sorted(memory.keys() - theirs.keys()):
        raise ValueError(f"torch's optimizer has nothing for {', '.join(strange)}")
    return {theirs[name]: x for name, x in memory.items()}
