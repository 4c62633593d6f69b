"""Rules on tensors sharded by hand: what several processes make of them is what one makes of whole tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode

from optc.compiler.load import load
from optc.dsl.load import rule_from_text, zoo

SHARDED: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((5, 4), Shard(0)),  # parts of 3 and 2 rows
    ((1, 3), Shard(0)),  # nothing in the second process
    ((7,), Shard(0)),
    ((4, 5), Shard(1)),
    ((3, 4), Replicate()),
    ((), Replicate()),
)
REQUIRED = {"evolved": {"total": 10}}

RULES = {
    "elementwise": "param lr = 0.1\nstate m = 0\nm <- 0.9*m + g\nupdate = m",
    "mean per tensor": "param lr = 0.1\nupdate = g/(mean(abs(g)) + rms(theta) + 1)",
    "largest per tensor": "param lr = 0.1\nupdate = g/(max_of(abs(g)) + 1)",
    "largest per row": "param lr = 0.1\nstate R : per row = 0\nR <- max_of(abs(g) per row)\nupdate = g/(R + 1)",
    "column state": "param lr = 0.1\nstate C : per col = 0\nC <- C + sum(g^2 per col)\nupdate = g/(1 + sqrt(C))",
    "row of a column": "param lr = 0.1\nlet c = mean(g per col)\nupdate = g - c + sum(c per row)",
    "per matrix": "param lr = 0.1\nstate M : per matrix = 0\nM <- norm(g per matrix)\nupdate = g/(1 + M)",
    "sums over the model": "param lr = 0.1\nupdate = g/(norm(g per model) + mean(g per model) + 3)",
    "largest in the model": "param lr = 0.1\nupdate = g/(1 + max_of(abs(g) per model))",
    "state of the model": "param lr = 0.1\nstate d : per model = 1\nd <- d + dot(g, theta per model)\nupdate = d*g",
    "first value": "param lr = 0.1\nstate n : per tensor = norm(theta)\nstate s = theta\nn <- n + 1\nupdate = g*n + s",
    "noise": "param lr = 0.1\nupdate = g + noise()",
    "codes": "param lr = 0.1\nstate m : per element int8 = 0\nm <- 0.9*m + g\nupdate = m",
    "sizes": "param lr = 0.1\nupdate = g*rows/cols + numel + ndim",
    "served by shape": "applies when rows > 3 otherwise adamw()\nuse zoo.adamw\nparam lr = 0.1\nupdate = g",
}
"""Rules that a part of a tensor cannot follow by itself, each for one reason, beside one that it can."""


class Rule:
    """A rule's class with what it must be given."""

    def __init__(self, source: Any, **given: Any) -> None:
        self.type: Any = load(source)
        self.given = given

    def __call__(self, params: Any) -> Any:
        return self.type(params, **self.given)


def named(name: str, **given: Any) -> Rule:
    return Rule(zoo(name), **REQUIRED.get(name, {}), **given)


def drawn(seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype) for shape, _ in SHARDED]


def sharded(tensors: list[Tensor], mesh: DeviceMesh) -> list[Any]:
    places = [[place] * mesh.ndim for _, place in SHARDED]
    return [distribute_tensor(x.clone(), mesh, p) for x, p in zip(tensors, places, strict=True)]


def whole(x: Any) -> Tensor:
    """A tensor in one piece, in a dtype that gloo sends."""
    x = x.detach() if x.is_complex() else x.detach().double()
    return x.full_tensor() if isinstance(x, DTensor) else x


def trained(
    rule: Rule, mesh: DeviceMesh | None, steps: int = 3, dtype: torch.dtype = torch.float64, plain: tuple[int, ...] = ()
) -> tuple[list[Any], Any]:
    """Parameters after some steps on the same gradients, sharded over a mesh, save those at the `plain` places."""

    def given(seed: int) -> list[Any]:
        tensors = drawn(seed, dtype)
        if mesh is None:
            return tensors
        return [x if i in plain else d for i, (x, d) in enumerate(zip(tensors, sharded(tensors, mesh), strict=True))]

    params = [nn.Parameter(x) for x in given(0)]
    optimizer = rule(params)
    needs = [h for program in rule.type.programs for h in getattr(program, "inputs", ())]
    for step in range(1, steps + 1):
        for p, g in zip(params, given(step), strict=True):
            p.grad = g
        optimizer.step(**({"inputs": {h: given(100 + step) for h in needs}} if needs else {}))
    return params, optimizer


