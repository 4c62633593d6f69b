"""`optc bench`: it counts bytes rightly, names everyone, and refuses in words. How fast anything is, no test says."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from optc.compiler.bench import SHAPES, makers, measure, subject
from optc.compiler.cli_bench import bench_
from optc.dsl.load import ZOO


def test_it_counts_what_a_step_must_move() -> None:
    """AdamW: theta, m and v are read and written, g is read: 7 times 4 bytes a parameter."""
    s = subject("zoo:adamw", makers("zoo:adamw", {}), [(10, 10), (28,)], torch.float32, "cpu")
    assert s.bytes == 7 * 4 * 128
    measure([s], 4, "cpu")
    row = s.row(copy=1e9)
    assert len(s.seconds) == 4
    assert row["of_copy"] == pytest.approx(row["gigabytes_per_s"])


def test_the_shapes_are_the_models() -> None:
    assert sum(torch.Size(s).numel() for s in SHAPES["gpt2"]()) == 124_439_808
    assert sum(torch.Size(s).numel() for s in SHAPES["resnet50"]()) == 25_557_032


def test_everyone_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "resnet50", lambda: [(3, 3), (3,)])
    args = [str(ZOO / "lion.opt"), "--against", "torch:adamw:fused,zoo:sgd", "--rounds", "3", "--format", "json"]
    done = CliRunner().invoke(bench_, args)
    assert done.exit_code == 0, done.output
    assert [r["name"].rsplit("/")[-1] for r in json.loads(done.output)] == [
        "lion.opt:auto",
        "torch:adamw:fused",
        "zoo:sgd",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--against", "torch:adamww"], "torch.optim has no `adamww`"),
        (["--against", "torch:adamw:quick"], "how may be auto, fused"),
        (["--against", "zoo:lyon"], "the zoo has no `lyon`"),
        (["--shapes", "cube"], "it may be many-small"),
    ],
)
def test_bad_input_is_told_in_words(args: list[str], message: str) -> None:
    done = CliRunner().invoke(bench_, [str(ZOO / "lion.opt"), *args])
    assert done.exit_code == 1
    assert message in done.output
