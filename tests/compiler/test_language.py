"""Every construct of the language through the torch backend, against the interpreter, over steps of several tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from optc.compiler.emit.triton import refusal
from optc.compiler.load import load
from optc.compiler.plan.lower import lower
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import rule_from_text
from optc.dsl.meaning import interpret
from optc.dsl.rule import Rule

SHAPES = ((3, 5), (6, 4), (7,), (1,), (), (2, 3, 4))
SQUARE = ((4, 4), (2, 3, 3))
STEPS = 4

TEXTS = {
    "prev": "state m = 0.5\nm <- 0.9*m + g\nupdate = m - prev(m)",
    "old and new": "state m = 0\nlet before = m\nm <- m + g\nupdate = m*before",
    "theta written": "let a = theta*2\ntheta <- a - lr*(g + theta)",
    "g rebound": "g <- g + 0.1*theta\ng <- clip(g, -1, 1)\nupdate = g",
    "decay and schedule": "decay = 0.1\nstep_size = lr*min(1, t/3)\nupdate = sign(g)",
    "decay and step size in some branches": (
        "when ndim >= 2 { decay = 0.1\nwhen rows > 4 { step_size = 2*lr } }\nupdate = g"
    ),
    "step size of tensors": "step_size = lr/(1 + norm(g))\nupdate = g",
    "conditions": "let c = g > 0 and not (theta > 0) or t == 2\nupdate = where(c, g, 2*g) + c",
    "conditions as numbers": "param b = true\nupdate = g*(t > 2) + b*theta + (g > 0)",
    "a condition kept": "state s = 0\nlet up = g > s\ns <- g\nupdate = where(up, g, 0)",
    "static branches": (
        "state a = 0 when ndim >= 2\nwhen ndim >= 2 { a <- a + g\nlet u = a } else { let u = 2*g }\nupdate = u"
    ),
    "nested branches": (
        "when rows > 4 { when cols > 3 { let u = g } else { let u = 2*g } } else { let u = 3*g }\nupdate = u"
    ),
    "branches of numbers": "when ndim == 2 { let k = rows/cols } else { let k = 3 }\nupdate = k*g",
    "branches of theta": "when ndim == 2 { theta <- theta - g } else { theta <- theta + g }",
    "sizes": "update = g*sqrt(rows/cols)/numel + ndim",
    "loops": "var x = g\nrepeat 3 { let y = x/2\nx <- x - y*y }\nupdate = x",
    "a loop that never turns": "var x = g\nrepeat -5 { x <- x + 1 }\nupdate = x",
    "loops by a quotient": "param n : int = 3 in [1, 9]\nvar x = g\nrepeat 8/n { x <- x/2 + theta }\nupdate = x",
    "loops of numbers": "param n : int = 4\nvar k = 1\nrepeat n { k <- k*0.5 }\nupdate = k*g",
    "functions": "def f(x, y) = x*y + 1\ndef h(x) { let z = f(x, x)\nreturn z - x }\nupdate = h(g) + f(g, h(theta))",
    "functions that branch": "def f(x) { when rows(x) > cols(x) { return x*2 } else { return x } }\nupdate = f(g)",
    "reductions": "update = g/max(norm(g), 1) + mean(g) + rms(theta)*sum(g) + max_of(g) + dot(g, theta)",
    "per row": "update = g/(1 + norm(g per row)) + mean(g per row) + max_of(g per row)",
    "per col": "update = g/(1 + rms(g per col)) + sum(g per col) + dot(g, theta per col)",
    "per matrix": "update = g/(1 + norm(g per matrix)) + mean(g per matrix)",
    "per model": "g <- g/max(1, norm(g per model))\nupdate = g*(1 + rms(theta per model)) + max_of(g per model)",
    "per model means": "update = g + mean(g per model) + dot(g, theta per model) + sum(g per model)",
    "model values in branches": (
        "when ndim >= 2 { let n = norm(g per model) } else { let n = mean(g per model) }\nupdate = g/n"
    ),
    "model values of model values": "let n = norm(g per model)\nlet u = sum(g/n per model)\nupdate = u*g",
    "states of scopes": (
        "state r : per row = 0\nstate c : per col = 1\nstate x : per matrix = 0\nstate y : per tensor = 2\n"
        "r <- r + mean(g^2 per row)\nc <- c + mean(g^2 per col)\nx <- x + mean(g per matrix)\ny <- y + norm(g)\n"
        "update = g*r/c + x*y"
    ),
    "states of the model": "state d : per model = 1\nd <- max(d, norm(g per model))\nupdate = d*g",
    "states reduced": "state r : per row = 0\nr <- r + sum(g^2 per row)\nupdate = g/sqrt(1 + mean(r per matrix))",
    "computed states": "param a0 = 0.3\nstate s = a0\nstate x = theta\nstate n : per tensor = norm(theta)\n"
    "s <- s + g\nx <- x + 0.1*g\nupdate = s + x*n",
    "rounding": "update = theta + cast(g, bfloat16)",
    "functions of one number": "update = cbrt(g) + exp(-g^2) + log(1 + abs(g)) + sin(g)*cos(g) + tanh(g) + erf(g)",
    "steps": "update = floor(g) + g mod 0.3 + sign(theta)",
    "powers": "param p = 1.5\nupdate = abs(g)^p + g^2 + g^3 + 2^g + 1/(1 + g^2)^0.5",
    "lerp and clip": "update = lerp(g, theta, 0.3) + clip(g, -0.5, abs(theta)) + min(g, theta, 0.1) + max(g, 0)",
    "a line of old gradients": "state a = 0\nstate b = 0\nstate c = 0\nupdate = c\nc <- b\nb <- a\na <- g",
    "states that change places": (
        "state a : per row = 1\nstate b : per row = 2\nlet old = a\na <- b\nb <- old\nupdate = g*a*a*b"
    ),
    "states that go round": (
        "state a = theta\nstate b = 2\nvar x = a\nvar y = b\nrepeat 3 { let z = x\nx <- y\ny <- z }\n"
        "a <- x\nb <- y\nupdate = g*a"
    ),
    "theta kept": "state last = 1\nupdate = g*last\nlast <- cast(theta, float64)",
    "theta kept in a branch": (
        "state last = 1\nlet old = last\nwhen ndim == 2 { last <- theta } else { last <- g }\nupdate = g*old"
    ),
    "a line of old gradients over all tensors": (
        "state a = 0\nstate b = 0\nlet n = norm(g per model)\nb <- a\na <- g\nupdate = b/n"
    ),
    "unused state": "state k = 3\nupdate = k*g",
}
MATRICES = {
    "theta kept on its side": "state A : per col_pair = 0\nstate B : per col_pair = 1\n"
    "update = g @ B\nB <- A.T\nA <- theta.T @ g",
    "states of pairs": (
        "state L : per row_pair = identity(theta @ theta.T)\nstate R : per col_pair = 0\n"
        "L <- L + g @ g.T\nR <- R + g.T @ g\nupdate = L @ g @ R"
    ),
    "products": "update = g @ theta.T @ g",
    "orthogonalize": "update = orthogonalize(g)",
    "roots": "update = inv_root(g @ g.T, 4) @ g",
    "bases": "let Q = eigenbasis(g @ g.T)\nupdate = Q @ (Q.T @ g)",
    "qr": "let Q = qr_basis(g @ g.T)\nupdate = Q @ g",
}


class Pair:
    """A compiled rule in float64 beside the interpreter, on the same parameters."""

    def __init__(self, rule: Rule, shapes: tuple[tuple[int, ...], ...], backend: str = "torch", **given: Any) -> None:
        self.rule, self.settings = rule, interpret.settings(rule, **given)
        self.draw = np.random.default_rng(0)
        self.thetas = [self.draw.standard_normal(s) for s in shapes]
        self.states = [interpret.initial_states(rule, self.settings, x) for x in self.thetas]
        self.params = [torch.tensor(x, requires_grad=True) for x in self.thetas]
        self.optimizer: Any = load(rule)(self.params, backend=backend, **given)

    def step(self, t: int, **kwargs: Any) -> None:
        gs = [self.draw.standard_normal(x.shape) for x in self.thetas]
        extra = {n: [self.draw.standard_normal(x.shape) for x in self.thetas] for n in self.rule.inputs}
        for p, g in zip(self.params, gs, strict=True):
            p.grad = torch.tensor(g)
        self.optimizer.step(inputs={n: [torch.tensor(x) for x in xs] for n, xs in extra.items()})
        ts = [t] * len(gs)
        out = interpret.step_all(self.rule, self.settings, self.thetas, gs, self.states, ts, extra, **kwargs)
        self.thetas, self.states = out

    def agree(self, rtol: float = 1e-11, atol: float = 1e-12) -> None:
        for p, x, state in zip(self.params, self.thetas, self.states, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), x, rtol=rtol, atol=atol)
            assert {*self.optimizer.state[p]} == {"step", *state}
            for name, y in state.items():
                np.testing.assert_allclose(self.optimizer.state[p][name].numpy(), y, rtol=rtol, atol=atol)


def rule_of(text: str) -> Rule:
    return rule_from_text("param lr = 0.01\n" + text)


def kernels() -> list[str]:
    """Those of the texts that Triton serves."""
    return [name for name, text in TEXTS.items() if refusal(lower(simplify(rule_of(text)))) is None]


def test_triton_serves_all_of_them() -> None:
    assert set(kernels()) == set(TEXTS)


@pytest.mark.parametrize("name", kernels())
def test_the_triton_backend_is_the_interpreter(name: str) -> None:
    pair = Pair(rule_of(TEXTS[name]), SHAPES, "triton")
    for t in range(1, 3):
        pair.step(t)
    pair.agree()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_the_torch_backend_is_the_interpreter(text: str) -> None:
    pair = Pair(rule_of(text), SHAPES)
    for t in range(1, STEPS + 1):
        pair.step(t)
    pair.agree()


@pytest.mark.parametrize("text", MATRICES.values(), ids=MATRICES.keys())
def test_matrix_operations(text: str) -> None:
    """One step: the conditioning of roots and bases multiplies rounding errors, so they are not fed back."""
    pair = Pair(rule_of(text), SQUARE)
    pair.step(1)
    pair.agree(rtol=1e-8, atol=1e-8)


def test_inputs_come_with_the_step() -> None:
    pair = Pair(rule_of("input h\nstate m = 0\nm <- m + h\nupdate = g/max(abs(m), 0.1)"), SHAPES)
    for t in range(1, STEPS + 1):
        pair.step(t)
    pair.agree()
    with pytest.raises(ValueError, match=r"inputs=.'h'"):
        pair.optimizer.step()


def test_noise_is_normal_reproducible_and_the_caller_s_seed() -> None:
    noisy: Any = load(rule_of("theta <- noise() + 10*noise()"))

    def drawn(seed: int, steps: int = 1) -> torch.Tensor:
        ps = [torch.zeros(100, 100, requires_grad=True, dtype=torch.float64) for _ in range(2)]
        optimizer = noisy(ps, seed=seed)
        for p in ps:
            p.grad = torch.zeros_like(p)
        for _ in range(steps):
            optimizer.step()
        return torch.stack([p.detach() for p in ps])

    x = drawn(0)
    assert torch.equal(x, drawn(0))
    for other in (drawn(1), drawn(0, steps=2), x.flip(0)):
        assert abs(torch.corrcoef(torch.stack([x.ravel(), other.ravel()]))[0, 1]) < 0.03  # 4 sigma
    assert abs(x.mean()) < 4 * 101**0.5 / 20000**0.5
    assert abs(x.var() / 101 - 1) < 4 * (2 / 20000) ** 0.5
    assert abs(((x / 101**0.5) ** 4).mean() / 3 - 1) < 0.15


def test_noise_is_philox() -> None:
    """Philox 4x32-10 by numpy's integers; its counter is (element, 0, t, call), its key (place, seed)."""

    def expected(index: int, place: int, t: int, shape: tuple[int, ...]) -> Any:
        n = int(np.prod(shape))
        c = [np.arange(n, dtype=np.uint64), *(np.full(n, x, np.uint64) for x in (0, t, index))]
        k = [place, 0]
        for _ in range(10):
            p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
            high, low = np.uint64(32), np.uint64(0xFFFFFFFF)
            c = [(q >> high) ^ c[1] ^ np.uint64(k[0]), q & low, (p >> high) ^ c[3] ^ np.uint64(k[1]), p & low]
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        u, v = ((x.astype(np.float64) + 0.5) / 2**32 for x in c[:2])
        return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).reshape(shape)

    pair = Pair(rule_of("update = g + noise() + 2*noise()"), SHAPES)
    for t in range(1, STEPS + 1):
        pair.step(t, noise=expected)
    pair.agree()


