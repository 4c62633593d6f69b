"""Mends what keeps a library's optimizer from being its paper's: float32 corners, paddings, cuts of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from pytorch_optimizer import QHAdam
from torch import Tensor

Make = Callable[[list[Tensor]], Any]


class Several:
    """Several optimizers that step as one."""

    def __init__(self, *optimizers: Any) -> None:
        self.optimizers = optimizers

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


def split(ndim: Callable[[int], bool], make: Make, otherwise: Make) -> Make:
    """Parameters whose number of axes is right go to one optimizer, the others to another."""

    def made(params: list[Tensor]) -> Several:
        yes, no = [p for p in params if ndim(p.ndim)], [p for p in params if not ndim(p.ndim)]
        return Several(*([make(yes)] if yes else []), *([otherwise(no)] if no else []))

    return made


class ByMatrix:
    """An optimizer for which a parameter of three axes is a stack of matrices, each a parameter of its own."""

    def __init__(self, params: list[Tensor], make: Make) -> None:
        self.params = params
        self.slices = [list(p.detach()) if p.ndim == 3 else [p.detach()] for p in params]
        self.optimizer = make([x.requires_grad_() for xs in self.slices for x in xs])

    def step(self) -> None:
        for p, xs in zip(self.params, self.slices, strict=True):
            assert p.grad is not None
            for x, g in zip(xs, p.grad if p.ndim == 3 else [p.grad], strict=True):
                x.grad = g.clone()
        self.optimizer.step()


def by_matrix(make: Make) -> Make:
    return lambda params: ByMatrix(params, make)


def unpadded(kind: type[Any]) -> type[Any]:
    """pytorch-optimizer adds 1e-15 under the root of the second moment, which no paper does: here it adds nothing."""

    def apply_ams_bound(ams_bound: bool, exp_avg_sq: Tensor, max_exp_avg_sq: Tensor | None, eps: float) -> Tensor:
        return kind.__mro__[1].apply_ams_bound(ams_bound, exp_avg_sq, max_exp_avg_sq, eps, 0.0)  # type: ignore[no-any-return]

    return type(f"Unpadded{kind.__name__}", (kind,), {"apply_ams_bound": staticmethod(apply_ams_bound)})


class QHAdam64(QHAdam):
    """pytorch-optimizer keeps the weights of QHAdam's averages in float32, whatever the parameter is."""

    def init_group(self, group: Any, **kwargs: Any) -> None:
        super().init_group(group, **kwargs)
        for p in group["params"]:
            for name in ("beta1_weight", "beta2_weight"):
                self.state[p][name] = self.state[p][name].double()


class DecayFirst:
    """Decoupled decay by the harness, for a library that decays after the step what papers decay before it."""

    def __init__(self, params: list[Tensor], make: Make, factor: float) -> None:
        self.params, self.factor, self.optimizer = params, factor, make(params)

    @torch.no_grad()
    def step(self) -> None:
        for p in self.params:
            p.mul_(self.factor)
        self.optimizer.step()


def decay_first(make: Make, lr: float, wd: float) -> Make:
    """Only for optimizers whose steps do not depend on the parameter itself."""
    return lambda params: DecayFirst(params, make, 1 - lr * wd)


class CorrectedEps:
    """An optimizer that adds eps before the bias correction of v, given the eps that makes it the paper's after it."""

    def __init__(self, optimizer: Any, eps: float, beta2: float, late: int) -> None:
        self.optimizer, self.eps, self.beta2, self.t = optimizer, eps, beta2, -late

    def step(self) -> None:
        self.t += 1
        for group in self.optimizer.param_groups:
            group["eps"] = self.eps * (1 - self.beta2 ** max(self.t, 1)) ** 0.5
        self.optimizer.step()


def corrected_eps(make: Make, eps: float, beta2: float, late: int = 0) -> Make:
    """`late` is how many steps pass before the optimizer's own count begins."""
    return lambda params: CorrectedEps(make(params), eps, beta2, late)


class Optax:
    """An optax gradient transformation as an optimizer, in float64."""

    def __init__(self, params: list[Tensor], transformation: Any, update: Any) -> None:
        self.params, self.update = params, update
        self.state = transformation.init(self._arrays([p.detach() for p in params]))

    @staticmethod
    def _arrays(tensors: list[Tensor]) -> list[Any]:
        import jax.numpy as jnp

        return [jnp.asarray(x.numpy()) for x in tensors]

    @torch.no_grad()
    def step(self) -> None:
        thetas = self._arrays([p.detach() for p in self.params])
        gs = self._arrays([p.grad for p in self.params if p.grad is not None])
        changes, self.state = self.update(gs, self.state, thetas)
        for p, change in zip(self.params, changes, strict=True):
            p.add_(torch.tensor(change.tolist(), dtype=p.dtype).reshape(p.shape))


@cache
def _optax_lamb(max_norm: float, **settings: float) -> tuple[Any, Any]:
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    transformation = optax.chain(optax.clip_by_global_norm(max_norm), optax.lamb(**settings))
    return transformation, jax.jit(transformation.update)


def optax_lamb(params: list[Tensor], max_norm: float, **settings: float) -> Optax:
    return Optax(params, *_optax_lamb(max_norm, **settings))
