"""States in int8 and fp8: against a float64 reference with its own quantiser, as checkpoints, in real training."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from optc.compiler.emit.module import Target, emit
from optc.compiler.load import load
from optc.dsl.algebra.simplify import simplify
from optc.dsl.diagnostics import OptError
from optc.dsl.load import rule_from_text

from .coded import ADAMW, SHAPES, Coded, bits, give_gradients, parameters, read, run

# ---------------------------------------------------------------- the reference

E4M3 = np.array([(k / 8 if k < 8 else (1 + k % 8 / 8) * 2.0 ** (k // 8 - 1)) * 2.0**-6 for k in range(127)])
"""Every magnitude that fp8 can hold, in the order of the codes, 448 the last."""

MOST = {"int8": 127.0, "fp8": 448.0}


def nearest_e4m3(x: np.ndarray) -> np.ndarray:
    """The nearest of these numbers, ties to the even code."""
    above = np.searchsorted(E4M3, np.abs(x)).clip(1, 126)
    low, high = E4M3[above - 1], E4M3[above]
    up = (np.abs(x) - low > high - np.abs(x)) | ((np.abs(x) - low == high - np.abs(x)) & (above % 2 == 0))
    return np.copysign(np.where(up, high, low), x)


def stored(x: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What memory makes of x: the codes as numbers, each block's scale, and what is read back."""
    flat, scales, codes = x.reshape(-1), [], []
    for start in range(0, flat.size, 256):
        block = flat[start : start + 256]
        scale = np.float64(np.float32(np.abs(block).max() / MOST[dtype]))
        ratio = block / scale if scale else np.zeros_like(block)
        codes.append((np.rint(ratio) if dtype == "int8" else nearest_e4m3(ratio)).clip(-MOST[dtype], MOST[dtype]))
        scales.append(scale)
    every = np.concatenate(codes) if codes else flat
    scale = np.array(scales)
    return every.reshape(x.shape), scale, (every * np.repeat(scale, 256)[: flat.size]).reshape(x.shape)


def adamw(theta: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int) -> tuple[np.ndarray, ...]:
    m, v = 0.9 * m + (1 - 0.9) * g, 0.95 * v + (1 - 0.95) * g**2
    update = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return theta - 1e-2 * (update + 1e-2 * theta), m, v