MIXED = "applies when ndim == 2 otherwise adamw(lr = 0.25)\nparam mu = 0.5\nstate b = 0\nb <- mu*b + g\nupdate = b"


def test_a_parameter_that_the_rule_does_not_serve_goes_to_the_other_rule() -> None:
    rule = rule_from_text("use zoo.adamw\nparam lr = 0.01\n" + MIXED)
    p, q = torch.ones(2, 3, requires_grad=True), torch.ones(3, requires_grad=True)
    twin = torch.ones(3, requires_grad=True)
    optimizer: Any = load(rule)([p, q])
    adamw = torch.optim.AdamW([twin], lr=0.25, weight_decay=0.01)
    for _ in range(5):
        for x in (p, q, twin):
            x.grad = torch.full_like(x, 0.5)
        optimizer.step()
        adamw.step()
    torch.testing.assert_close(q, twin)
    assert {*optimizer.state[p]} == {"step", "b"}
    assert {*optimizer.state[q]} == {"step", "m", "v"}
    assert optimizer.param_groups[0]["adamw_lr"] == 0.25


def test_a_parameter_that_no_rule_serves_is_refused_in_words() -> None:
    rule = rule_of("applies when ndim == 2\nupdate = g")
    with pytest.raises(ValueError, match=r"does not apply to a parameter of shape \(3,\)"):
        load(rule)([torch.ones(3, requires_grad=True)])


def test_evaluation_sees_other_parameters_and_training_goes_on() -> None:
    rule = rule_of("state x = theta\nx <- 0.5*x + 0.5*theta\nupdate = g\nevaluate theta = x")
    pair = Pair(rule, SQUARE)
    for t in range(1, STEPS + 1):
        pair.step(t)
    trained = [p.detach().clone() for p in pair.params]
    pair.optimizer.eval()
    for p, theta, state in zip(pair.params, pair.thetas, pair.states, strict=True):
        seen = interpret.evaluation(rule, pair.settings, theta, state, STEPS)
        np.testing.assert_allclose(p.detach().numpy(), seen, rtol=1e-12, atol=1e-13)
    with pytest.raises(RuntimeError, match=r"call train\(\) before step\(\)"):
        pair.optimizer.step()
    pair.optimizer.train()
    assert all(torch.equal(p, q) for p, q in zip(pair.params, trained, strict=True))
