"""Papers' formulas in numpy, one function each, for the rules that no library has: `(theta, g, state, t, h) -> theta`.

`state` is a dictionary that a formula keeps its memory in; `h` holds the hyperparameters by attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

Formula = Callable[[Any, Any, dict[str, Any], int, Any], Any]


class FormulaOptimizer(torch.optim.Optimizer):
    """A formula as a torch optimizer."""

    def __init__(self, params: list[Tensor], formula: Formula, **settings: Any) -> None:
        super().__init__(params, {})
        self.formula, self.settings, self.t = formula, SimpleNamespace(**settings), 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.t += 1
        for p in self.param_groups[0]["params"]:
            p.copy_(torch.as_tensor(self.formula(p.numpy(), p.grad.numpy(), self.state[p], self.t, self.settings)))


def by(formula: Formula, **settings: Any) -> Callable[[list[Tensor]], FormulaOptimizer]:
    return lambda params: FormulaOptimizer(params, formula, **settings)


def average(s: dict[str, Any], name: str, beta: float, x: Any) -> Any:
    s[name] = beta * s.get(name, np.zeros_like(x)) + (1 - beta) * x
    return s[name]


def powersign(theta: Any, g: Any, s: dict[str, Any], t: int, h: Any) -> Any:
    """Bello et al. 2017, section 5: alpha^(f(t) sign(g) sign(m)) * g."""
    m = average(s, "m", h.beta, g)
    return theta - h.lr * (np.exp(np.log(h.base) * h.f * np.sign(g * m)) * g + h.wd * theta)


def addsign(theta: Any, g: Any, s: dict[str, Any], t: int, h: Any) -> Any:
    """Bello et al. 2017, section 5: (alpha + f(t) sign(g) sign(m)) * g."""
    m = average(s, "m", h.beta, g)
    return theta - h.lr * ((h.alpha + h.f * np.sign(g * m)) * g + h.wd * theta)


def evolved(theta: Any, g: Any, s: dict[str, Any], t: int, h: Any) -> Any:
    """arXiv:2512.11853: decay first, then sign and Adam terms under warmup and cosine; its steps count from 0."""
    n = t - 1
    lr = h.lr * ((n + 1) / h.warmup if n < h.warmup else 1) * 0.5 * (1 + np.cos(np.pi * n / h.total))
    m, v = average(s, "m", h.beta1, g), average(s, "v", h.beta2, g * g)
    return theta * (1 - lr * h.wd) - lr * (h.a_sign * np.sign(g) + h.a_adam * m / (np.sqrt(v) + h.eps))


def muon(theta: Any, g: Any, s: dict[str, Any], t: int, h: Any) -> Any:
    """Jordan et al. 2024: Nesterov momentum, rounded once to bfloat16, through the quintic Newton-Schulz iteration."""
    buffer = average(s, "b", h.mu, g)
    blended = g + h.mu * (buffer - g) if h.nesterov else buffer
    X = torch.tensor(blended).to(torch.float32).to(torch.bfloat16).double().numpy()
    tall = X.shape[0] > X.shape[1]
    X = X.T if tall else X
    X = X / max(np.sqrt((X * X).sum()), h.eps)
    for _ in range(h.steps):
        gram = X @ X.T
        X = h.a1 * X + (h.a3 * gram + h.a5 * (gram @ gram)) @ X
    rows, cols = theta.shape
    size = 0.2 * max(rows, cols) ** 0.5 if h.scale == 1 else max(1.0, rows / cols) ** 0.5
    return (1 - h.lr * h.wd) * theta - h.lr * size * (X.T if tall else X)


def soap(theta: Any, g: Any, s: dict[str, Any], t: int, h: Any) -> Any:
    """Vyas et al. 2024, algorithm 3, the first step spent on the basis; signs of basis vectors do not matter."""
    if t == 1:
        s["L"], s["R"] = (1 - h.shampoo_beta) * g @ g.T, (1 - h.shampoo_beta) * g.T @ g
        s["P"], s["Q"] = np.linalg.eigh(s["L"])[1], np.linalg.eigh(s["R"])[1]
        return theta
    turned = s["P"].T @ g @ s["Q"]
    m, v = average(s, "m", h.beta1, g), average(s, "v", h.beta2, turned**2)
    adam = s["P"].T @ m @ s["Q"] / (1 - h.beta1 ** (t - 1)) / (np.sqrt(v / (1 - h.beta2 ** (t - 1))) + h.eps)
    theta = theta * (1 - h.lr * h.wd) - h.lr * (s["P"] @ adam @ s["Q"].T)
    average(s, "L", h.shampoo_beta, g @ g.T)
    average(s, "R", h.shampoo_beta, g.T @ g)
    if (t - 1) % h.every == 0:
        s["P"], s["Q"] = np.linalg.qr(s["L"] @ s["P"])[0], np.linalg.qr(s["R"] @ s["Q"])[0]
    return theta