def test_the_reference_knows_the_numbers_of_fp8() -> None:
    of_torch = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).double().numpy()
    assert np.array_equal(E4M3, of_torch)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_thirty_steps_in_float64_are_the_reference_s(compiled: bool) -> None:
    ps = parameters(torch.float64)
    optimizer = Coded(ps, compile=compiled)
    thetas = [p.detach().numpy().copy() for p in ps]
    memories = [(np.zeros_like(x), np.zeros_like(x)) for x in thetas]
    for t in range(1, 31):
        run(optimizer, ps, t, t)
        for i, p in enumerate(ps):
            assert p.grad is not None
            thetas[i], m, v = adamw(thetas[i], p.grad.numpy(), *memories[i], t)
            (m_codes, m_scale, m), (v_codes, v_scale, v) = stored(m, "int8"), stored(v, "fp8")
            memories[i], memory = (m, v), optimizer.state[p]
            assert np.array_equal(memory["m"].double().numpy(), m_codes)
            assert np.array_equal(memory["v"].double().numpy(), v_codes)
            np.testing.assert_allclose(memory["m_scale"].numpy(), m_scale, rtol=2**-23)
            np.testing.assert_allclose(memory["v_scale"].numpy(), v_scale, rtol=2**-23)
            np.testing.assert_allclose(p.detach().numpy(), thetas[i], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_step_in_float32_rounds_to_a_nearest_code(dtype: torch.dtype) -> None:
    ps = parameters(dtype)
    optimizer = Coded(ps)
    run(optimizer, ps, 1, 1)
    for t in range(2, 31):
        before = [(p.detach().double().numpy().copy(), *(read(optimizer.state[p], n) for n in "mv")) for p in ps]
        run(optimizer, ps, t, t)
        for p, (theta, m, v) in zip(ps, before, strict=True):
            assert p.grad is not None
            theta, m, v = adamw(theta, p.grad.double().numpy(), m, v, t)
            half = 2.0**-8 if dtype == torch.bfloat16 else 2.0**-20
            np.testing.assert_allclose(p.detach().double().numpy(), theta, rtol=half, atol=half)
            for name, exact, kept, most in (("m", m, 0.0, 127), ("v", v, 2.0**-4, 448)):
                scale = np.repeat(optimizer.state[p][f"{name}_scale"].double().numpy(), 256)[: exact.size]
                gap = np.maximum(0.5 if name == "m" else 2.0**-10, kept * np.abs(exact).reshape(-1) / scale)
                off = np.abs(read(optimizer.state[p], name) - exact).reshape(-1)
                assert (off <= scale * (gap + most * 2.0**-20)).all()


# ---------------------------------------------------------------- memory


def test_a_state_costs_a_byte_an_element_and_a_scale_a_block() -> None:
    (p,) = ps = parameters(torch.float32, ((1000, 10),))
    optimizer = Coded(ps)
    run(optimizer, ps, 1, 1)
    kept = {name: x.numel() * x.element_size() for name, x in optimizer.state[p].items()}
    assert kept == {"step": 4, "m": 10_000, "m_scale": 4 * 40, "v": 10_000, "v_scale": 4 * 40}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("way", ["state_dict", "file", "deepcopy", "pickle"])
def test_a_round_trip_keeps_every_bit(way: str, dtype: torch.dtype) -> None:
    ps = parameters(dtype)
    optimizer = Coded(ps)
    run(optimizer, ps, 1, 5)
    if way in ("state_dict", "file"):
        again = [nn.Parameter(p.detach().clone()) for p in ps]
        other = Coded(again)
        saved = io.BytesIO()
        torch.save(optimizer.state_dict(), saved)
        saved.seek(0)
        other.load_state_dict(torch.load(saved) if way == "file" else copy.deepcopy(optimizer.state_dict()))
    else:
        other = copy.deepcopy(optimizer) if way == "deepcopy" else pickle.loads(pickle.dumps(optimizer))
        again = other.param_groups[0]["params"]
    assert bits(other) == bits(optimizer)
    run(optimizer, ps, 6, 8)
    run(other, again, 6, 8)
    assert bits(other) == bits(optimizer)
    assert all(torch.equal(p, q) for p, q in zip(ps, again, strict=True))


def test_a_checkpoint_without_scales_is_refused() -> None:
    ps = parameters(torch.float32, ((3,),))
    optimizer = Coded(ps)
    run(optimizer, ps, 1, 1)
    saved = optimizer.state_dict()
    del saved["state"][0]["m_scale"]
    with pytest.raises(ValueError, match=r"state 'm' holds codes of torch.int8 without their scales, 'm_scale'"):
        Coded(ps).load_state_dict(saved)


def test_a_checkpoint_in_float32_becomes_codes_at_the_next_step() -> None:
    ps = parameters(torch.float32, ((300,),))
    plain: Any = load(ADAMW.format(m="float32", v="float32"))(ps)
    run(plain, ps, 1, 1)
    optimizer = Coded(ps)
    optimizer.load_state_dict(plain.state_dict())
    assert ps[0].grad is not None
    ps[0].grad.zero_()
    m, v = (0.9 * plain.state[ps[0]]["m"].double().numpy(), 0.95 * plain.state[ps[0]]["v"].double().numpy())
    optimizer.step()
    assert optimizer.state[ps[0]]["m"].dtype == torch.int8
    np.testing.assert_allclose(read(optimizer.state[ps[0]], "m"), m, rtol=0, atol=1.01 * np.abs(m).max() / 127)
    np.testing.assert_allclose(read(optimizer.state[ps[0]], "v"), v, rtol=2**-3, atol=np.abs(v).max() * 2**-18)


# ---------------------------------------------------------------- training


def losses(m: str, v: str, steps: int = 400) -> list[float]:
    """The loss of a small network on scikit-learn's digits, every ten steps of batches of 100."""
    torch.manual_seed(0)
    bunch = load_digits()
    x, y = torch.tensor(bunch.data / 16, dtype=torch.float32), torch.tensor(bunch.target)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer: Any = load(ADAMW.format(m=m, v=v))(model.parameters(), lr=3e-3)
    out = []
    for step in range(steps):
        if step % 10 == 0:
            with torch.no_grad():
                out.append(float(nn.functional.cross_entropy(model(x), y)))
        batch = torch.randint(len(x), (100,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return out


MARGIN, AT_THE_END = 0.04, 0.01
"""By how much the loss may be off at any of the points, and at the last: the curves go from 2.3 to below 0.1."""


@pytest.mark.parametrize(("m", "v"), [("int8", "float32"), ("int8", "fp8")])
def test_training_follows_the_curve_of_float32(m: str, v: str) -> None:
    exact, coded = losses("float32", "float32"), losses(m, v)
    assert exact[-1] < 0.1
    assert max(abs(a - b) for a, b in zip(exact, coded, strict=True)) < MARGIN
    assert abs(exact[-1] - coded[-1]) < AT_THE_END


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("declared", "code", "words"),
    [
        ("state m : per row int8 = 0", "E403", "only states per element are block-quantised"),
        ("state m : per tensor fp8 = 0", "E403", "only states per element are block-quantised"),
        ("state m : per element int8 = -inf", "E403", "have no infinity"),
        ("state m : per element int8 = 0\nstate m_scale = 0", "E104", "entry for the scales of `m`"),
    ],
)
def test_what_blocks_cannot_hold_is_refused(declared: str, code: str, words: str) -> None:
    extra = "\nm_scale <- m" if "m_scale" in declared else ""
    text = f"param lr = 1\n{declared}\nm <- m + mean(g)\nupdate = g + m" + (" + m_scale" if extra else "") + extra
    with pytest.raises(OptError, match=words) as caught:
        load(text)
    assert caught.value.diagnostics[0].code == code


def test_declared_codes_have_a_kernel_of_the_same_bits_as_torch() -> None:
    after = []
    for backend in ("torch", "triton"):
        ps = parameters(torch.float32, SHAPES)
        optimizer = Coded(ps, backend=backend)
        for t in range(3):
            give_gradients(ps, t)
            optimizer.step()
        after.append([x.detach() for p in ps for x in (p, *optimizer.state[p].values())])
    assert all(
        x.view(torch.uint8).equal(y.view(torch.uint8)) if x.ndim else x == y for x, y in zip(*after, strict=True)
    )


def test_gradients_through_the_optimizer_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Coded rounds its states to codes"):
        Coded(parameters(torch.float32, ((3,),)), differentiable=True)


@pytest.mark.parametrize("target", ["auto", "torch"])
def test_the_source_is_formatted_and_stands_alone(target: Target, tmp_path: Path) -> None:
    text = ADAMW.format(m="int8", v="fp8")
    (tmp_path / "rule.py").write_text(emit(simplify(rule_from_text(text)), target))
    (tmp_path / "use.py").write_text(
        "import sys; sys.modules['optc'] = None\n"
        "import torch, rule\n"
        "p = torch.nn.Parameter(torch.ones(3)); p.grad = torch.ones(3)\n"
        "rule.Coded([p], lr=0.5, wd=0).step(); print(p.tolist())\n"
    )
    for command in (["format", "--check"], ["check", "--select", "E,F,I,UP,B", "--ignore", "E501"]):
        ruff = [Path(sys.executable).with_name("ruff"), *command, "--isolated", "--line-length", "120", "rule.py"]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "[0.5, 0.5, 0.5]\n", done.stderr
