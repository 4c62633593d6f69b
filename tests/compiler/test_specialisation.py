"""Nothing that changes between steps, and no number or size of tensors, makes Triton compile another kernel."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import sys, torch
from optc import load, zoo
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import CUDABackend
from triton.runtime import jit

BACKEND = CUDABackend(GPUTarget("cuda", 90, 32))


def instead_of_a_launch(kernel, keys):
    binder = jit.create_function_from_signature(kernel.signature, kernel.params, BACKEND)

    def run(*args, grid, warmup=False, **options):
        _, specialization, _ = binder(*args, **options)
        keys.setdefault(kernel.__name__, set()).add(str(specialization))

    return run


def step(made, shapes, steps, **settings):
    params = [torch.randn(s, requires_grad=True) for s in shapes]
    optimizer = made([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], backend="triton", **settings)
    for i in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape)
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
            group.update({name: 0.5 + i / 100 for name in group if name == "beta1"})
        optimizer.step()


for rule in sys.argv[1:]:
    made, keys = load(zoo(rule)), {}
    module = sys.modules[made.__module__]
    made.programs[0].kernel.compiled  # and with it all others
    module.interprets = lambda program, device: False
    for value in list(vars(module).values()):
        if isinstance(value, jit.JITFunction):
            value.run = instead_of_a_launch(value, keys)
    step(made, [(64, 128), (64, 128)], 1)
    before = {name: set(found) for name, found in keys.items()}
    step(made, [(64, 128), (64, 128)], 18)
    step(made, [(64, 128)] * 33, 2, wd=1.0)
    step(made, [(65, 129), (320, 64), (128, 128)], 2, lr=1.0, wd=0.5)
    print(rule, sorted(before), {name: found - before[name] for name, found in keys.items() if found != before[name]})
"""
"""Kernels are looked up as for a launch on a GPU, by what Triton knows of their arguments, and then not launched."""


def test_what_cannot_run_here_is_said_in_words() -> None:
    """There is no GPU, or none to be seen, so Triton has no driver: parameters on a GPU would be stepped by torch."""
    code = "import optc; print(optc.load(optc.zoo('adamw')).programs[0].kernel.unfit)"
    said = {}
    for interpret in ("0", "1"):
        environment = os.environ | {"TRITON_INTERPRET": interpret}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        said[interpret] = done.stdout.strip()
    assert said["0"].startswith("RuntimeError: ")
    assert said["1"] == "TRITON_INTERPRET=1 runs kernels on tensors of a CPU alone"


def test_no_step_compiles_again() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", SCRIPT, "adamw", "lamb", "adafactor"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.splitlines() == [
        "adamw ['kernel'] {}",
        "lamb ['combine', 'kernel', 'measure1', 'measure2'] {}",
        "adafactor ['combine', 'combine_lines', 'kernel', 'measure1', 'measure2', 'measure3'] {}",
    ], done.stderr
