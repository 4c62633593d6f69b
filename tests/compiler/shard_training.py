"""Networks trained in several processes, by FSDP, DDP and ZeRO, and their checkpoints: as one process trains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

from .shard_tensors import drawn, named, same, sharded, trained, whole


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7, dtype=dtype), nn.Tanh(), nn.Linear(7, 3, dtype=dtype))


def fit(model: nn.Module, optimizer: Any, part: slice, steps: int = 3, first: int = 0) -> None:
    """Some steps, on a part of each batch."""
    for step in range(first, first + steps):
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(12, 5, generator=draw, dtype=next(model.parameters()).dtype)
        optimizer.zero_grad()
        model(x[part]).square().mean().backward()
        optimizer.step()


def share() -> slice:
    """This process's part of a batch: of 12, so that two and three processes get equal ones."""
    each = 12 // dist.get_world_size()
    return slice(each * dist.get_rank(), each * (dist.get_rank() + 1))


def fsdp_case(name: str) -> Callable[[DeviceMesh, Path], None]:
    def case(mesh: DeviceMesh, _: Path) -> None:
        rule, model, alone = named(name), network(), network()
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
        fit(model, rule(model.parameters()), share())
        fit(alone, rule(alone.parameters()), slice(12))
        same(list(model.parameters()), list(alone.parameters()), exact=False)

    return case


def mixed_precision_case(mesh: DeviceMesh, _: Path) -> None:
    """float32 parts of parameters that are bfloat16 while the network runs: as torch's optimizer steps them."""
    models = [network(torch.float32), network(torch.float32)]
    for model in models:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        fully_shard(model, mesh=mesh, mp_policy=policy)
    for model, cls in zip(models, (named("adamw").type, torch.optim.AdamW), strict=True):
        fit(model, cls(model.parameters(), lr=0.01), share())
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(whole(p), whole(q), rtol=1e-5, atol=1e-6)


def hybrid_case(_: DeviceMesh, __: Path) -> None:
    """Sharded over some processes and replicated over others."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(), 1), mesh_dim_names=("replicate", "shard"))
    rule, model, alone = named("lamb"), network(), network()
    fully_shard(model, mesh=mesh)
    fit(model, rule(model.parameters()), share())
    fit(alone, rule(alone.parameters()), slice(12))
    same(list(model.parameters()), list(alone.parameters()), exact=False)


def ddp_case(_: DeviceMesh, __: Path) -> None:
    rule, alone = named("adamw"), network()
    model = DistributedDataParallel(network())
    fit(model, rule(model.parameters()), share())
    fit(alone, rule(alone.parameters()), slice(12))
    same(list(model.parameters()), list(alone.parameters()), exact=False)


def zero_case(_: DeviceMesh, __: Path) -> None:
    """ZeroRedundancyOptimizer shares out whole parameters: each process steps its own and sends them round."""
    rule, alone = named("adamw"), network()
    model = DistributedDataParallel(network())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), optimizer_class=rule.type, lr=1e-3)
    fit(model, optimizer, share())
    fit(alone, rule(alone.parameters()), slice(12))
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
RESHARED = ("adamw", "adafactor")
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
        fit(models[0], optimizers[0], share())
        dcp.save(states(models[0], optimizers[0], flat), checkpoint_id=folder / checkpoint_name(name, flat))
        restore(models[1], optimizers[1], folder / checkpoint_name(name, flat), flat)
        for model, optimizer in zip(models, optimizers, strict=True):
            fit(model, optimizer, share(), first=3)
        same(list(models[1].parameters()), list(models[0].parameters()))

    return case


def reshared_case(mesh: DeviceMesh, folder: Path) -> None:
    """A checkpoint of two processes, loaded by three, which go on as one does that has done all steps."""
    for name in RESHARED:
        rule, model, alone = named(name), network(), network()
        fully_shard(model, mesh=mesh)
        optimizer = rule(model.parameters())
        restore(model, optimizer, folder / checkpoint_name(name, True), True)
        fit(model, optimizer, share(), first=3)
        fit(alone, rule(alone.parameters()), slice(12), steps=6)
        same(list(model.parameters()), list(alone.parameters()), exact=False)


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


FIRST = ("asgd", "adafactor", "lookahead_adamw", "madgrad", "muon", "nadam", "prodigy", "rprop", "schedule_free_adamw")
"""Rules that a rate of 0 would not keep from moving, or whose states begin with more than zeros; one of other kinds."""


def first_state_dict_case(mesh: DeviceMesh, _: Path) -> None:
    """To know a new optimizer's states, torch steps it with gradients of 0 at a rate of 0: it leaves no trace."""
    for name in FIRST:
        rule, model, alone = named(name), network(), network()
        fully_shard(model, mesh=mesh)
        optimizer, before = rule(model.parameters()), [whole(p).clone() for p in model.parameters()]
        kept = get_optimizer_state_dict(model, optimizer)
        assert len(kept["state"]) == len(before)
        same(list(model.parameters()), before)
        fit(model, optimizer, share(), steps=1)
        fit(alone, rule(alone.parameters()), slice(12), steps=1)
        same(list(model.parameters()), list(alone.parameters()), exact=False)
