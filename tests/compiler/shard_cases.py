"""What several processes do with sharded parameters: each runs all cases, which raise where ours is not as it must."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from optc.dsl.load import zoo_names
from tests.compiler import shard_tensors as tensors
from tests.compiler import shard_training as training

Case = Callable[[DeviceMesh, Path], None]

ALIKE = ("adabelief", "adabound", "adadelta", "adagrad", "adam", "adamax", "adan", "addsign", "ademamix", "amsgrad")
ALIKE += ("ftrl", "laprop", "nesterov", "powersign", "qhadam", "radam", "rmsprop", "sgd", "signum", "tiger", "yogi")
"""Rules of the zoo that are stepped as `adamw` is: element by element, with states that begin with zeros."""

CASES: dict[str, Case] = {
    **{f"zoo {name}": tensors.zoo_case(name) for name in zoo_names() if name not in ALIKE},
    **{f"rule: {name}": tensors.rule_case(name) for name in tensors.RULES},
    "by Triton": tensors.triton_case,
    "sharded and not": tensors.mixed_case,
    "dtypes": tensors.dtypes_case,
    "precision": tensors.precision_case,
    "nothing sent": tensors.silent_case,
    "kept from step to step": tensors.kept_case,
    "two axes": tensors.two_axes_case,
    "average": tensors.average_case,
    "a gradient sharded otherwise": tensors.grad_alone_case,
    **{f"fsdp {name}": training.fsdp_case(name) for name in ("adamw", "lion", "lamb", "adafactor", "muon", "shampoo")},
    "mixed precision": training.mixed_precision_case,
    "hybrid": training.hybrid_case,
    "ddp": training.ddp_case,
    "zero redundancy": training.zero_case,
    **{training.checkpoint_name(*case): training.checkpoint_case(*case) for case in training.CHECKPOINTED},
    "a state dict without shards": training.unsharded_state_case,
    "first state dict": training.first_state_dict_case,
}
OF_THREE: dict[str, Case] = {
    "zoo adamw": tensors.zoo_case("adamw"),
    "zoo lamb": tensors.zoo_case("lamb"),
    "zoo muon": tensors.zoo_case("muon"),
    "precision": tensors.precision_case,
    "fsdp adafactor": training.fsdp_case("adafactor"),
    "a checkpoint of two": training.reshared_case,
}


def run(rank: int, count: int, folder: Path) -> None:
    """One of the processes: runs all cases, and leaves what came of each in a file."""
    warnings.simplefilter("ignore")
    store = f"file://{folder / f'store of {count}'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=count, timeout=timedelta(seconds=60))
    mesh, out = init_device_mesh("cpu", (count,)), {}
    for name, case in (CASES if count == 2 else OF_THREE).items():
        try:
            case(mesh, folder)
            out[name] = ""
        except Exception:  # told to the test in the other process, whatever it is
            out[name] = traceback.format_exc()
        failed = torch.tensor(float(out[name] != ""))
        try:
            dist.all_reduce(failed)
        except RuntimeError:  # another process is in the middle of a case that this one has left
            break
    (folder / f"{rank} of {count}.json").write_text(json.dumps(out))
    dist.destroy_process_group()


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
