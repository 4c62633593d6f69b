"""Steps many individuals at once, each with a rule of its own, on parameters that are stacked in one tensor.

Individuals of one skeleton, that is, of rules that differ in numbers alone, share launches: each is a row of the scalar
table. This file's text is part of the modules that `load_population` generates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT, required

from .each import each, is_per_individual, plain, values_of
from .groups import Group
from .optimizer import RuleOptimizer
from .round import Round
from .rule import Program, Settings, counting, real
from .work import Job, Work, begin

PRECISION = {"rounding": "nearest", "master": None, "state_dtype": None}
"""The options that one individual's optimizer has and a population has not, as they are where nobody sets them."""


class PopulationOptimizer(RuleOptimizer):
    """An optimizer of parameters of shape (individuals, ...), whose slices are stepped as by an optimizer each.

    `programs` has each individual's rule, `skeletons` the index of the first individual of the same skeleton. A
    hyperparameter is one value for all, or a list or tensor with one for each; where it is left out, each rule's own
    default holds. What a rule says of a tensor holds for each slice of its own.
    """

    skeletons: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        params: ParamsT,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        seed: int = 0,
        backend: str = "auto",
        compile: bool | None = None,
        **hyperparameters: Any,
    ) -> None:
        defaults = {name: self._default(name) for name in sorted(self._names())}
        defaults |= dict.fromkeys(self.torch_names)
        for name in hyperparameters.keys() - defaults.keys():
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        options = {
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "capturable": capturable,
            "differentiable": differentiable,
            "seed": seed,
        }
        super().__init__(params, {**defaults, **hyperparameters, **options}, backend)
        self._compile = compile

    def individual(self, i: int) -> dict[str, Any]:
        """The `state_dict` that an optimizer of individual i alone would have, as copies; i counts from 0."""
        count = len(self.programs)
        if not -count <= i < count:
            raise IndexError(f"there is no individual {i}: the population has {count}")
        i %= count
        groups: list[dict[str, Any]] = []
        state: dict[int, dict[str, Any]] = {}
        strange = self._names() - {h.name for h in self.programs[i].hyperparameters}
        for group in self.param_groups:
            own = {k: copied(v) for k, v in self._own(group)[i].items() if k not in strange}
            settings = self.programs[i].settings(own)
            first = sum(len(g["params"]) for g in groups)
            for n, p in enumerate(group["params"], first):
                state.update({n: self._memory_of(i, p, settings)} if self.state.get(p) else {})
            groups.append({**own, "params": list(range(first, first + len(group["params"])))})
        return {"state": state, "param_groups": groups}

    def _memory_of(self, i: int, p: Tensor, settings: Settings) -> dict[str, Any]:
        program, memory = self.programs[i], self.state[p]
        flags = program.structure(settings, real(p.detach()[i]))
        names = [s.name for s in program.states if s.flag is None or flags[s.flag]]
        states = {name: memory[self._key(i, name)][self._row(i)].clone() for name in names}
        return {"step": memory["step"].clone(), **states}

    # -------------------------------------------------------- hyperparameters

    def _names(self) -> set[str]:
        return {h.name for program in self.programs for h in program.hyperparameters}

    def _default(self, name: str) -> Any:
        """One value where the rules agree, otherwise one for each individual; NaN or False where it has none."""
        found = [{h.name: h.default for h in program.hyperparameters}.get(name) for program in self.programs]
        if any(default is required for default in found):
            return required
        distinct = {default for default in found if default is not None}
        if len(distinct) == 1:
            return distinct.pop()
        if any(isinstance(default, bool) for default in distinct):
            return [bool(default) for default in found]
        numbers = [float("nan") if default is None else float(default) for default in found]
        return torch.tensor(numbers, dtype=torch.float64)

    def _own(self, group: dict[str, Any]) -> list[dict[str, Any]]:
        """The group as each individual sees it."""
        count, as_numbers = len(self.programs), not group["capturable"]
        names = self._names() & group.keys()
        columns = {name: values_of(group[name], count, as_numbers) for name in names}
        common = {k: v for k, v in group.items() if k not in names}
        return [common | {name: column[i] for name, column in columns.items()} for i in range(count)]

    def _take_each(self, group: dict[str, Any]) -> None:
        """Puts lists, whoever has set them, into the form that schedulers can set."""
        for name in self._names() & group.keys():
            if group[name] is not (value := each(group[name])):
                group[name] = value

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group. Raises ValueError on invalid entries, and on parameters that are not stacked."""
        group = self._group(param_group) if isinstance(param_group, dict) else param_group
        torch.optim.Optimizer.add_param_group(self, group)
        added: Any = self.param_groups[-1]
        try:
            self._check_hyperparameters(added)
            self._check_stacks(added["params"])
            self._refuse_precision(added)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        self._take_each(added)

    def _refuse_precision(self, group: dict[str, Any]) -> None:
        for name, usual in PRECISION.items():
            if group.get(name, usual) != usual:
                raise ValueError(
                    f"Invalid {name}: a population keeps parameters and states in the rules' own precision"
                )

    def _check_hyperparameters(self, given: Group) -> None:
        count = len(self.programs)
        for name in sorted(self._names() & given.keys()):
            if is_per_individual(given[name]) and len(given[name]) != count:
                raise ValueError(f"{given.complaint(name, f'{len(given[name])} values')} for {count} individuals")
        for program, own in zip(self.programs, self._own(given), strict=True):
            for h in program.hyperparameters:
                if own[h.name] is not required:
                    h.check(own[h.name], given.complaint)

    def _check_stacks(self, params: list[Tensor]) -> None:
        count = len(self.programs)
        for p in params:
            if p.ndim == 0 or len(p) != count:
                raise ValueError(f"a parameter of shape {tuple(p.shape)} is not a stack of {count} individuals")

    # -------------------------------------------------------- a step's work

    def _begin(self, now: Round, inputs: dict[str, Any]) -> None:
        now.count(self._groups())

    def _groups(self) -> list[dict[str, Any]]:
        """The groups as each individual sees them, which work has the indices of."""
        return [own for group in self.param_groups for own in self._own(group)]

    def _structure(self, group: dict[str, Any]) -> list[Any]:
        self._refuse_precision(group)
        self._take_each(group)
        values = [torch.as_tensor(group[name]).tolist() for name in sorted({*self._deciding})]
        return [group["maximize"], group["seed"], group["capturable"], *values]

    def _gather(self) -> list[Job]:
        jobs: dict[Any, Job] = {}
        place, groups = -1, self._groups()
        for index, group in enumerate(self.param_groups):
            of_group = groups[index * len(self.programs) : (index + 1) * len(self.programs)]
            for p in group["params"]:
                place += 1
                if p.grad is not None:
                    for i, work in enumerate(self._works_on(p, place, index, of_group)):
                        program = self.programs[self.skeletons[i]]
                        device = p.device if self._live() else None
                        key = self.skeletons[i], i if program.lockstep else None, device
                        jobs.setdefault(key, Job(program, device)).works.append(work)
        for job in jobs.values():
            job.works.sort(key=lambda work: work.group)
        return list(jobs.values())

    def _works_on(self, p: Tensor, place: int, index: int, groups: list[dict[str, Any]]) -> Iterator[Work]:
        """A parameter's work, one for each individual, its states made where it has none."""
        if p.grad is not None and p.grad.layout != torch.strided:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        memory = self.state[p]
        memory.setdefault("step", torch.tensor(0.0, dtype=counting(), device="cpu"))
        for first in dict.fromkeys(self.skeletons):
            self._make_states(p, first, groups, memory)
        for i, (program, group) in enumerate(zip(self.programs, groups, strict=True)):
            own = {s.name: memory[key][self._row(i)] for s in program.states if (key := self._key(i, s.name)) in memory}
            of = index * len(self.programs) + i
            work = begin(program, of, p.detach()[i], {"step": memory["step"], **own}, program.settings(group))
            work.parameter, work.memory, work.part, work.maximize = p, memory, i, group["maximize"]
            work.place = place  # for noise, precision, inputs
            work.seed = group["seed"]  # for noise, precision
            yield work

    def _make_states(self, p: Tensor, first: int, groups: list[dict[str, Any]], memory: dict[str, Any]) -> None:
        """The states of all individuals of a skeleton, stacked; one that a flag leaves out has a place too."""
        members = [i for i, skeleton in enumerate(self.skeletons) if skeleton == first]
        settings = [self.programs[i].settings(groups[i]) for i in members]
        slices = [real(p.detach()[i]) for i in members]
        wanted = [self.programs[i].structure(s, x) for i, s, x in zip(members, settings, slices, strict=True)]
        missing = [
            (n, state.name)
            for n, state in enumerate(self.programs[first].states)
            if self._key(first, state.name) not in memory
            and (state.flag is None or any(flags[state.flag] for flags in wanted))
        ]
        if not missing:
            return
        made = [self.programs[i].first_states(x, s) for i, s, x in zip(members, settings, slices, strict=True)]
        for n, name in missing:
            rows = [
                of[name] if name in of else self.programs[i].states[n].first(x)
                for i, of, x in zip(members, made, slices, strict=True)
            ]
            memory[self._key(first, name)] = torch.stack(rows)

    def _key(self, i: int, name: str) -> str:
        """Where a state of an individual is kept: with those of its skeleton, at `_row`."""
        return f"{self.skeletons[i]}.{name}"

    def _row(self, i: int) -> int:
        return self.skeletons[:i].count(self.skeletons[i])

    def _parameters(self) -> Iterator[tuple[Tensor, Program, dict[str, Any]]]:
        for group in self.param_groups:
            for p in group["params"]:
                yield p, self.programs[0], group

    # -------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The whole population's, of plain tensors."""
        given = super().state_dict()
        groups = [{name: plain(value) for name, value in group.items()} for group in given["param_groups"]]
        return {**given, "param_groups": groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            self._take_each(group)

    def _state_names(self) -> set[str]:
        return {self._key(i, s.name) for i, program in enumerate(self.programs) for s in program.states}


def copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
