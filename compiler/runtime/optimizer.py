"""What every generated optimizer shares: groups, closures, states, rows of scalars. It knows no rule.

This file's text is part of each generated module, so it needs torch alone, and is written to be read there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT, required

from .checkpoints import Checkpointed
from .dtensor import is_sharded
from .groups import Group
from .round import Round
from .rule import Function, Program, Settings, real, sizes
from .work import Batch, Job, Work, begin

STRANGE: dict[str, Function] = {
    "sparse gradients": lambda p: p.grad is not None and p.grad.layout != torch.strided,
    "complex parameters": torch.is_complex,
}
"""What parameters can be that not every optimizer takes, in torch's words."""


class RuleOptimizer(Checkpointed):
    """A torch optimizer whose arithmetic is the first of its programs that serves a parameter.

    `left_out` says of options that a generated file does without, and of values of `backend`, which part has them;
    `refuses` are what a step will not take, of `STRANGE`.
    """

    backends: ClassVar[dict[str, Function]]
    left_out: ClassVar[dict[str, str]] = {}
    refuses: ClassVar[tuple[str, ...]] = ("sparse gradients",)

    def __init__(self, params: ParamsT, defaults: dict[str, Any], backend: str, **left_out: Any) -> None:
        for name in left_out.keys() - self.left_out.keys():
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        self._refuse_left_out({backend: backend, **left_out})
        known = [name for name in ("torch", "native", "triton") if name in self.backends]
        if backend not in ("auto", *known):
            raise ValueError(f"Invalid backend value: {backend!r}; it must be one of {', '.join(known)} or auto")
        if defaults["foreach"] and defaults["fused"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if defaults["differentiable"] and defaults["fused"]:
            raise RuntimeError("`fused` does not support `differentiable`")
        self._backend = backend
        self._round: Round | None = None
        absent = {name for name in self.torch_names if defaults[name] is None}
        given = self._group({name: x for name, x in defaults.items() if name not in absent})
        self._check_hyperparameters(given)
        super().__init__(params, given)

    def _refuse_left_out(self, given: dict[str, Any]) -> None:
        for name in given.keys() & self.left_out.keys():
            if given[name] not in (None, False, "nearest"):
                raise ValueError(
                    f"{name}={given[name]!r} needs a part that {type(self).__name__} was compiled without:"
                    f" `optc compile --with {self.left_out[name]}` has it"
                )

    def _check_hyperparameters(self, given: Group) -> None:
        for program in self.programs:
            for h in program.hyperparameters:
                if given[h.name] is not required:
                    h.check(given[h.name], given.complaint)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group; entries that it lacks come from the defaults. Raises ValueError on invalid ones."""
        super().add_param_group(self._group(param_group) if isinstance(param_group, dict) else param_group)
        added: Any = self.param_groups[-1]
        try:
            self._check_hyperparameters(added)
            self._refuse_left_out(added)
            self._check_tensors(added["params"])
            for p in added["params"]:  # for serves
                self._which(p, [program.settings(added) for program in self.programs])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _check_tensors(self, params: list[Tensor]) -> None:
        if any(map(is_sharded, params)):
            raise ValueError(f"{type(self).__name__} was compiled without DTensors: `--with shards` has them")

    def step(self, closure: Callable[[], Any] | None = None, *, inputs: dict[str, Any] | None = None) -> Any:
        """One step for every parameter that has a gradient; returns what the closure does.

        `inputs` gives the inputs that the rule declares: for each name one tensor per parameter, in the groups' order.
        """
        if torch.compiler.is_compiling():
            return untraced(self._step, closure, inputs or {})
        return self._step(closure, inputs or {})

    def _step(self, closure: Callable[[], Any] | None, inputs: dict[str, Any]) -> Any:
        self._refuse_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if torch._C._len_torch_function_stack():  # perhaps a default device, where none of our tables should be
            with torch.device("cpu"):
                self._advance(inputs)
        else:
            self._advance(inputs)
        return loss

    def _refuse_capture(self) -> None:
        if capturing():
            raise RuntimeError(
                f"{type(self).__name__}.step() computes its scalars on the host: a graph would freeze them;"
                " capturable=True computes them on the device"
            )

    def _advance(self, inputs: dict[str, Any]) -> None:
        """A step with the gradients that there are."""
        if self._skips():
            return
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            now, done = self._this_round(), False
            try:
                self._begin(now, inputs)
                for job in now.jobs:
                    for run, batches in self._runs(job):
                        run(batches, job.table)
                done = True
            finally:
                now.end(done)
            if not torch.is_grad_enabled():  # for triton, native: autograd sees it, as all in-place operations
                torch.autograd.graph.increment_version(now.active)

    def forget(self) -> None:
        """Lets go of the last step's tensors, which are kept for the next one, where states are elsewhere now."""
        self._round = None

    # -------------------------------------------------------- gradient scaling

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether torch's GradScaler leaves unscaling and skipping to us, as it does to torch's fused optimizers."""
        return bool(self.defaults["fused"])

    def _skips(self) -> bool:
        """Divides gradients by `grad_scale`, if that is set, unless `found_inf` says that the step must not be."""
        found_inf, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        if found_inf is not None and float(found_inf) != 0:
            return True
        if scale is not None:
            grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            for grad in grads:
                grad.detach().div_(float(scale))
        return False

    # -------------------------------------------------------- a step's work

    def _begin(self, now: Round, inputs: dict[str, Any]) -> None:
        """Counts the step and computes its numbers."""
        now.count(self.param_groups)

    def _live(self) -> bool:  # for graphs
        """Whether the device counts the steps and computes the scalars."""
        return False

    def _this_round(self) -> Round:
        """The last step's work with this step's gradients, where it still holds; otherwise new."""
        structure = [self._structure(group) for group in self.param_groups]
        last = self._round
        if last is None or not last.resumes(self.param_groups, self.state, structure):
            last = self._round = Round(self.param_groups, self.state, self._gather(), last, structure)
        return last

    def _structure(self, group: dict[str, Any]) -> list[Any]:
        """What of a group decides how its parameters are stepped, and not only by which numbers."""
        others = [dict.get(group, name) for name in ("maximize", "seed", "capturable", *self.left_out)]
        return [*others, *map(float, map(group.__getitem__, self._deciding))]

    @cached_property
    def _deciding(self) -> tuple[str, ...]:
        """The hyperparameters that decide which code runs."""
        return tuple(program.hyperparameters[i].name for program in self.programs for i in program.structural)

    def _gather(self) -> list[Job]:
        """All work that there is, one job for each program."""
        jobs: dict[tuple[Any, ...], Job] = {}
        which = 0
        place = -1  # for noise, precision, inputs
        again: dict[int, int] = {}  # a group may have a parameter twice: torch warns of it, and steps it twice
        for index, group in enumerate(self.param_groups):
            self._refuse_left_out(group)
            settings = [program.settings(group) for program in self.programs]
            programs = self.programs
            programs = self._programs_of(group)  # for precision
            for p in group["params"]:
                place += 1  # for noise, precision, inputs
                if p.grad is not None:
                    which = self._which(p, settings)  # for serves
                    key: tuple[Any, ...] = (which, again.setdefault(id(p), 0))
                    key += (p.device if self._live() else None,)  # for graphs
                    job = jobs.setdefault(key, Job(self.programs[which]))
                    job.device = key[-1]  # for graphs
                    again[id(p)] += 1
                    work = self._work_on(p, index, programs[which], settings[which])
                    work.maximize = group["maximize"]
                    work.place = place  # for noise, precision, inputs
                    work.seed = group.get("seed", 0)  # for noise, precision
                    job.works.append(work)
        return [jobs[key] for key in sorted(jobs, key=lambda key: key[0])]

    def _which(self, p: Tensor, settings: list[Settings]) -> int:  # for serves, evaluation, precision
        """The index of the first program that serves a parameter."""
        for i, program in enumerate(self.programs):
            if program.serves is None or program.serves(*settings[i], *sizes(real(p))):
                return i
        raise ValueError(f"{type(self).__name__} does not apply to a parameter of shape {tuple(p.shape)}")

    def _work_on(self, p: Tensor, group: int, program: Program, settings: Settings) -> Work:
        memory = self.state[p]
        if p.is_meta and self.param_groups[group]["fused"]:  # in torch's words
            raise RuntimeError("`fused=True` requires all the params to be floating point Tensors of supported devices")
        if not (p.is_floating_point() or p.is_complex()):
            raise RuntimeError(f"{type(self).__name__} does not support parameters of {p.dtype}")
        for strange in self.refuses:
            if STRANGE[strange](p):
                raise RuntimeError(f"{type(self).__name__} does not support {strange}")
        if p.grad is not None and p.grad.shape != p.shape:
            raise RuntimeError(f"a parameter of shape {tuple(p.shape)} has a gradient of shape {tuple(p.grad.shape)}")
        return begin(program, group, p, memory, settings)

    def _programs_of(self, group: dict[str, Any]) -> tuple[Program, ...]:  # for evaluation, precision
        """The programs with states as a group keeps them."""
        return self.programs

    def _parameters(self) -> Iterator[tuple[Tensor, Program, dict[str, Any]]]:  # for evaluation, precision
        """Every parameter with the program that serves it and its group."""
        for group in self.param_groups:
            settings = [program.settings(group) for program in self.programs]
            programs = self._programs_of(group)
            for p in group["params"]:
                yield p, programs[self._which(p, settings)], group

    def _runs(self, job: Job) -> Iterator[tuple[Function, list[Batch]]]:
        """What runs which of a job's batches."""
        by: dict[str, list[Batch]] = {}
        for batch in job.batches:
            by.setdefault(self._backend_for(batch), []).append(batch)
        if job.program.lockstep and len(by) > 1:  # for lockstep: a value over all tensors needs them in one run
            by = {"torch": job.batches}
        for chosen, batches in by.items():
            yield self._function(chosen, batches), batches

    def _function(self, backend: str, batches: list[Batch]) -> Function:
        return self.backends[backend]

    def _backend_for(self, batch: Batch) -> str:
        if self._backend == "triton" or (self._backend == "auto" and self._suits_triton(batch)):  # for triton
            return "triton"
        return "torch"

    def _suits_triton(self, batch: Batch) -> bool:  # for triton
        """Whether parameters are on a GPU and their rule has a kernel that Triton can run there."""
        kernel = batch.program.kernel
        if batch.works[0].theta.device.type != "cuda" or kernel is None:
            return False
        if kernel.unfit:
            message = f"{type(self).__name__} is stepped by torch, since Triton cannot run: {kernel.unfit}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return not kernel.unfit


@torch._disable_dynamo  # type: ignore[attr-defined]
def untraced(step: Function, *args: Any) -> Any:
    """A step within code that torch.compile reads: it is a call that this code makes, and none of its graphs."""
    return step(*args)


def capturing() -> bool:
    """Whether a CUDA graph records what is done now."""
    return bool(torch.cuda.is_initialized()) and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]
