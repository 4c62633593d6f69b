"""The one table of the zoo's tests: rule, hyperparameters, reference, and the reason where the tolerance is not tight.

References are torch.optim's own where it has the rule, else those of pytorch-optimizer or optax, a paper's formula
(`by`) where none has it. Settings are unlike the defaults, so that every hyperparameter counts.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_optimizer as po
import torch.optim as to
from torch import Tensor

from . import formulas
from .adapters import QHAdam64, by_matrix, corrected_eps, decay_first, optax_lamb, split, unpadded
from .formulas import by
from .harness import MATRICES, SQUARE, Row

ADAM: dict[str, Any] = {"lr": 2e-2, "beta1": 0.8, "beta2": 0.96, "eps": 1e-5}
TORCH_ADAM: dict[str, Any] = {"lr": 2e-2, "betas": (0.8, 0.96), "eps": 1e-5}
DECOUPLED: dict[str, Any] = {"weight_decay": 0.1, "weight_decouple": True, "foreach": False}
COUPLED: dict[str, Any] = {"weight_decay": 0.1, "weight_decouple": False, "foreach": False}
EVOLVED: dict[str, Any] = {"lr": 1e-2, "beta1": 0.8, "beta2": 0.9, "eps": 1e-7, "wd": 0.1, "a_sign": 0.7, "a_adam": 3.6}
EVOLVED |= {"warmup": 20, "total": 80}
MUON: dict[str, Any] = {"lr": 2e-3, "mu": 0.9, "wd": 0.2, "steps": 5, "nesterov": True, "eps": 1e-7}
MUON |= {"a1": 3.4445, "a3": -4.775, "a5": 2.0315, "scale": 0}
HEAVY: dict[str, Any] = {**MUON, "nesterov": False, "a1": 3.0, "a3": -3.2, "a5": 1.2, "eps": 40.0, "scale": 1}
SOAP: dict[str, Any] = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.92, "shampoo_beta": 0.8, "eps": 1e-6, "wd": 0.1}


def adamw(params: list[Tensor], **settings: Any) -> to.Optimizer:
    """torch.optim.AdamW at this zoo's defaults."""
    return to.AdamW(params, **{"lr": 1e-3, "weight_decay": 1e-2, **settings})


def sophia(optimizer: Any, t: int, inputs: dict[str, list[Tensor]]) -> None:
    optimizer.step(hessian=inputs["h"] if t % 4 == 1 else None)


MOMENTUM = (
    Row(
        "sgd",
        {"lr": 1e-2, "mu": 0.8, "dampening": 0.1, "wd": 0.1},
        lambda p: to.SGD(p, lr=1e-2, momentum=0.8, dampening=0.1, weight_decay=0.1),
    ),
    Row(
        "sgd",
        {"lr": 1e-2, "mu": 0.8, "wd": 0.1, "nesterov": True},
        lambda p: to.SGD(p, lr=1e-2, momentum=0.8, weight_decay=0.1, nesterov=True),
    ),
    Row("sgd", {"lr": 1e-2, "wd": 0.1}, lambda p: to.SGD(p, lr=1e-2, weight_decay=0.1)),
    Row(
        "nesterov",
        {"lr": 1e-2, "mu": 0.8, "wd": 0.1},
        lambda p: to.SGD(p, lr=1e-2, momentum=0.8, weight_decay=0.1, nesterov=True),
    ),
    Row(
        "asgd",
        {"lr": 3e-2, "lambd": 0.1, "alpha": 0.7, "t0": 20, "wd": 0.1},
        lambda p: to.ASGD(p, lr=3e-2, lambd=0.1, alpha=0.7, t0=20, weight_decay=0.1),
    ),
    Row(
        "rprop",
        {"lr": 3e-2, "eta_minus": 0.4, "eta_plus": 1.3, "smallest": 2e-3, "largest": 0.1},
        lambda p: to.Rprop(p, lr=3e-2, etas=(0.4, 1.3), step_sizes=(2e-3, 0.1)),
    ),
    Row(
        "lion",
        {"lr": 1e-2, "beta1": 0.8, "beta2": 0.95, "wd": 0.1},
        lambda p: po.Lion(p, lr=1e-2, betas=(0.8, 0.95), **DECOUPLED),
    ),
    Row(
        "signum",
        {"lr": 1e-2, "beta": 0.8, "wd": 0.1},
        lambda p: po.SignSGD(p, lr=1e-2, momentum=0.8, **DECOUPLED),
    ),
    Row(
        "tiger",
        {"lr": 1e-2, "beta": 0.9, "wd": 0.1},
        lambda p: po.Tiger(p, lr=1e-2, beta=0.9, **DECOUPLED),
    ),
    Row(
        "powersign",
        {"lr": 1e-2, "beta": 0.8, "base": 2.5, "f": 0.7, "wd": 0.1},
        by(formulas.powersign, lr=1e-2, beta=0.8, base=2.5, f=0.7, wd=0.1),
    ),
    Row(
        "addsign",
        {"lr": 1e-2, "beta": 0.8, "alpha": 1.5, "f": 0.7, "wd": 0.1},
        by(formulas.addsign, lr=1e-2, beta=0.8, alpha=1.5, f=0.7, wd=0.1),
    ),
    Row("evolved", EVOLVED, by(formulas.evolved, **EVOLVED)),
)

