"""What two processes do with sharded parameters: both run each case, which raises where ours is not as it must be."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from optc.compiler.load import load
from optc.dsl.load import rule_from_text, zoo, zoo_names

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
    needs = [h for program in rule.type.programs for h in program.inputs]
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
    """Parameters and states are what they are in one process, and states are sharded as their parameters are."""
    params, optimizer = trained(rule, mesh, **how)
    wanted, alone = trained(rule, None, **how)
    exact = all(program.shards != "reduced" for program in rule.type.programs)
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


def two_axes_case(_: DeviceMesh, __: Path) -> None:
    """Replicated over one axis of the processes and sharded over the other, as FSDP's hybrid does."""
    for shape in ((1, 2), (2, 1)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard"))
        for name in ("adamw", "adafactor", "lamb", "muon"):
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


# ---------------------------------------------------------------- training


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7, dtype=dtype), nn.Tanh(), nn.Linear(7, 3, dtype=dtype))


def fit(model: nn.Module, optimizer: Any, part: slice, steps: int = 3, first: int = 0) -> None:
    """Some steps, on a part of each batch."""
    for step in range(first, first + steps):
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(8, 5, generator=draw, dtype=torch.float64)
        optimizer.zero_grad()
        model(x[part]).square().mean().backward()
        optimizer.step()


def half() -> slice:
    return slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4)


def fsdp_case(name: str) -> Callable[[DeviceMesh, Path], None]:
    def case(mesh: DeviceMesh, _: Path) -> None:
        rule, model, alone = named(name), network(), network()
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
        fit(model, rule(model.parameters()), half())
        fit(alone, rule(alone.parameters()), slice(8))
        same(list(model.parameters()), list(alone.parameters()), exact=False)

    return case


def ddp_case(_: DeviceMesh, __: Path) -> None:
    rule, alone = named("adamw"), network()
    model = DistributedDataParallel(network())
    fit(model, rule(model.parameters()), half())
    fit(alone, rule(alone.parameters()), slice(8))
    same(list(model.parameters()), list(alone.parameters()), exact=False)


def zero_case(_: DeviceMesh, __: Path) -> None:
    """ZeroRedundancyOptimizer shares out whole parameters: each process steps its own and sends them round."""
    rule, alone = named("adamw"), network()
    model = DistributedDataParallel(network())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), optimizer_class=rule.type, lr=1e-3)
    fit(model, optimizer, half())
    fit(alone, rule(alone.parameters()), slice(8))
    same(list(model.parameters()), list(alone.parameters()), exact=False)
    optimizer.consolidate_state_dict(to=0)
    if dist.get_rank() == 0:
        assert len(optimizer.state_dict()["state"]) == len(list(model.parameters()))


# ---------------------------------------------------------------- checkpoints


def states(model: nn.Module, optimizer: Any, flat: bool) -> dict[str, Any]:
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    return {
        "model": get_model_state_dict(model, options=options),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=options),
    }


def restore(model: nn.Module, optimizer: Any, folder: Path, flat: bool) -> None:
    kept = states(model, optimizer, flat)
    dcp.load(kept, checkpoint_id=folder)
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    set_model_state_dict(model, kept["model"], options=options)
    set_optimizer_state_dict(model, optimizer, kept["optimizer"], options=options)


KEPT = ("adamw", "adafactor", "prodigy", "shampoo", "nadam")
CHECKPOINTED = [(name, flat) for name in KEPT for flat in (False, True)]


def checkpoint_name(name: str, flat: bool) -> str:
    return f"checkpoint {name}{' flat' * flat}"


def checkpoint_case(name: str, flat: bool) -> Callable[[DeviceMesh, Path], None]:
    """Saved after three steps, loaded into new objects, which go on as those saved do."""

    def case(mesh: DeviceMesh, folder: Path) -> None:
        rule, models = named(name), [network(), network()]
        for model in models:
            fully_shard(model, mesh=mesh)
        optimizers = [rule(model.parameters()) for model in models]
        fit(models[0], optimizers[0], half())
        dcp.save(states(models[0], optimizers[0], flat), checkpoint_id=folder / checkpoint_name(name, flat))
        restore(models[1], optimizers[1], folder / checkpoint_name(name, flat), flat)
        for model, optimizer in zip(models, optimizers, strict=True):
            fit(model, optimizer, half(), first=3)
        same(list(models[1].parameters()), list(models[0].parameters()))

    return case


def unsharded_state_case(mesh: DeviceMesh, __: Path) -> None:
    """A `state_dict` that was saved without shards is taken by an optimizer of sharded parameters."""
    for name in ("adamw", "nadam", "lamb"):
        rule = named(name)
        (params, _), (wanted, alone) = (trained(rule, m) for m in (mesh, None))
        fresh = rule(params)
        fresh.load_state_dict(alone.state_dict())
        for optimizer, gradients in ((fresh, sharded(drawn(7), mesh)), (alone, drawn(7))):
            for p, g in zip(optimizer.param_groups[0]["params"], gradients, strict=True):
                p.grad = g
            optimizer.step()
        same(params, wanted, exact=False)


def first_state_dict_case(mesh: DeviceMesh, _: Path) -> None:
    """To know a new optimizer's states, torch steps it with gradients of 0 at a rate of 0: it leaves no trace."""
    for name in zoo_names():
        rule, model, alone = named(name), network(), network()
        fully_shard(model, mesh=mesh)
        optimizer, before = rule(model.parameters()), [whole(p).clone() for p in model.parameters()]
        kept = get_optimizer_state_dict(model, optimizer)
        assert len(kept["state"]) == len(before)
        same(list(model.parameters()), before)
        if name != "sophia":  # which needs its input
            fit(model, optimizer, half(), steps=1)
            fit(alone, rule(alone.parameters()), slice(8), steps=1)
            same(list(model.parameters()), list(alone.parameters()), exact=False)


CASES: dict[str, Callable[[DeviceMesh, Path], None]] = {
    **{f"zoo {name}": zoo_case(name) for name in zoo_names()},
    **{f"rule: {name}": rule_case(name) for name in RULES},
    "by Triton": triton_case,
    "sharded and not": mixed_case,
    "dtypes": dtypes_case,
    "precision": precision_case,
    "two axes": two_axes_case,
    "average": average_case,
    "a gradient sharded otherwise": grad_alone_case,
    **{f"fsdp {name}": fsdp_case(name) for name in ("adamw", "lion", "lamb", "adafactor", "muon", "shampoo")},
    "ddp": ddp_case,
    "zero redundancy": zero_case,
    **{checkpoint_name(*case): checkpoint_case(*case) for case in CHECKPOINTED},
    "a state dict without shards": unsharded_state_case,
    "first state dict": first_state_dict_case,
}


def both(rank: int, folder: Path) -> None:
    """One of the two processes: runs all cases, and leaves what came of each in a file."""
    warnings.simplefilter("ignore")
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    mesh, out = init_device_mesh("cpu", (2,)), {}
    for name, case in CASES.items():
        try:
            case(mesh, folder)
            out[name] = ""
        except Exception:  # told to the test in the other process, whatever it is
            out[name] = traceback.format_exc()
        failed = torch.tensor(float(out[name] != ""))
        try:
            dist.all_reduce(failed)
        except RuntimeError:  # the other process is in the middle of a case that this one has left
            break
    (folder / f"{rank}.json").write_text(json.dumps(out))
    dist.destroy_process_group()


if __name__ == "__main__":
    both(int(sys.argv[1]), Path(sys.argv[2]))
