"""What an optimizer saves and reads: its own states bit for bit, no other rule's.

This file's text is part of each generated module. It knows no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from .groups import Group, Names
from .rule import Program, counting

OURS = ("step", "master", "missing_bits", "trained")
"""What a parameter's memory has besides the rule's states, and the `_scale` of those that are codes."""


def memories(state: Mapping[Any, Any]) -> dict[Any, dict[str, Any]]:
    """What a state has of parameters; hooks may have put other things beside it."""
    return {key: memory for key, memory in state.items() if isinstance(memory, dict)}


def refuse_foreign(given: dict[str, Any], known: set[str]) -> None:
    """Raises ValueError where a parameter has states, and none that the rule knows: they are another's."""
    scales = {f"{name}_scale" for name in known}
    for memory in memories(given["state"]).values():
        tensors = {name for name, x in memory.items() if isinstance(x, Tensor)}
        strange = sorted(tensors - scales - known - {*OURS})
        if known and strange and not known & memory.keys():
            hint = ""
            hint = "; `optc compile --with checkpoints` reads torch's"  # for torchless
            own = ", ".join(sorted(known))
            raise ValueError(f"the state_dict is another rule's: it has {', '.join(strange)}, and not {own}{hint}")


class Checkpointed(torch.optim.Optimizer):
    """What there is to copying, pickling, saving and loading an optimizer, whatever its step does.

    `torch_names` are torch's names for hyperparameters, with the rule's own, `torch_words` what its messages say of
    their values.
    """

    programs: ClassVar[tuple[Program, ...]]
    torch_names: ClassVar[Names] = {}
    torch_words: ClassVar[dict[str, str]] = {}
    _backend: str
    _round: Any

    def _group(self, given: dict[str, Any]) -> Group:
        return Group(self.torch_names, given, self.torch_words)

    def _state_names(self) -> set[str]:
        return {s.name for program in self.programs for s in program.states}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_backend": self._backend}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._round = None
        self.defaults = self._group(self.defaults)
        self.param_groups = [self._group(group) for group in self.param_groups]
        for group in self.param_groups:
            for name, default in self.defaults.items():
                group.setdefault(name, default)
        for memory in memories(self.state).values():
            if "step" in memory and not isinstance(memory["step"], Tensor):
                memory["step"] = torch.tensor(float(memory["step"]), dtype=counting(), device="cpu")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a `state_dict()` back, bit for bit, where torch's loader rounds each state to its parameter's dtype.

        Raises ValueError where it is another rule's.
        """
        given: dict[str, Any] = {}

        def understand(_: Any, loaded: dict[str, Any]) -> dict[str, Any]:
            loaded = self._understood(loaded)  # for checkpoints
            given.update(loaded)
            refuse_foreign(given, self._state_names())
            return given

        watch = self.register_load_state_dict_pre_hook(understand)
        try:
            super().load_state_dict(state_dict)
        finally:
            watch.remove()
        ids = [i for group in given["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for i, p in zip(ids, params, strict=True):
            for name, value in given["state"].get(i, {}).items():
                if isinstance(value, Tensor):
                    home = self.state[p][name].device if name == "step" else p.device
                    self.state[p][name] = value.detach().clone().to(home)
                    self.state[p][name] = self._restored(self.state[p][name], p)  # for shards

    def _understood(self, given: dict[str, Any]) -> dict[str, Any]:  # for checkpoints
        """A `state_dict` under the rule's own names of states."""
        return given

    def _restored(self, x: Tensor, p: Tensor) -> Tensor:  # for shards
        """A state of a parameter's, as it is kept."""
        return x
