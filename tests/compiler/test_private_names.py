"""What we use of torch and Triton beyond what they document: a release that lacks some of it fails here first."""

from __future__ import annotations

import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = [
    "torch._C._functorch.is_batchedtensor",
    "torch._C._len_torch_function_stack",
    "torch._disable_dynamo",
    "torch._foreach_copy_",
    "torch.distributed.tensor._utils.compute_local_shape_and_global_offset",
    "torch.ops.aten.is_non_overlapping_and_dense",
    "torch.optim.optimizer.required",
    "torch.utils._python_dispatch.TorchDispatchMode",
    "triton.backends.compiler.GPUTarget",
    "triton.compiler.ASTSource",
    "triton.knobs.nvidia.cuobjdump.path",
    "triton.language.PropagateNan.ALL",
    "triton.language.philox",
    "triton.runtime.driver",
    "triton.runtime.jit.JITFunction.run",
]
PRIVATE = re.compile(r"\btorch(?:\.\w+)*\._(?!_)\w+(?:\.\w+)*")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_there(name: str) -> None:
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            module = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        attrgetter(".".join(parts[end:]))(module)
        return
    pytest.fail(f"nothing of {name} is there")


def test_the_table_has_all_that_is_private() -> None:
    used = {
        match
        for folder in ("compiler", "dsl", "search")
        for path in (ROOT / folder).rglob("*.py")
        for match in PRIVATE.findall(path.read_text(encoding="utf-8"))
    }
    assert {name for name in used if not any(known.startswith(name) for known in NAMES)} == set()