ADAPTIVE = (
    Row("adam", {**ADAM, "wd": 0.1}, lambda p: to.Adam(p, **TORCH_ADAM, weight_decay=0.1)),
    Row("adam", {**ADAM, "amsgrad": True}, lambda p: to.Adam(p, **TORCH_ADAM, amsgrad=True)),
    Row(
        "adam",
        {**ADAM, "wd": 0.1, "decoupled": True},
        lambda p: to.Adam(p, **TORCH_ADAM, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    Row("adamw", {**ADAM, "wd": 0.1}, lambda p: to.AdamW(p, **TORCH_ADAM, weight_decay=0.1)),
    Row(
        "adamw",
        {**ADAM, "wd": 0.1, "amsgrad": True},
        lambda p: to.AdamW(p, **TORCH_ADAM, weight_decay=0.1, amsgrad=True),
    ),
    Row("amsgrad", {**ADAM, "wd": 0.1}, lambda p: to.Adam(p, **TORCH_ADAM, weight_decay=0.1, amsgrad=True)),
    Row("adamax", {**ADAM, "wd": 0.1}, lambda p: to.Adamax(p, **TORCH_ADAM, weight_decay=0.1)),
    Row(
        "nadam",
        {**ADAM, "wd": 0.1, "psi": 0.1},
        lambda p: to.NAdam(p, **TORCH_ADAM, weight_decay=0.1, momentum_decay=0.1),
    ),
    Row(
        "nadam",
        {**ADAM, "wd": 0.1, "decoupled": True},
        lambda p: to.NAdam(p, **TORCH_ADAM, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    Row("radam", {**ADAM, "wd": 0.1}, lambda p: to.RAdam(p, **TORCH_ADAM, weight_decay=0.1)),
    Row("radam", {"lr": 1e-2}, lambda p: to.RAdam(p, lr=1e-2)),
    Row(
        "radam",
        {**ADAM, "wd": 0.1, "decoupled": True},
        lambda p: to.RAdam(p, **TORCH_ADAM, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    Row(
        "rmsprop",
        {"lr": 3e-2, "alpha": 0.9, "eps": 1e-6, "wd": 0.1},
        lambda p: to.RMSprop(p, lr=3e-2, alpha=0.9, eps=1e-6, weight_decay=0.1),
    ),
    Row(
        "rmsprop",
        {"lr": 3e-2, "alpha": 0.9, "eps": 1e-3, "wd": 0.1, "centered": True},
        lambda p: to.RMSprop(p, lr=3e-2, alpha=0.9, eps=1e-3, weight_decay=0.1, centered=True),
    ),
    Row(
        "rmsprop",
        {"lr": 3e-2, "alpha": 0.9, "eps": 1e-3, "wd": 0.1, "centered": True, "mu": 0.5},
        lambda p: to.RMSprop(p, lr=3e-2, alpha=0.9, eps=1e-3, weight_decay=0.1, centered=True, momentum=0.5),
    ),
    Row(
        "adagrad",
        {"lr": 3e-2, "lr_decay": 0.1, "initial": 0.2, "eps": 1e-6, "wd": 0.1},
        lambda p: to.Adagrad(p, lr=3e-2, lr_decay=0.1, initial_accumulator_value=0.2, eps=1e-6, weight_decay=0.1),
    ),
    Row(
        "adadelta",
        {"lr": 0.5, "rho": 0.8, "eps": 1e-5, "wd": 0.1},
        lambda p: to.Adadelta(p, lr=0.5, rho=0.8, eps=1e-5, weight_decay=0.1),
    ),
    Row(
        "qhadam",
        {**ADAM, "nu1": 0.6, "nu2": 0.9, "wd": 0.1},
        lambda p: QHAdam64(p, **TORCH_ADAM, nus=(0.6, 0.9), **COUPLED),
    ),
    Row(
        "laprop",
        {**ADAM, "wd": 0.1},
        decay_first(
            corrected_eps(lambda p: unpadded(po.LaProp)(p, **TORCH_ADAM, foreach=False), eps=1e-5, beta2=0.96),
            lr=2e-2,
            wd=0.1,
        ),
    ),
    Row(
        "yogi",
        {**ADAM, "eps": 1e-2, "initial": 1e-2, "wd": 0.1},
        lambda p: po.Yogi(p, lr=2e-2, betas=(0.8, 0.96), eps=1e-2, initial_accumulator=1e-2, **DECOUPLED),
    ),
    Row(
        "adabound",
        {**ADAM, "final": 0.05, "gamma": 0.1, "wd": 0.1},
        lambda p: unpadded(po.AdaBound)(p, **TORCH_ADAM, final_lr=0.05, gamma=0.1, **COUPLED),
    ),
    Row("adabelief", {**ADAM, "wd": 0.1}, lambda p: po.AdaBelief(p, **TORCH_ADAM, rectify=False, **DECOUPLED)),
    Row(
        "adan",
        {**ADAM, "beta3": 0.9, "wd": 0.1},
        lambda p: po.Adan(p, lr=2e-2, betas=(0.8, 0.96, 0.9), eps=1e-5, **COUPLED),
    ),
    Row(
        "ademamix",
        {**ADAM, "beta3": 0.99, "alpha": 4, "warmup": 30, "wd": 0.1},
        lambda p: po.AdEMAMix(
            p, lr=2e-2, betas=(0.8, 0.96, 0.99), eps=1e-5, alpha=4.0, t_alpha_beta3=30.0, **DECOUPLED
        ),
    ),
    Row(
        "ademamix",
        {**ADAM, "beta3": 0.99, "alpha": 4, "wd": 0.1},
        lambda p: po.AdEMAMix(p, lr=2e-2, betas=(0.8, 0.96, 0.99), eps=1e-5, alpha=4.0, **DECOUPLED),
    ),
    Row(
        "adopt",  # its own count of the clip starts one step late
        {**ADAM, "eps": 0.3, "wd": 0.1},
        lambda p: po.ADOPT(
            p, lr=2e-2, betas=(0.8, 0.96), eps=0.3, clip_lambda=lambda step: (step - 1) ** 0.25, **DECOUPLED
        ),
    ),
    Row(
        "madgrad",
        {"lr": 3e-2, "mu": 0.8, "eps": 1e-4, "wd": 0.1},
        lambda p: po.MADGRAD(p, lr=3e-2, momentum=0.8, eps=1e-4, **COUPLED),
    ),
    Row(
        "madgrad",
        {"lr": 3e-2, "mu": 0, "eps": 1e-4, "wd": 0.1},
        lambda p: po.MADGRAD(p, lr=3e-2, momentum=0.0, eps=1e-4, **COUPLED),
    ),
    Row(
        "ftrl",
        {"lr": 0.2, "beta": 0.5, "l1": 0.8, "l2": 0.1},
        lambda p: po.FTRL(p, lr=0.2, beta=0.5, lambda_1=0.8, lambda_2=0.1, foreach=False),
    ),
    Row(
        "cautious_adamw",  # AdEMAMix without its slow average is AdamW, and that library can make it cautious
        {**ADAM, "wd": 0.1},
        lambda p: po.AdEMAMix(p, lr=2e-2, betas=(0.8, 0.96, 0.9), eps=1e-5, alpha=0.0, cautious=True, **DECOUPLED),
    ),
    Row(
        "stable_adamw",
        {**ADAM, "eps": 0.5, "wd": 0.1},
        lambda p: po.StableAdamW(p, lr=2e-2, betas=(0.8, 0.96), eps=0.5, **DECOUPLED),
    ),
    Row(
        "mars_adamw",
        {**ADAM, "gamma": 0.1, "wd": 0.1},
        split(
            lambda ndim: ndim >= 2,
            corrected_eps(lambda p: unpadded(po.MARS)(p, **TORCH_ADAM, gamma=0.1, **DECOUPLED), eps=1e-5, beta2=0.96),
            partial(adamw, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1),
        ),
    ),
    Row(
        "prodigy",
        {**ADAM, "lr": 0.5, "wd": 0.1, "d0": 1e-3, "d_coef": 2},
        lambda p: po.Prodigy(p, lr=0.5, betas=(0.8, 0.96), eps=1e-5, d0=1e-3, d_coef=2.0, **DECOUPLED),
    ),
    Row(
        "schedule_free_adamw",
        {**ADAM, "wd": 0.1, "warmup": 20},
        lambda p: unpadded(po.ScheduleFreeAdamW)(p, **TORCH_ADAM, weight_decay=0.1, warmup_steps=20, foreach=False),
    ),
    Row(
        "lookahead_adamw",
        {**ADAM, "wd": 0.1, "alpha": 0.3, "k": 4},
        lambda p: po.Lookahead(to.AdamW(p, **TORCH_ADAM, weight_decay=0.1), k=4, alpha=0.3),
    ),
    Row(
        "sophia",  # there the clip is at p, here at 1: lr, gamma and eps are p times, wd 1/p times theirs
        {"lr": 1e-3, "beta1": 0.8, "beta2": 0.9, "gamma": 0.1, "eps": 0.05, "wd": 1, "k": 4},
        lambda p: po.SophiaH(p, lr=1e-2, betas=(0.8, 0.9), p=0.1, eps=0.5, update_period=4, **DECOUPLED),
        advance=sophia,
    ),
)

NORMS = (
    Row(
        "lars",
        {"lr": 1.0, "mu": 0.8, "trust": 0.01, "wd": 0.1},
        lambda p: po.LARS(p, lr=1.0, momentum=0.8, trust_coefficient=0.01, weight_decay=0.1, foreach=False),
    ),
    Row(
        "lamb",
        {**ADAM, "wd": 0.1, "max_norm": 2},
        lambda p: optax_lamb(p, max_norm=2, learning_rate=2e-2, b1=0.8, b2=0.96, eps=1e-5, weight_decay=0.1),
    ),
    Row(
        "novograd",
        {**ADAM, "wd": 0.1},
        lambda p: po.NovoGrad(p, **TORCH_ADAM, grad_averaging=False, **COUPLED),
    ),
)

MATRIX = (
    Row(
        "adafactor",
        {"lr": 0.3, "eps1": 0.6, "eps2": 0.8, "d": 1.1, "k": -0.7, "wd": 0.1},
        lambda p: to.Adafactor(p, lr=0.3, eps=(0.6, 0.8), d=1.1, beta2_decay=-0.7, weight_decay=0.1),
    ),
    Row(
        "came",
        {"lr": 1e-2, "beta1": 0.8, "beta2": 0.9, "beta3": 0.95, "eps1": 1e-3, "eps2": 1e-4, "d": 0.7, "wd": 0.1},
        lambda p: po.CAME(p, lr=1e-2, betas=(0.8, 0.9, 0.95), eps1=1e-3, eps2=1e-4, clip_threshold=0.7, **DECOUPLED),
    ),
    Row(
        "sm3",  # there a third axis joins the cover; here it is a stack of matrices
        {"lr": 0.2, "mu": 0.8, "eps": 1e-8},
        by_matrix(lambda p: po.SM3(p, lr=0.2, momentum=0.8, eps=1e-8, foreach=False)),
    ),
    Row(
        "muon",
        MUON,
        split(lambda ndim: ndim == 2, by(formulas.muon, **MUON), partial(adamw, lr=3e-4)),
        compiled=5e-3,
        reason="compiled, Newton-Schulz is in bfloat16: up to 5% of each of 60 updates of 2e-3",
    ),
    Row(  # an eps so large that it divides, where the norms of gradients are below 40
        "muon",
        HEAVY,
        split(lambda ndim: ndim == 2, by(formulas.muon, **HEAVY), partial(adamw, lr=3e-4)),
        compiled=5e-3,
        reason="compiled, Newton-Schulz is in bfloat16: up to 5% of each of 60 updates of 2e-3",
    ),
    Row(
        "muon",
        MUON,
        split(lambda ndim: ndim == 2, lambda p: to.Muon(p, lr=2e-3, momentum=0.9, weight_decay=0.2), adamw),
        shapes=MATRICES,
        tolerance=5e-3,
        compiled=5e-3,
        reason="torch's Newton-Schulz is in bfloat16: up to 5% of each of 60 updates of 2e-3",
    ),
    Row(
        "muon",
        {**MUON, "scale": 2},
        lambda p: to.Muon(p, lr=2e-3, momentum=0.9, weight_decay=0.2, adjust_lr_fn="spectral_unclamped"),
        shapes=MATRICES,
        tolerance=5e-3,
        compiled=5e-3,
        reason="torch's Newton-Schulz is in bfloat16: up to 5% of each of 60 updates of 2e-3",
    ),
    Row(
        "shampoo",
        {"lr": 0.2, "eps": 1e-2, "wd": 0.1},
        split(
            lambda ndim: ndim == 2,
            lambda p: po.Shampoo(p, lr=0.2, matrix_eps=1e-2, weight_decay=0.1, weight_decouple=True),
            lambda p: to.Adagrad(p, lr=1e-2),
        ),
    ),
    Row(
        "soap",
        {**SOAP, "every": 3},
        split(lambda ndim: ndim == 2, by(formulas.soap, **SOAP, every=3), partial(adamw, lr=3e-3, betas=(0.95, 0.95))),
        shapes=(*SQUARE, (5,), (2, 3, 2)),
    ),
    Row(
        "soap",  # there the basis is sorted again as it turns, and the decay comes last: it never turns here
        {**SOAP, "wd": 0, "every": 1000},
        corrected_eps(
            lambda p: po.SOAP(
                p, lr=1e-2, betas=(0.9, 0.92), shampoo_beta=0.8, weight_decay=0.0, precondition_frequency=1000
            ),
            eps=1e-6,
            beta2=0.92,
            late=1,
        ),
        shapes=SQUARE,
    ),
)

ROWS = (*MOMENTUM, *ADAPTIVE, *NORMS, *MATRIX)
