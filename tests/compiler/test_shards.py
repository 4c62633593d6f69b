"""Parameters sharded over two real processes, by DTensor and FSDP2, and their checkpoints: equal to one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from . import shard_cases
from .shard_cases import CASES, CHECKPOINTED, checkpoint_name, fit, named, network, restore


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which both processes have left their results."""
    folder = tmp_path_factory.mktemp("shards")
    processes = [subprocess.Popen([sys.executable, shard_cases.__file__, str(rank), str(folder)]) for rank in range(2)]
    try:
        assert [p.wait(timeout=300) for p in processes] == [0, 0]
    finally:
        for p in processes:
            p.kill()
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes(case: str, ran: Path) -> None:
    for rank in range(2):
        results = json.loads((ran / f"{rank}.json").read_text())
        assert results.get(case, "not run, since a case before it failed") == "", f"process {rank}"


@pytest.mark.parametrize(("name", "flat"), CHECKPOINTED)
def test_one_process_goes_on_from_a_checkpoint_of_two(name: str, flat: bool, ran: Path) -> None:
    rule, alone, restored = named(name), network(), network()
    straight, optimizer = rule(alone.parameters()), rule(restored.parameters())
    fit(alone, straight, slice(8), steps=6)
    restore(restored, optimizer, ran / checkpoint_name(name, flat), flat)
    fit(restored, optimizer, slice(8), first=3)
    for p, q in zip(restored.parameters(), alone.parameters(), strict=True):
        assert (p - q).abs().max() <= 1e-12
