"""What generated modules are made of besides the rule: files of the runtime, and what `--with` adds. Only tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

HELPERS = (
    *("prelude/scalars.py", "prelude/live.py", "prelude/torch.py"),
    *("runtime/jit.py", "prelude/triton.py", "prelude/memory.py"),
)
RUNTIME = {
    "runtime/dtensor.py": "tensors sharded over processes",
    "runtime/whole.py": "tensors in one piece",
    "runtime/groups.py": "groups that know torch's names",
    "runtime/rule.py": "what a rule is made of",
    "runtime/checkpoints.py": "what an optimizer saves and reads",
    "runtime/scopes.py": "states that are not per element",
    "runtime/rounding.py": "rounding at random",
    "runtime/quantised.py": "states of one byte an element",
    "runtime/master.py": "parameters of 16 bits, and what they are the rounding of",
    "runtime/work.py": "what there is to do in one step",
    "runtime/live.py": "a step's numbers on the device",
    "runtime/look.py": "many tensors at one look",
    "runtime/count.py": "counts of steps",
    "runtime/round.py": "a step's work, kept until the next",
    "runtime/torch.py": "running it by torch",
    "runtime/lockstep.py": "values over all tensors",
    "runtime/shards.py": "steps of sharded tensors",
    "runtime/blocks.py": "blocks that suit a CPU",
    "../dsl/cache.py": "where finished things are kept",
    "runtime/cc.py": "a C compiler",
    "runtime/look_native.py": "many tensors at one look of C",
    "runtime/native_call.py": "native code and its tables",
    "runtime/native_sums.py": "native code in passes",
    "runtime/native.py": "running it as native code",
    "runtime/memory.py": "numbers around a step, and what kernels find in memory",
    "runtime/numbers.py": "memory that holds numbers",
    "runtime/tables.py": "tables on their way to a GPU",
    "runtime/triton.py": "running it by Triton",
    "runtime/reduced.py": "rules with reductions",
    "runtime/tiles.py": "rules with rows and columns",
    "runtime/split.py": "rules with matrix operations",
    "runtime/optimizer.py": "what every optimizer does",
    "runtime/inputs.py": "inputs besides the gradient",
    "runtime/evaluation.py": "what evaluation sees",
    "runtime/peer.py": "checkpoints of torch's",
    "runtime/each.py": "a value for each individual",
    "runtime/population.py": "many individuals at once",
    "runtime/capturable.py": "steps that graphs replay",
    "runtime/compiled.py": "compiled code on a CPU",
    "runtime/precision.py": "how precisely it keeps parameters and states",
    "runtime/sharded.py": "sharded parameters",
}
"""The runtime's files in the order of a module, with the titles that they have there. A module gets what it reaches."""


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
}
"""In the order in which the layers lie over each other, the uppermost first."""

ALL = tuple(PARTS)


def runtime(parts: Collection[str]) -> list[str]:
    """The files that a module with these parts may take definitions from, in their order."""
    replaced = {"runtime/dtensor.py" if "shards" not in parts else "runtime/whole.py"}
    replaced |= {"runtime/memory.py" if "precision" not in parts else "runtime/numbers.py"}
    return [*HELPERS, *(file for file in RUNTIME if file not in replaced)]
