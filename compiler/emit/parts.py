"""What generated modules are made of besides the rule: files of the runtime, and what `--with` adds. Only tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

HELPERS = (
    *("prelude/scalars.py", "prelude/live.py", "prelude/torch.py"),
    *("runtime/jit.py", "prelude/triton.py", "prelude/memory.py"),
)
RULE = "what a rule is made of"
STEP = "a step's work, kept until the next"
IN_MEMORY = "how memory keeps numbers"
BY_TORCH, BY_C, BY_TRITON = "running it by torch", "running it as native code", "running it by Triton"
OPTIMIZER = "what every optimizer does"
RUNTIME = {
    "runtime/dtensor.py": RULE,
    "runtime/rule.py": RULE,
    "runtime/scopes.py": RULE,
    "runtime/rounding.py": IN_MEMORY,
    "runtime/quantised.py": IN_MEMORY,
    "runtime/master.py": IN_MEMORY,
    "runtime/work.py": STEP,
    "runtime/live.py": STEP,
    "runtime/look.py": STEP,
    "runtime/count.py": STEP,
    "runtime/round.py": STEP,
    "runtime/torch.py": BY_TORCH,
    "runtime/lockstep.py": BY_TORCH,
    "runtime/shards.py": BY_TORCH,
    "runtime/blocks.py": BY_TORCH,
    "../dsl/cache.py": BY_C,
    "runtime/cc.py": BY_C,
    "runtime/look_native.py": BY_C,
    "runtime/native_call.py": BY_C,
    "runtime/native_sums.py": BY_C,
    "runtime/native.py": BY_C,
    "runtime/memory.py": BY_TRITON,
    "runtime/tables.py": BY_TRITON,
    "runtime/triton.py": BY_TRITON,
    "runtime/reduced.py": BY_TRITON,
    "runtime/tiles.py": BY_TRITON,
    "runtime/split.py": BY_TRITON,
    "runtime/groups.py": OPTIMIZER,
    "runtime/checkpoints.py": OPTIMIZER,
    "runtime/optimizer.py": OPTIMIZER,
    "runtime/inputs.py": OPTIMIZER,
    "runtime/evaluation.py": OPTIMIZER,
    "runtime/peer.py": OPTIMIZER,
    "runtime/each.py": OPTIMIZER,
    "runtime/population.py": OPTIMIZER,
    "runtime/capturable.py": OPTIMIZER,
    "runtime/compiled.py": OPTIMIZER,
    "runtime/precision.py": OPTIMIZER,
    "runtime/sharded.py": OPTIMIZER,
}
"""The runtime's files in the order of a module, with the titles above them there. A module gets what it reaches."""


@dataclass(frozen=True)
class Option:
    """A keyword argument of an optimizer's, which a group has too."""

    type: str
    default: str
    about: str


@dataclass(frozen=True)
class Part:
    """What `--with` adds to a module: a layer over its class, and the options that this understands.

    `also` are options of any module, or backends, that nothing but the part can serve.
    """

    about: str
    layer: str
    options: Mapping[str, Option] = field(default_factory=dict)
    also: tuple[str, ...] = ()


PARTS = {
    "shards": Part("parameters that are DTensors, and distributed checkpoints", "ShardedOptimizer"),
    "precision": Part(
        "rounding at random, masters of 16-bit parameters, dtypes of states",
        "PreciseOptimizer",
        {
            "rounding": Option("str", '"nearest"', '"nearest", or "stochastic" for parameters and states of few bits'),
            "master": Option("str | None", "None", 'None, "float32" or "bits": what 16-bit parameters round'),
            "state_dtype": Option("Any", "None", "None for the rule's, one for all states, or a dict by their names"),
        },
    ),
    "graphs": Part("steps that CUDA graphs replay", "CapturableOptimizer", also=("capturable",)),
    "native": Part(
        "fast steps on a CPU: C code, or torch.compile where a rule has none",
        "CompiledOptimizer",
        {
            "compile": Option(
                "bool | None", "None", "True waits for code on a CPU, False is eager, None eager till then"
            )
        },
        also=("native",),
    ),
    "checkpoints": Part("checkpoints of torch's optimizer of the same rule, read and written", "PeerOptimizer"),
}
"""In the order in which the layers lie over each other, the uppermost first."""

ALL = tuple(PARTS)


def runtime(parts: Collection[str]) -> list[str]:
    """The files that a module with these parts may take definitions from, in their order."""
    return [*HELPERS, *RUNTIME]
