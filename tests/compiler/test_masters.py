"""Parameters of 16 bits that are the rounding of a master: whole, or as the bits that are missing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.compiler.runtime.master import joined, split
from optc.dsl.load import zoo

from .precise import EVERY_HALF, AdamW, bits_of, give_gradients, parameter, run, same


def ties_away(x: Tensor) -> Tensor:
    """Float32 to the nearest bfloat16, ties away from 0, by another road: float64 and powers of two."""
    wide = x.double().abs()
    unit = torch.exp2(torch.floor(torch.log2(wide.clamp(min=2.0**-126))) - 7)
    near = torch.copysign(torch.floor(wide / unit + 0.5) * unit, x.double())
    return torch.where(x.isfinite(), near.float(), x).to(torch.bfloat16)


def test_two_halves_give_every_number_back() -> None:
    draw = torch.Generator().manual_seed(0)
    random = torch.randint(-(2**31), 2**31, (1 << 18,), generator=draw)
    high = torch.tensor([0, 1, 0x7E, 0x7F, 0x80, 0x3F80, 0x3F81, 0x7F7E, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0, 0x7FFF])
    low = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    edges = (high[:, None] * 65536 + low).reshape(-1)
    x = torch.cat([random, edges, edges - 2**31]).int().view(torch.float32)
    rounded, missing = split(x)
    assert missing.dtype == torch.int16
    assert same(joined(rounded, missing), torch.where(x.isnan(), torch.nan, x))
    assert same(rounded, ties_away(x))
    ties = (bits_of(x) & 0xFFFF) == 0x8000
    assert same(rounded[~ties], x[~ties].to(torch.bfloat16))


def test_any_two_halves_make_a_number_that_rounds_to_the_first() -> None:
    """Whatever another hand wrote to the parameter."""
    high = EVERY_HALF.view(torch.bfloat16)
    for missing in (-32768, -1, 0, 1, 32767):
        master = joined(high, torch.full(high.shape, missing, dtype=torch.int16))
        rounded, _ = split(master)
        assert same(rounded, high)


ROUND = {"float32": lambda x: x.to(torch.bfloat16), "bits": ties_away}
MODEL_RULE = (
    "param lr = 0.1 in [0, inf)\nstate m = 0\nm <- lerp(m, g, 0.1)\n"
    "let n = norm(theta per tensor)\nlet a = norm(theta per model)\nupdate = m*(n/a)"
)


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("master", ["float32", "bits"])
@pytest.mark.parametrize("rule", ["adamw", "lamb", MODEL_RULE])
def test_a_master_is_training_in_float32_that_sees_rounded_parameters(rule: str, master: str, backend: str) -> None:
    """The gradient is a function of what the forward pass sees, so that a wrong bit would spread."""
    made: Any = load(rule if "\n" in rule else zoo(rule))
    shapes = ((30, 40), (300,))
    ours = [parameter(s, torch.bfloat16, i) for i, s in enumerate(shapes)]
    theirs = [nn.Parameter(p.detach().float()) for p in ours]
    optimizer = made(ours, lr=1e-2, master=master, backend=backend)
    reference = made(theirs, lr=1e-2, backend=backend)
    for _ in range(12):
        for p, q in zip(ours, theirs, strict=True):
            seen = ROUND[master](q.detach())
            assert same(p.detach(), seen)
            p.grad, q.grad = torch.sin(3 * p.detach()), torch.sin(3 * seen).float()
        optimizer.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        memory = optimizer.state[p]
        assert same(master_of(memory, p), q.detach())
        assert set(memory) - set(reference.state[q]) == {"master" if master == "float32" else "missing_bits"}


def test_elements_changed_by_hand_are_followed() -> None:
    p = parameter((100,), torch.bfloat16)
    optimizer = AdamW([p], master="float32")
    run(optimizer, [p], 1, 5)
    before = optimizer.state[p]["master"].clone()
    with torch.no_grad():
        p[:50] = 7.0
    optimizer.param_groups[0]["lr"] = 0.0
    run(optimizer, [p], 6, 6)
    assert (optimizer.state[p]["master"][:50] == 7.0).all()
    assert torch.equal(optimizer.state[p]["master"][50:], before[50:])


def test_bits_stay_within_half_a_unit_of_what_a_hand_wrote() -> None:
    p = parameter((100,), torch.bfloat16)
    optimizer = AdamW([p], master="bits")
    run(optimizer, [p], 1, 5)
    with torch.no_grad():
        p.copy_(torch.linspace(-2, 2, 100))
    written = p.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.0
    run(optimizer, [p], 6, 6)
    assert torch.equal(p, written)


@pytest.mark.parametrize("way", ["bits", "float32"])
def test_one_master_can_become_the_other(way: str) -> None:
    p = parameter((100,), torch.bfloat16)
    optimizer = AdamW([p], master=way)
    run(optimizer, [p], 1, 5)
    before = master_of(optimizer.state[p], p)
    optimizer.param_groups[0].update(master={"bits": "float32", "float32": "bits"}[way], lr=0.0)
    run(optimizer, [p], 6, 6)
    assert torch.equal(master_of(optimizer.state[p], p), before)
    assert ("master" in optimizer.state[p]) == (way == "bits")
    assert ("missing_bits" in optimizer.state[p]) == (way == "float32")


def master_of(memory: dict[str, Tensor], p: Tensor) -> Tensor:
    return memory["master"].clone() if "master" in memory else joined(p.detach(), memory["missing_bits"])


@pytest.mark.parametrize("master", ["float32", "bits"])
def test_checkpoints_keep_masters(master: str) -> None:
    p = parameter((100,), torch.bfloat16)
    optimizer = AdamW([p], master=master)
    run(optimizer, [p], 1, 5)
    q = nn.Parameter(p.detach().clone())
    other = AdamW([q])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, [p], 6, 9)
    run(other, [q], 6, 9)
    assert torch.equal(p, q)
    for name, x in optimizer.state[p].items():
        assert same(other.state[q][name], x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.complex64])
def test_a_float32_master_is_kept_of_16_bits_alone(dtype: torch.dtype) -> None:
    ps = [nn.Parameter(torch.randn(20, generator=torch.Generator().manual_seed(0)).to(dtype)) for _ in range(2)]
    optimizer, plain = AdamW(ps[:1], master="float32"), AdamW(ps[1:])
    for _ in range(3):
        for p in ps:
            p.grad = torch.sin(p.detach().real if p.is_complex() else p.detach()).to(dtype)
        optimizer.step()
        plain.step()
    assert ("master" in optimizer.state[ps[0]]) == (dtype == torch.float16)
    assert torch.equal(ps[0], ps[1]) or dtype == torch.float16


def test_evaluation_sees_the_master() -> None:
    text = "param lr = 0.1 in [0, inf)\nstate z = theta\nz <- lerp(z, theta, 0.5)\nupdate = g"
    made: Any = load(f"{text}\nevaluate theta = 2*theta - z")
    p, q = parameter((100,), torch.bfloat16), parameter((100,), torch.bfloat16)
    q.data = q.data.float()
    ours, reference = made([p], lr=1e-3, master="float32"), made([q], lr=1e-3)
    for t in range(1, 5):
        give_gradients([p], t)
        assert p.grad is not None
        q.grad = p.grad.float()
        ours.step()
        reference.step()
    trained = p.detach().clone()
    ours.eval()
    reference.eval()
    assert torch.equal(p, q.to(torch.bfloat16))
    ours.train()
    assert torch.equal(p, trained)
