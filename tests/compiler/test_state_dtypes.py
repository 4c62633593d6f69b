"""States in the dtypes that a group asks for, and in those that checkpoints bring."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from optc.compiler.load import load
from optc.compiler.runtime.quantised import decoded, encoded
from optc.dsl.load import zoo, zoo_names

from .precise import AdamW, give_gradients, parameter, run, same


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.uint8])
@pytest.mark.parametrize("random", [0, 1, 0x7FFF, 0xFFFF])
def test_every_code_stays_what_it_is(dtype: torch.dtype, random: int) -> None:
    every = torch.arange(256, dtype=torch.uint8).view(dtype)
    every = every[every.float().isfinite() & (every.float() >= -127) | (every.float().abs() <= 448)]
    every = every[every.float() >= -127] if dtype == torch.int8 else every
    x = decoded(every, torch.ones(1), torch.float32)
    most = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0, torch.uint8: 1.875}[dtype]
    assert x.abs().max() == most
    for bits in (None, torch.full(x.shape, random, dtype=torch.int32)):
        codes, scale = encoded(x, dtype, bits)
        assert scale.tolist() == [1.0]
        assert torch.equal(decoded(codes, scale, torch.float32), x)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.uint8])
def test_codes_at_random_have_the_number_as_their_mean(dtype: torch.dtype) -> None:
    """All 65,536 draws of numbers between codes; the block's largest number is beside them, so that the scale is 1."""
    most = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0, torch.uint8: 1.875}[dtype]
    every = torch.arange(1 << 16, dtype=torch.int32)
    for value in (0.7, 0.013, 1.0 / 3, 0.25 + 2.0**-20, 2.0**-7 * 1.07):
        for x in (value,) if dtype == torch.uint8 else (value, -value):
            block = torch.full((1 << 8, 256), x)
            block[:, 0] = most
            bits = every.view(256, 256)
            codes, scale = encoded(block, dtype, bits)
            assert (scale == 1).all()
            got = decoded(codes, scale, torch.float32)[:, 1:].double()
            near = torch.tensor(sorted(set(got.reshape(-1).tolist())), dtype=torch.float64)
            assert len(near) <= 2
            step = float(near[-1] - near[0])
            assert near[0] <= np.float32(x) <= near[-1]
            torch.testing.assert_close(got.mean(), torch.tensor(np.float32(x)).double(), rtol=0, atol=step / 250)


def test_codes_without_a_sign_reach_far_and_never_become_nought() -> None:
    x = torch.tensor([2.0**-k for k in range(60)] + [0.0])
    codes, scale = encoded(x, torch.uint8)
    got = decoded(codes, scale, torch.float32)
    assert got[-1] == 0
    near = x > 2.0**-31
    assert ((got[near] - x[near]).abs() <= x[near] / 16).all()
    assert (got[:-1][~near[:-1]] > 0).all()
    assert (got[:-1][~near[:-1]] <= 1.25 * 2.0**-31).all()
    assert torch.isnan(encoded(torch.tensor([1.0, -1e-20]), torch.uint8)[1]).all()


@pytest.mark.parametrize("name", zoo_names())
def test_any_rule_keeps_its_states_in_eight_bits(name: str) -> None:
    settings = {"total": 9} if name == "evolved" else {}
    made: Any = load(zoo(name))
    ps = [parameter((20, 30), torch.float32), parameter((30,), torch.float32, 1)]
    optimizer = made(ps, state_dtype="8bit", **settings)
    for t in range(1, 4):
        give_gradients(ps, t)
        optimizer.step(**({"inputs": {"h": [torch.rand(p.shape) for p in ps]}} if name == "sophia" else {}))
    assert all(p.isfinite().all() for p in ps)
    for p in ps:
        for key, x in optimizer.state[p].items():
            if x.shape == p.shape and x.is_floating_point():
                assert x.dtype == torch.float8_e4m3fn, key
    other = made(copy.deepcopy(ps), **settings)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(ps, other.param_groups[0]["params"], strict=True):
        assert all(same(x.float(), other.state[q][key].float()) for key, x in optimizer.state[p].items())


def test_groups_may_differ() -> None:
    ps = [parameter((20, 30), torch.bfloat16, i) for i in range(3)]
    optimizer = AdamW(
        [
            {"params": ps[:1], "state_dtype": "8bit", "master": "bits"},
            {"params": ps[1:2], "state_dtype": {"m": torch.bfloat16}, "rounding": "stochastic"},
            {"params": ps[2:]},
        ]
    )
    run(optimizer, ps, 1, 3)
    kept = [{k: x.dtype for k, x in optimizer.state[p].items() if k != "step"} for p in ps]
    assert kept == [
        {
            "m": torch.float8_e4m3fn,
            "m_scale": torch.float32,
            "v": torch.uint8,
            "v_scale": torch.float32,
            "missing_bits": torch.int16,
        },
        {"m": torch.bfloat16, "v": torch.float32},
        {"m": torch.float32, "v": torch.float32},
    ]
    alone = parameter((20, 30), torch.bfloat16, 2)
    run(AdamW([alone]), [alone], 1, 0)
    plain = AdamW([alone])
    for t in range(1, 4):
        give_gradients(ps, t)
        alone.grad = ps[2].grad
        plain.step()
    assert torch.equal(alone, ps[2])


def as_float32(memory: dict[str, Tensor], name: str) -> Tensor:
    coded = f"{name}_scale" in memory
    return decoded(memory[name], memory[f"{name}_scale"], torch.float32) if coded else memory[name].float().clone()


def test_states_change_their_form_with_their_group() -> None:
    (p,) = ps = [parameter((300,), torch.float32)]
    optimizer = AdamW(ps)
    run(optimizer, ps, 1, 3)
    for wanted, kept in (("8bit", torch.uint8), ("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        before = as_float32(optimizer.state[p], "v")
        optimizer.param_groups[0].update(state_dtype=wanted, beta2=1 - 2.0**-40)
        run(optimizer, ps, 4, 4)
        assert optimizer.state[p]["v"].dtype == kept
        assert ("v_scale" in optimizer.state[p]) == (wanted == "8bit")
        torch.testing.assert_close(as_float32(optimizer.state[p], "v"), before, rtol=2**-4, atol=0)