def same(ours: list[Any], wanted: list[Any], exact: bool = True) -> None:
    """Equal to the bit, or up to the order in which a reduction adds up."""
    for x, y in zip(ours, wanted, strict=True):
        x, y = whole(x), whole(y)
        if exact:
            assert torch.equal(x, y), (x - y).abs().max()
        else:
            torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def as_unsharded(rule: Rule, mesh: DeviceMesh, **how: Any) -> None:
    """Parameters and states are what they are in one process, and states are sharded as their parameters are.

    The last bit of a matrix operation may depend on how memory is aligned: in torch 2.11 that of an eigenbasis does.
    """
    params, optimizer = trained(rule, mesh, **how)
    wanted, alone = trained(rule, None, **how)
    exact = all(program.shards != "reduced" and not getattr(program, "split", None) for program in rule.type.programs)
    same(params, wanted, exact)
    per_element = {s.name for program in rule.type.programs for s in program.states if s.scope == "element"}
    for p, q in zip(params, wanted, strict=True):
        assert optimizer.state[p].keys() == alone.state[q].keys()
        for name, state in optimizer.state[p].items():
            assert state.dtype == alone.state[q][name].dtype
            same([state], [alone.state[q][name]], exact)
            if isinstance(p, DTensor) and name in per_element:
                assert isinstance(state, DTensor), name
                assert state.placements == p.placements
            assert name != "step" or type(state) is Tensor


# ---------------------------------------------------------------- rules


def zoo_case(name: str) -> Callable[[DeviceMesh, Path], None]:
    return lambda mesh, _: as_unsharded(named(name), mesh)


def rule_case(name: str) -> Callable[[DeviceMesh, Path], None]:
    return lambda mesh, _: as_unsharded(Rule(rule_from_text(RULES[name])), mesh)


def triton_case(mesh: DeviceMesh, _: Path) -> None:
    as_unsharded(named("adamw", backend="triton"), mesh)


def mixed_case(mesh: DeviceMesh, _: Path) -> None:
    """Some parameters are sharded and others not, also where all of them give one number."""
    for rule in (named("adamw"), named("lamb"), Rule(rule_from_text(RULES["largest in the model"])), named("muon")):
        as_unsharded(rule, mesh, plain=(0, 2, 4))


def dtypes_case(mesh: DeviceMesh, _: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.complex64):
        as_unsharded(named("adamw"), mesh, dtype=dtype)


def precision_case(mesh: DeviceMesh, _: Path) -> None:
    """Masters, random bits and codes go by the elements of the whole parameter."""
    options: tuple[dict[str, Any], ...] = (
        {"rounding": "stochastic"},
        {"master": "float32"},
        {"master": "bits"},
        {"state_dtype": "8bit"},
        {"rounding": "stochastic", "state_dtype": {"m": "bfloat16", "v": "ufp8"}},
    )
    for given in options:
        for name in ("adamw", "lamb"):
            as_unsharded(named(name, **given), mesh, dtype=torch.bfloat16)


def silent_case(mesh: DeviceMesh, _: Path) -> None:
    """Where no element depends on another, nothing is sent: neither for masters, nor to draw random bits."""
    options: tuple[dict[str, Any], ...] = ({}, {"rounding": "stochastic"}, {"master": "float32"}, {"master": "bits"})
    for given in options:
        params = [nn.Parameter(x) for x in sharded(drawn(0, torch.bfloat16), mesh) if x.placements != (Shard(1),)]
        optimizer = named("adamw", **given)(params)
        with CommDebugMode() as sent:
            for _step in range(2):
                for p in params:
                    p.grad = torch.ones_like(p)
                optimizer.step()
        assert sent.get_total_counts() == 0, given


def kept_case(mesh: DeviceMesh, __: Path) -> None:
    """What outlives a step notices what is replaced between two: a gradient's sharding, its memory, a state."""
    wanted, _ = trained(named("adamw"), None, steps=6)
    params, optimizer = trained(named("adamw"), mesh, steps=3)
    for step in range(4, 7):
        for p, g in zip(params, sharded(drawn(step), mesh), strict=True):
            p.grad = g.redistribute(placements=[Replicate()]) if step == 4 else g
        if step == 5:
            memory = optimizer.state[params[0]]
            memory["m"] = memory["m"].clone()
        optimizer.step()
    same(params, wanted)


def two_axes_case(_: DeviceMesh, __: Path) -> None:
    """Replicated over one axis of the processes and sharded over the other, as FSDP's hybrid does."""
    for shape in ((1, 2), (2, 1)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard"))
        for name in ("adamw", "lamb", "muon"):
            as_unsharded(named(name), mesh)


def average_case(mesh: DeviceMesh, _: Path) -> None:
    """`eval` and `train` of a rule whose evaluation sees other parameters."""
    (params, ours), (wanted, alone) = (trained(named("schedule_free_adamw"), m) for m in (mesh, None))
    for turn in ("eval", "train"):
        getattr(ours, turn)()
        getattr(alone, turn)()
        same(params, wanted)


def grad_alone_case(mesh: DeviceMesh, _: Path) -> None:
    (p, *_) = sharded(drawn(0), mesh)
    p = nn.Parameter(p)
    p.grad = p.detach().clone().redistribute(mesh, [Replicate()])  # another sharding than the parameter's
    q = nn.Parameter(whole(p))
    q.grad = whole(p)
    named("adamw")([p]).step()
    named("adamw")([q]).step()
    same([p], [q])
    optimizer = Rule(rule_from_text("input h\nparam lr = 0.1\nupdate = g*h"))([p])
    with pytest.raises(RuntimeError, match="must be DTensors together"):
        optimizer.step(inputs={"h": [whole(p)]})
