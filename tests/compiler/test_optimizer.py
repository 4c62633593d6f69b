"""A generated optimizer in the places where people use torch's: each test holds it to a convention of torch's."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optc.compiler.load import load
from optc.dsl.load import rule_from_text, zoo

AdamW: Any = load(zoo("adamw"))
SGD: Any = load(zoo("sgd"))
Evolved: Any = load(zoo("evolved"))
BACKENDS = ("torch", "triton")


def parameter(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Parameter:
    """A parameter with a gradient."""
    draw = torch.Generator().manual_seed(seed)
    p = nn.Parameter(torch.randn(shape, generator=draw).to(dtype))
    p.grad = torch.randn(shape, generator=draw).to(dtype)
    return p


def steps(optimizer: torch.optim.Optimizer, n: int = 3) -> None:
    for _ in range(n):
        optimizer.step()


def same_state(a: torch.optim.Optimizer, b: torch.optim.Optimizer) -> None:
    """Every state of two optimizers is equal to the bit, dtype included."""
    for p, q in zip(a.param_groups[0]["params"], b.param_groups[0]["params"], strict=True):
        assert a.state[p].keys() == b.state[q].keys()
        for name, x in a.state[p].items():
            y = b.state[q][name]
            assert x.dtype == y.dtype
            assert torch.equal(x, y)


# ---------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, r"Invalid lr value: -1.0; it must be in \[0, inf\)"),
        ({"beta1": 1.5}, r"Invalid beta1 value: 1.5; it must be in \[0, 1\)"),
        ({"eps": float("nan")}, r"Invalid eps value: nan"),
        ({"wd": float("inf")}, r"Invalid wd value: inf"),
        ({"lr": torch.tensor([1e-3, 1e-3])}, "Tensor lr must be 1-element"),
        ({"backend": "numpy"}, "Invalid backend value: 'numpy'"),
    ],
)
def test_a_setting_outside_its_interval_is_a_value_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdamW([parameter(2)], **settings)


def test_a_setting_that_is_no_number_or_no_setting_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="Invalid lr value: 'fast'"):
        AdamW([parameter(2)], lr="fast")
    with pytest.raises(TypeError, match="nesterov"):
        AdamW([parameter(2)], nesterov=True)


def test_a_required_setting_may_come_from_the_group() -> None:
    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter total"):
        Evolved([parameter(2)])
    Evolved([{"params": [parameter(2)], "total": 10}])
    with pytest.raises(ValueError, match=r"Invalid total value: 10.5; it must be a whole number"):
        Evolved([parameter(2)], total=10.5)


def test_an_invalid_group_is_not_added() -> None:
    optimizer = AdamW([parameter(2)])
    with pytest.raises(ValueError, match="Invalid beta2"):
        optimizer.add_param_group({"params": [parameter(3)], "beta2": 2.0})
    assert len(optimizer.param_groups) == 1


def test_foreach_and_fused_exclude_each_other() -> None:
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        AdamW([parameter(2)], foreach=True, fused=True)


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_keep_their_own_settings(backend: str) -> None:
    p, q = parameter(3), parameter(3)
    SGD([{"params": [p]}, {"params": [q], "lr": 2e-3, "mu": 0.0}], lr=1e-3, backend=backend).step()
    start = parameter(3)
    torch.testing.assert_close(start - p, 1e-3 * start.grad)
    torch.testing.assert_close(start - q, 2e-3 * start.grad)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_group_added_later_counts_its_own_steps(backend: str) -> None:
    p, q, alone = parameter(3), parameter(3, seed=1), parameter(3, seed=1)
    optimizer, other = AdamW([p], backend=backend), AdamW([alone], backend=backend)
    steps(optimizer, 2)
    optimizer.add_param_group({"params": [q]})
    steps(optimizer, 2)
    steps(other, 2)
    assert torch.equal(q, alone)
    assert optimizer.state[p]["step"] == 4
    assert optimizer.state[q]["step"] == 2
    assert optimizer.state[q]["step"].dtype == torch.float32


def test_a_parameter_without_a_gradient_stays_and_is_not_counted() -> None:
    p, q = parameter(3), parameter(3, seed=1)
    q.grad = None
    before = q.detach().clone()
    optimizer = AdamW([p, q])
    steps(optimizer)
    assert torch.equal(q, before)
    assert q not in optimizer.state
    q.grad = torch.ones(3)
    alone = nn.Parameter(before.clone())
    alone.grad = torch.ones(3)
    optimizer.step()
    AdamW([alone]).step()
    assert torch.equal(q, alone)


def test_a_closure_runs_with_gradients_and_its_loss_comes_back() -> None:
    p = nn.Parameter(torch.tensor([2.0]))
    optimizer = SGD([p], lr=0.1, mu=0.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 4.0
    torch.testing.assert_close(p.detach(), torch.tensor([1.6]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_maximize_ascends(backend: str) -> None:
    p, q = parameter(5), parameter(5)
    q.grad = -q.grad
    steps(AdamW([p], maximize=True, backend=backend))
    steps(AdamW([q], backend=backend))
    assert torch.equal(p, q)


def test_the_gradient_is_left_alone() -> None:
    rule = load(rule_from_text("param lr = 1e-3\ng <- 2*g\nupdate = g"))
    p = parameter(4)
    before = p.grad.clone()
    rule([p], maximize=True).step()
    assert torch.equal(p.grad, before)


def test_a_sparse_gradient_is_refused_in_words() -> None:
    p = nn.Parameter(torch.zeros(4, 2))
    p.grad = torch.ones(4, 2).to_sparse()
    with pytest.raises(RuntimeError, match="AdamW does not support sparse gradients"):
        AdamW([p]).step()


def test_schedulers_are_read_live() -> None:
    p, q = parameter(3), parameter(3)
    ours, theirs = SGD([p], lr=0.1), torch.optim.SGD([q], lr=0.1, momentum=0.9)
    schedules = [torch.optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.1) for o in (ours, theirs)]
    for _ in range(6):
        for optimizer, schedule in zip((ours, theirs), schedules, strict=True):
            optimizer.step()
            schedule.step()
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_a_tensor_lr_is_a_number() -> None:
    p, q = parameter(3), parameter(3)
    lr = torch.tensor(1e-2)
    optimizer = AdamW([p], lr=lr)
    optimizer.step()
    lr.mul_(0.5)
    optimizer.step()
    other = AdamW([q], lr=1e-2)
    other.step()
    other.param_groups[0]["lr"] = float(lr)
    other.step()
    assert torch.equal(p, q)


def test_hooks_run_around_the_step() -> None:
    optimizer, seen = AdamW([parameter(2)]), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step()
    assert seen == ["before", "after"]


# ---------------------------------------------------------------- tensors of every kind


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["transposed", "channels_last", "strided", "expanded_grad", "offset"])
def test_memory_order_does_not_matter(kind: str, backend: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, g = torch.randn(4, 6, 5, 5, generator=draw), torch.randn(4, 6, 5, 5, generator=draw)
    wanted = nn.Parameter(x.clone())
    p = {
        "transposed": lambda: x.clone().transpose(0, 1).contiguous().transpose(0, 1),
        "channels_last": lambda: x.clone().to(memory_format=torch.channels_last),
        "strided": lambda: torch.zeros(4, 6, 5, 10)[..., ::2].copy_(x),
        "expanded_grad": x.clone,
        "offset": lambda: torch.zeros(601)[1:].view(4, 6, 5, 5).copy_(x),
    }[kind]().requires_grad_()
    g = torch.tensor(0.3).expand(4, 6, 5, 5) if kind == "expanded_grad" else g
    wanted.grad, p.grad = g.clone(), g
    for parameter_, how in ((wanted, "torch"), (p, backend)):
        optimizer = SGD([parameter_], lr=0.1, backend=how)
        steps(optimizer)
    assert torch.equal(p, wanted)


def test_both_backends_give_the_same_bits() -> None:
    """Nothing is contracted or reordered. (Not AdamW: torch's root on CPU is not correctly rounded.)"""
    p, q = parameter(3000), parameter(3000)
    steps(SGD([p], lr=0.1, backend="triton"), 5)
    steps(SGD([q], lr=0.1, backend="torch"), 5)
    assert torch.equal(p, q)


def test_complex_parameters_are_pairs_of_reals() -> None:
    draw = torch.Generator().manual_seed(0)
    z = nn.Parameter(torch.randn(5, generator=draw, dtype=torch.complex64))
    z.grad = torch.randn(5, generator=draw, dtype=torch.complex64)
    x = nn.Parameter(torch.view_as_real(z.detach().clone()))
    x.grad = torch.view_as_real(z.grad.clone())
    steps(AdamW([z]))
    steps(AdamW([x]))
    assert torch.equal(torch.view_as_real(z.detach()), x.detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_states_are_float32_or_wider(dtype: torch.dtype) -> None:
    p = parameter(3, dtype=dtype)
    optimizer = AdamW([p])
    optimizer.step()
    assert p.dtype == dtype
    assert optimizer.state[p]["m"].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_mixed_dtypes_in_one_optimizer(backend: str) -> None:
    dtypes = (torch.float32, torch.bfloat16, torch.float64, torch.float32)
    together = [parameter(5, dtype=d, seed=i) for i, d in enumerate(dtypes)]
    apart = [parameter(5, dtype=d, seed=i) for i, d in enumerate(dtypes)]
    steps(AdamW(together, backend=backend))
    for p in apart:
        steps(AdamW([p], backend=backend))
    assert all(torch.equal(p, q) for p, q in zip(together, apart, strict=True))


# ---------------------------------------------------------------- checkpoints and copies


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_dict_comes_back_bit_for_bit(dtype: torch.dtype) -> None:
    p = parameter(7, dtype=dtype)
    optimizer = AdamW([p], lr=0.05)
    steps(optimizer)
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    q = nn.Parameter(p.detach().clone())
    q.grad = p.grad
    restored = AdamW([q])
    restored.load_state_dict(torch.load(stream, weights_only=True))
    same_state(optimizer, restored)
    assert restored.param_groups[0]["lr"] == 0.05
    steps(optimizer)
    steps(restored)
    assert torch.equal(p, q)


def test_an_older_state_dict_lacks_options_and_holds_a_plain_step() -> None:
    p = parameter(3)
    optimizer = AdamW([p])
    steps(optimizer, 2)
    older = optimizer.state_dict()
    older["state"][0]["step"] = 2
    for option in ("maximize", "capturable", "foreach", "fused", "differentiable"):
        del older["param_groups"][0][option]
    optimizer.load_state_dict(older)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 3


def test_load_hooks_see_and_change_the_state_dict() -> None:
    optimizer = AdamW([parameter(3)])
    optimizer.step()
    other = AdamW([parameter(3)])

    def doubled(_: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
        changed = copy.deepcopy(state_dict)
        changed["state"][0]["m"] *= 2
        return changed

    other.register_load_state_dict_pre_hook(doubled)
    other.load_state_dict(optimizer.state_dict())
    a, b = (o.state[o.param_groups[0]["params"][0]]["m"] for o in (optimizer, other))
    assert torch.equal(2 * a, b)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_go_on_by_themselves(how: Any) -> None:
    p = parameter(4)
    optimizer = AdamW([p], lr=0.1, backend="torch")
    steps(optimizer)
    twin = how(optimizer)
    (q,) = twin.param_groups[0]["params"]
    q.grad = p.grad.clone()
    same_state(optimizer, twin)
    steps(twin)
    assert not torch.equal(p, q)
    steps(optimizer)
    assert torch.equal(p, q)


def test_a_network_learns() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.randn(64, 4)
    y = x.prod(1, keepdim=True)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


# ---------------------------------------------------------------- torch's other machinery


def test_a_differentiable_step_passes_gradients_on() -> None:
    """Through two steps: to the parameter, the gradients and the state."""

    def twice(x: Tensor, g: Tensor, h: Tensor, m: Tensor) -> Tensor:
        p = x.clone()
        optimizer = AdamW([p], lr=0.1, wd=0.5, differentiable=True)
        optimizer.state[p].update({"step": torch.tensor(1.0), "m": m.clone(), "v": torch.ones_like(x)})
        for gradient in (g, h):
            p.grad = gradient
            optimizer.step()
        return p

    draw = torch.Generator().manual_seed(0)
    given = [torch.randn(3, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(twice, given)


def test_a_scaled_step_with_an_infinite_gradient_is_skipped_whole() -> None:
    p = parameter(3)
    optimizer = AdamW([p])
    optimizer.step()
    before, state = p.detach().clone(), {k: v.clone() for k, v in optimizer.state[p].items()}
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale((p * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(p, before)
    assert all(torch.equal(state[k], v) for k, v in optimizer.state[p].items())
    p.grad = None
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    assert optimizer.state[p]["step"] == 2


@pytest.mark.parametrize("shape", [(), (5,), (200, 300)])
def test_a_compiled_step_is_the_eager_one(shape: tuple[int, ...]) -> None:
    """A contraction of a product and a sum may save one rounding, 6e-8, a step."""
    p, q = parameter(*shape), parameter(*shape)
    steps(AdamW([p], lr=0.1, compile=True))
    steps(AdamW([q], lr=0.1))
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_a_compiled_step_compiles_once() -> None:
    """Not again for another step, rate, size or group: sizes and numbers are inputs of its graph."""
    rule: Any = load(rule_from_text("param lr = 0.1\nparam k = 1\nstate m = 0\nm <- m/(1 + t) + k*g\nupdate = m"))
    optimizer = rule([parameter(40, 50)], compile=True)
    steps(optimizer, 2)
    optimizer.add_param_group({"params": [parameter(2000, seed=1)], "k": 3.0})
    steps(optimizer, 1)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    optimizer.param_groups[0].update(lr=0.5, k=2.0)
    optimizer.add_param_group({"params": [parameter(30, 30)], "k": 5.0})
    steps(optimizer, 2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before


def test_a_structural_setting_may_change_between_steps() -> None:
    """The state that it brings along appears, and leaves the others alone."""
    text = "param lr = 0.1\nparam mu = 0 in [0, 1)\nstate b = 0 when mu > 0\n"
    rule: Any = load(rule_from_text(text + "when mu > 0 { b <- mu*b + g\nlet u = b } else { let u = g }\nupdate = u"))
    p = nn.Parameter(torch.zeros(1))
    p.grad = torch.ones(1)
    optimizer = rule([p])
    optimizer.step()
    assert {*optimizer.state[p]} == {"step"}
    optimizer.param_groups[0]["mu"] = 0.5
    steps(optimizer, 2)
    torch.testing.assert_close(p.detach(), torch.tensor([-0.1 * (1 + 1 + 1.5)]))


def test_a_step_that_fails_counts_nothing() -> None:
    p, q = parameter(2), nn.Parameter(torch.zeros(4, 2))
    q.grad = torch.ones(4, 2).to_sparse()
    optimizer = AdamW([p, q])
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()
    assert optimizer.state[p]["step"] == 0


def test_states_put_in_place_by_hand_are_used() -> None:
    p, q = parameter(2), parameter(2)
    a, b = SGD([p], lr=0.1), SGD([q], lr=0.1)
    steps(a, 2)
    steps(b, 2)
    a.state[p]["b"] = torch.full((2,), 7.0)
    b.state[q]["b"].fill_(7.0)
    steps(a)
    steps(b)
    assert torch.equal(p, q)
