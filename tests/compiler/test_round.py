"""What an optimizer remembers between steps: whatever is changed in between, it steps as one that remembers nothing."""

from __future__ import annotations

import copy
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from optc.compiler.load import load
from optc.dsl.load import rule_from_text, zoo

AdamW: Any = load(zoo("adamw"))
WithMomentum: Any = load(
    rule_from_text(
        "param lr = 0.1\nparam mu = 0 in [0, 1)\nstate b = 0 when mu > 0\n"
        "when mu > 0 { b <- mu*b + g\nlet u = b } else { let u = g }\nupdate = u"
    )
)
Reducing: Any = load(
    rule_from_text(
        "param lr = 0.1\nstate m = 0\nstate v = 0\nstate R : per row = 0\nstate T : per tensor = 1\n"
        "m <- 0.9*m + g\nv <- 0.9*v + m*m\nR <- R/2 + mean(g^2 per row)\nT <- T/2 + norm(m per model)\n"
        "update = m/(1 + abs(v) + R)*T"
    )
)
Change = Callable[[torch.optim.Optimizer, list[Any]], Any]


def parameters() -> list[Any]:
    """Four with gradients, one without."""
    draw = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((3, 4), (5,), (), (3, 3), (2, 2))]
    for p in params[:4]:
        p.grad = torch.randn(p.shape, generator=draw)
    return params


def one_more(o: torch.optim.Optimizer, _: list[Any]) -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    o.add_param_group({"params": [p], "lr": 0.3})


def other_dtype(_: torch.optim.Optimizer, ps: list[Any]) -> None:
    grad, ps[0].grad = ps[0].grad, None
    ps[0].data = ps[0].data.double()
    ps[0].grad = grad.double()


def other_shape(o: torch.optim.Optimizer, ps: list[Any]) -> None:
    """The memory is the same, and so is the object."""
    grad, ps[0].grad = ps[0].grad, None
    ps[0].data = ps[0].data[:2]
    ps[0].grad = grad[:2].clone()
    o.state[ps[0]].update({k: x[:2].clone() for k, x in o.state[ps[0]].items() if k != "step"})


def swapped_states(o: torch.optim.Optimizer, ps: list[Any]) -> None:
    memory = o.state[ps[0]]
    memory["m"], memory["v"] = memory["v"], memory["m"].square()


def other_parameter(o: torch.optim.Optimizer, ps: list[Any]) -> None:
    ps[1] = o.param_groups[0]["params"][1] = nn.Parameter(torch.full((5,), 2.0))
    ps[1].grad = torch.ones(5)


def failed_step(o: torch.optim.Optimizer, ps: list[Any]) -> None:
    """It sees new gradients first."""
    ps[0].grad = -ps[0].grad
    o.param_groups[0]["lr"] = "none"
    with pytest.raises(ValueError, match="could not convert"):
        o.step()
    o.param_groups[0]["lr"] = 0.1


CHANGES: dict[str, Change] = {
    "nothing": lambda o, ps: None,
    "a new gradient": lambda o, ps: setattr(ps[0], "grad", -ps[0].grad),
    "a gradient of another order": lambda o, ps: setattr(ps[0], "grad", -ps[0].grad.t().contiguous().t()),
    "new memory of a gradient": lambda o, ps: setattr(ps[0].grad, "data", -ps[0].grad.data),
    "a gradient written to": lambda o, ps: ps[0].grad.neg_(),
    "a lazily negated gradient": lambda o, ps: setattr(ps[0], "grad", torch._neg_view(ps[0].grad)),
    "a gradient less": lambda o, ps: setattr(ps[0], "grad", None),
    "a gradient more": lambda o, ps: setattr(ps[4], "grad", torch.ones(2, 2)),
    "no gradient at all": lambda o, ps: o.zero_grad(),
    "new memory of a parameter": lambda o, ps: setattr(ps[0], "data", 2 * ps[0].data),
    "a parameter turned over in its memory": lambda o, ps: setattr(ps[3], "data", ps[3].data.t()),
    "a state turned over in its memory": lambda o, ps: setattr(o.state[ps[3]]["m"], "data", o.state[ps[3]]["m"].t()),
    "a gradient turned over in its memory": lambda o, ps: setattr(ps[3].grad, "data", ps[3].grad.t()),
    "a parameter of another order": lambda o, ps: setattr(ps[0], "data", ps[0].data.t().contiguous().t()),
    "a parameter of another dtype": other_dtype,
    "a parameter of another shape": other_shape,
    "a parameter in place of another": other_parameter,
    "a parameter less": lambda o, ps: o.param_groups[0]["params"].pop(0),
    "a state in place of another": lambda o, ps: o.state[ps[0]].update(m=torch.ones(3, 4)),
    "new memory of a state": lambda o, ps: setattr(o.state[ps[0]]["m"], "data", torch.ones(3, 4)),
    "a state written to": lambda o, ps: o.state[ps[0]]["m"].fill_(1.0),
    "states swapped": swapped_states,
    "a count written to": lambda o, ps: o.state[ps[0]]["step"].fill_(7.0),
    "a count in place of another": lambda o, ps: o.state[ps[0]].update(step=torch.tensor(7.0)),
    "a count as a number": lambda o, ps: o.state[ps[0]].update(step=7),
    "states of one forgotten": lambda o, ps: o.state[ps[0]].clear(),
    "one without states": lambda o, ps: o.state.pop(ps[0]),
    "all states forgotten": lambda o, ps: o.state.clear(),
    "another rate": lambda o, ps: o.param_groups[0].update(lr=0.5),
    "a rate as a tensor": lambda o, ps: o.param_groups[0].update(lr=torch.tensor(0.5)),
    "the other direction": lambda o, ps: o.param_groups[0].update(maximize=True),
    "one more group": one_more,
    "a step that failed": failed_step,
    "an own state dict": lambda o, ps: o.load_state_dict(o.state_dict()),
    "a copied state dict": lambda o, ps: o.load_state_dict(copy.deepcopy(o.state_dict())),
}


