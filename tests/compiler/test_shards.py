"""Parameters sharded over two and three processes, by DTensor and FSDP2, and their checkpoints: as in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .shard_cases import CASES, OF_THREE
from .shard_tensors import named
from .shard_training import CHECKPOINTED, checkpoint_name, fit, network, restore

ROOT = Path(__file__).parents[2]


def ran(count: int, folder: Path) -> Path:
    """The folder in which so many processes have left their results."""
    command = [sys.executable, "-m", "tests.compiler.shard_cases"]
    processes = [subprocess.Popen([*command, str(rank), str(count), str(folder)], cwd=ROOT) for rank in range(count)]
    try:
        assert [p.wait(timeout=300) for p in processes] == [0] * count
    finally:
        for p in processes:
            p.kill()
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(2, tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def three(two: Path) -> Path:
    return ran(3, two)


def check(case: str, count: int, folder: Path) -> None:
    for rank in range(count):
        results = json.loads((folder / f"{rank} of {count}.json").read_text())
        assert results.get(case, "not run, since a case before it failed") == "", f"process {rank}"


@pytest.mark.parametrize("case", CASES)
def test_two_processes(case: str, two: Path) -> None:
    check(case, 2, two)


@pytest.mark.parametrize("case", OF_THREE)
def test_three_processes(case: str, three: Path) -> None:
    check(case, 3, three)


@pytest.mark.parametrize(("name", "flat"), CHECKPOINTED)
def test_one_process_goes_on_from_a_checkpoint_of_two(name: str, flat: bool, two: Path) -> None:
    rule, alone, restored = named(name), network(), network()
    straight, optimizer = rule(alone.parameters()), rule(restored.parameters())
    fit(alone, straight, slice(12), steps=6)
    restore(restored, optimizer, two / checkpoint_name(name, flat), flat)
    fit(restored, optimizer, slice(12), first=3)
    for p, q in zip(restored.parameters(), alone.parameters(), strict=True):
        assert (p - q).abs().max() <= 1e-12
