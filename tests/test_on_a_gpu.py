"""What needs a GPU, on a machine that has one: a process of its own, since in this one Triton is its interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_what_needs_a_gpu_holds(gpu_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-m", "gpu", str(Path(__file__).parent)]
    done = subprocess.run(command, env=gpu_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