def look_by(language: str, monkeypatch: pytest.MonkeyPatch, rule: Any = AdamW) -> None:
    """Makes the optimizer look at tensors by C or by Python, as if that were the best."""
    module: Any = sys.modules[rule.__module__]
    code = module.compiled_c(module.C_LOOK, ())
    if language == "C" and code.get(wait=True) is None:
        pytest.skip(code.reason)
    monkeypatch.setattr(module.LOOKS, "best", module.look_by_c(code.path) if language == "C" else module.look_by_python)


def forgetful_step(optimizer: torch.optim.Optimizer, params: list[Any]) -> torch.optim.Optimizer:
    """A step of a copy, which has not stepped before, on the same parameters."""
    kept = [*params, *(p for group in optimizer.param_groups for p in group["params"])]
    twin = copy.deepcopy(optimizer, {id(p): p for p in kept})
    twin.step()
    return twin


WAYS = (("torch", "C"), ("triton", "C"), ("triton", "Python"))

SOME = (
    "nothing",
    "a new gradient",
    "a gradient turned over in its memory",
    "a gradient less",
    "states swapped",
    "a step that failed",
)
"""Changes for rules with reductions, which the interpreter of kernels is slow with."""

CASES = [
    *((AdamW, backend, language, change) for backend, language in WAYS for change in CHANGES),
    *((AdamW, "native", "C", change) for change in SOME),
    *((Reducing, "triton", "C", change) for change in (*SOME, "a parameter of another order", "another rate")),
]


