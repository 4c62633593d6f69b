"""What every generated optimizer shares: groups, closures, states, rows of scalars, checkpoints. It knows no rule.

This file's text is part of each generated module, so it needs torch alone, and is written to be read there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from .runtime_rule import Batch, Function, Job, Program, Settings, Work, at_least_matrix, real, sizes


class RuleOptimizer(torch.optim.Optimizer):
    """A torch optimizer whose arithmetic is the first of its programs that serves a parameter."""

    programs: ClassVar[tuple[Program, ...]]
    backends: ClassVar[dict[str, Function]]

    def __init__(self, params: Any, defaults: dict[str, Any], backend: str, compile: bool) -> None:
        if backend not in ("auto", *self.backends):
            raise ValueError(
                f"Invalid backend value: {backend!r}; it must be one of {', '.join(self.backends)} or auto"
            )
        if defaults["foreach"] and defaults["fused"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        self._backend, self._compile = backend, compile
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group; entries that it lacks come from the defaults. Raises ValueError on invalid ones."""
        super().add_param_group(param_group)
        try:
            for program in self.programs:
                for h in program.hyperparameters:
                    h.check(param_group[h.name])
            for p in param_group["params"]:
                self._program_of(p, param_group)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def step(self, closure: Callable[[], Any] | None = None, *, inputs: dict[str, Any] | None = None) -> Any:
        """One step for every parameter that has a gradient; returns what the closure does.

        `inputs` gives the inputs that the rule declares: for each name one tensor per parameter, in the groups' order.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            for job in self._gather(inputs or {}):
                for run, batches in self._by_backend(job):
                    run(batches, job.table)
        return loss

    # -------------------------------------------------------- a step's work

    def _gather(self, inputs: dict[str, Any]) -> list[Job]:
        """This step's work, one job for each program, and its steps counted."""
        jobs: dict[int, Job] = {}
        for place, (index, group, p) in enumerate(self._parameters()):
            if p.grad is None:
                continue
            program = self._program_of(p, group)
            settings = program.settings(group)
            state, theta, grad = self._state_of(p, program, settings), real(p), real(p.grad)
            state["step"] += 1
            t = float(state["step"])
            job = jobs.setdefault(id(program), Job(program))
            row = job.row((index, t), settings, t, sizes(theta))
            states = [state.get(s.name) for s in program.states]
            key = (group.get("seed", 0), place, int(t))
            work = Work(theta, grad, self._extra(program, inputs, place), states, row, key)
            job.add(work, program.flags(*settings, *sizes(theta)), group["maximize"])
        return list(jobs.values())

    def _parameters(self) -> Iterator[tuple[int, dict[str, Any], Tensor]]:
        for index, group in enumerate(self.param_groups):
            for p in group["params"]:
                yield index, group, p

    def _program_of(self, p: Tensor, group: dict[str, Any]) -> Program:
        for program in self.programs:
            if program.serves is None or program.serves(*program.settings(group), *sizes(real(p))):
                return program
        raise ValueError(f"{type(self).__name__} does not apply to a parameter of shape {tuple(p.shape)}")

    def _state_of(self, p: Tensor, program: Program, settings: Settings) -> dict[str, Any]:
        if p.grad.layout != torch.strided:  # type: ignore[union-attr]
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        state: dict[str, Any] = self.state[p]
        if "trained" in state:
            raise RuntimeError(f"{type(self).__name__}: call train() before step(), after eval()")
        if not state:
            state["step"] = torch.tensor(0.0, dtype=torch.float32)
            with torch.no_grad():
                state.update(program.first_states(real(p), settings))
        return state

    def _extra(self, program: Program, inputs: dict[str, Any], place: int) -> list[Tensor]:
        for name in program.inputs:
            if name not in inputs:
                raise ValueError(f"{type(self).__name__}.step needs inputs={{{name!r}: [one tensor per parameter]}}")
        return [real(inputs[name][place]) for name in program.inputs]

    def _by_backend(self, job: Job) -> Iterator[tuple[Function, list[Batch]]]:
        by: dict[str, list[Batch]] = {}
        for batch in job.batches.values():
            by.setdefault(self._backend_for(batch), []).append(batch)
        for chosen, batches in by.items():
            yield self.backends[chosen], batches

    def _backend_for(self, batch: Batch) -> str:
        if self._backend == "triton" and batch.program.kernel is None:
            raise RuntimeError(f"{type(self).__name__} has no Triton kernel here; backend='auto' runs it by torch")
        on_gpu = batch.works[0].theta.device.type == "cuda" and batch.program.kernel is not None
        if self._backend == "triton" or (self._backend == "auto" and on_gpu):
            return "triton"
        return "compiled" if self._compile else "torch"

    # -------------------------------------------------------- evaluation

    @torch.no_grad()
    def eval(self) -> None:
        """Puts the parameters that evaluation should see in place of those that training moves, if the rule says so."""
        for _, group, p in self._parameters():
            program, state = self._program_of(p, group), self.state.get(p, {})
            if program.evaluate is None or not state or "trained" in state:
                continue
            states = [state.get(s.name) for s in program.states]
            settings, t = program.settings(group), float(state["step"])
            (seen,) = program.run_stage(program.evaluate, real(p), states, settings, t)
            state["trained"] = p.detach().clone()
            at_least_matrix(real(p)).copy_(seen)

    @torch.no_grad()
    def train(self) -> None:
        """Undoes `eval`."""
        for _, _, p in self._parameters():
            if "trained" in self.state.get(p, {}):
                p.copy_(self.state[p].pop("trained"))

    # -------------------------------------------------------- checkpoints

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_backend": self._backend, "_compile": self._compile}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, default in self.defaults.items():
                group.setdefault(name, default)
        for per_parameter in self.state.values():
            if "step" in per_parameter and not isinstance(per_parameter["step"], Tensor):
                per_parameter["step"] = torch.tensor(float(per_parameter["step"]), dtype=torch.float32)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a `state_dict()` back, bit for bit, where torch's loader rounds each state to its parameter's dtype."""
        seen: list[dict[str, Any]] = []
        watch = self.register_load_state_dict_pre_hook(lambda _, given: seen.append(given))
        try:
            super().load_state_dict(state_dict)
        finally:
            watch.remove()
        given = seen[-1]
        ids = [i for group in given["param_groups"] for i in group["params"]]
        for i, (_, _, p) in zip(ids, self._parameters(), strict=True):
            for name, value in given["state"].get(i, {}).items():
                if isinstance(value, Tensor) and name != "step":
                    self.state[p][name] = value.detach().clone().to(p.device)