@pytest.mark.parametrize(
    ("rule", "backend", "language", "change"), CASES, ids=lambda x: x if isinstance(x, str) else x.__name__
)
def test_a_change_between_steps_is_seen(
    rule: Any, backend: str, language: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_by(language, monkeypatch, rule)
    ours, theirs = parameters(), parameters()
    remembers = rule(ours, lr=0.1, backend=backend)
    forgets = rule(theirs, lr=0.1, backend=backend)
    for i in range(4):
        if i == 2:
            CHANGES[change](remembers, ours)
            CHANGES[change](forgets, theirs)
        remembers.step()
        forgets = forgetful_step(forgets, theirs)
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    for p, q in zip(ours, theirs, strict=True):
        assert remembers.state[p].keys() == forgets.state[q].keys()
        for name, x in remembers.state[p].items():
            assert x.dtype == forgets.state[q][name].dtype
            assert torch.equal(x, forgets.state[q][name])


def test_the_structure_of_a_group_is_seen() -> None:
    ours, theirs = parameters(), parameters()
    remembers, forgets = WithMomentum(ours), WithMomentum(theirs)
    for mu in (0.0, 0.0, 0.5, 0.5, 0.0, 0.9):
        remembers.param_groups[0]["mu"] = forgets.param_groups[0]["mu"] = mu
        remembers.step()
        forgets = forgetful_step(forgets, theirs)
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


def test_inputs_are_this_steps() -> None:
    rule: Any = load(rule_from_text("param lr = 0.1\ninput h\nstate m = 0\nm <- m + h*g\nupdate = m"))
    ours, theirs = parameters(), parameters()
    by_triton, by_torch = rule(ours, backend="triton"), rule(theirs, backend="torch")
    for i in range(4):
        inputs = [torch.full_like(p, 0.1 * i) for p in ours]
        by_triton.step(inputs={"h": inputs})
        by_torch.step(inputs={"h": inputs})
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_gradients_are_not_kept_in_memory(backend: str) -> None:
    params = parameters()
    optimizer = AdamW(params, backend=backend)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        seen = [weakref.ref(p.grad) for p in params]
        optimizer.step()
        optimizer.zero_grad()
        assert [ref() for ref in seen] == [None] * len(params)


@pytest.mark.parametrize("backend", ["torch", "triton", "native"])
def test_states_that_are_moved_away_can_be_let_go(backend: str) -> None:
    params, twins = parameters(), parameters()
    optimizer, other = AdamW(params, backend=backend), AdamW(twins, backend=backend)
    for o in (optimizer, other, optimizer, other):
        o.step()
    old = [weakref.ref(x) for memory in optimizer.state.values() for name, x in memory.items() if name != "step"]
    for memory in optimizer.state.values():
        memory.update({name: x.clone() for name, x in memory.items() if name != "step"})
    optimizer.forget()
    assert old and all(x() is None for x in old)
    for o in (optimizer, other):
        o.step()
    assert all(map(torch.equal, params, twins))


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Objects go when nothing refers to them; what refers to itself stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("backend", ["torch", "triton", "native"])
@pytest.mark.parametrize("rule", [AdamW, Reducing], ids=["elementwise", "reducing"])
def test_memory_goes_with_its_optimizer(rule: Any, backend: str) -> None:
    params = parameters()
    optimizer = rule(params, backend=backend)
    for _ in range(2):
        optimizer.step()
    states = [weakref.ref(x) for memory in optimizer.state.values() for x in memory.values()]
    gc.collect()  # what the first step of all has left, such as a module's functions
    del optimizer
    assert states and all(x() is None for x in states)


def test_a_count_is_the_same_tensor_from_step_to_step() -> None:
    """As in torch, whoever holds it sees it advance."""
    params = parameters()
    optimizer = AdamW(params)
    optimizer.step()
    count = optimizer.state[params[0]]["step"]
    params[1].grad = None
    optimizer.step()
    assert count.item() == 2.0
    assert optimizer.state[params[1]]["step"].item() == 1.0
    assert count is optimizer.state[params[0]]["step"]


def test_a_loaded_count_is_a_copy() -> None:
    params, others = parameters(), parameters()
    optimizer, other = AdamW(params), AdamW(others)
    optimizer.step()
    other.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert other.state[others[0]]["step"].item() == 1.0
    other.step()
    assert optimizer.state[params[0]]["step"].item() == 2.0


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_autograd_sees_that_a_step_writes(backend: str) -> None:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = AdamW([p], backend=backend)
    loss = p.square().sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_a_model_is_converted_by_swapping_its_tensors(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch swaps no tensor that something refers to weakly, gradients included."""
    monkeypatch.setattr(torch.__future__, "get_swap_module_params_on_conversion", lambda: True)
    model = nn.Linear(3, 2)
    optimizer = AdamW(model.parameters(), backend=backend)
    for dtype in (torch.float64, torch.bfloat16):
        model(torch.ones(1, 3, dtype=model.weight.dtype)).sum().backward()
        optimizer.step()
        model.to(dtype)
        optimizer.step()
        assert model.weight.dtype == model.weight.grad.dtype == dtype


def test_both_looks_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = sys.modules[AdamW.__module__]
    here, other = parameters(), object()
    strange: dict[str, list[Any]] = {
        "nothing there": [None],
        "sparse": [torch.eye(2).to_sparse()],
        "of another type": [nn.Buffer(torch.ones(2)).as_subclass(type("Own", (torch.Tensor,), {}))],
    }
    for language in ("C", "Python"):
        look_by(language, monkeypatch)
        look = module.LOOKS.best
        seen = look(here, [[other]], [{"x": other}])
        assert list(memoryview(seen[0]).cast("q")) == [p.data_ptr() for p in here]
        assert seen == look(here, [[other]], [{"x": other}])
        assert seen != look(here, [[other, other]], [{}])
        assert seen != look(here, [[other]], [{"x": here}])
        assert {word: look(xs, [], []) for word, xs in strange.items()} == dict.fromkeys(strange)
        many = [torch.ones(2, 3) for _ in range(200)]
        assert look(many, [], []) == look(many, [], [])


def test_looking_often_is_worth_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits do not depend on who looks, nor is anything prepared again when C takes over."""
    module: Any = sys.modules[AdamW.__module__]
    look_by("C", monkeypatch)
    looks = module.Looks()
    monkeypatch.setattr(AdamW, "looks", looks)
    optimizer = AdamW(parameters(), backend="triton")
    optimizer.step()
    optimizer.step()
    first, prepared = optimizer._round, optimizer._round.jobs[0].batches[0].prepared.tables
    assert looks.best is module.look_by_python
    looks.left = 0
    optimizer.step()
    optimizer.step()
    assert isinstance(optimizer._round.look, module.Look)
    assert optimizer._round is first
    assert optimizer._round.jobs[0].batches[0].prepared.tables is prepared
