"""`optc bench`: it counts bytes rightly, names everyone, and refuses in words. How fast anything is, no test says."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from click.testing import CliRunner

from optc.compiler import bench
from optc.compiler.bench import Subject, makers, measure, subject
from optc.compiler.bench_shapes import SHAPES
from optc.compiler.cli.bench import bench_, table_text
from optc.dsl.load import ZOO


def test_it_counts_what_a_step_must_move() -> None:
    """AdamW: theta, m and v are read and written, g is read: 7 times 4 bytes a parameter."""
    s = subject("zoo:adamw", makers("zoo:adamw", {}), [(10, 10), (28,)], torch.float32, "cpu")
    assert s.bytes == 7 * 4 * 128
    measure([s], 4, "cpu")
    row = s.row(copy=1e9, first=s)
    assert len(s.seconds) == 4
    assert row["of_copy"] == pytest.approx(row["gigabytes_per_s"])
    assert row["times_first"] == 1


def test_ratios_are_of_the_same_round() -> None:
    """Twice as slow in each round, though rounds differ by a factor of a hundred; quartiles by hand."""
    first = Subject("a", lambda: None, 100, seconds=[1.0, 100.0, 2.0, 4.0, 1.0])
    other = Subject("b", lambda: None, 300, seconds=[2.0, 200.0, 4.0, 8.0, 2.0])
    assert other.row(100.0, first)["times_first"] == 2
    assert other.row(100.0, first)["times_first_quartiles"] == [2, 2]
    mixed = Subject("c", lambda: None, 400, seconds=[1.0, 200.0, 6.0, 16.0, 5.0])
    row = mixed.row(copy=160.0, first=first)
    assert (row["times_first"], row["times_first_quartiles"]) == (3, [1.5, 4.5])
    assert (row["median_ms"], row["spread_ms"]) == (6000, 1e3 * (108.0 - 3.0))
    assert row["gigabytes_per_s"] == pytest.approx(400 / 6 / 1e9)
    assert row["of_copy"] == pytest.approx(400 / 6 / 160)


def test_operations_are_counted() -> None:
    x = torch.zeros(3)
    assert bench.launches(lambda: x.add_(1).mul_(2), "cpu") == 2
    assert bench.launches(lambda: None, "cpu") == 0


def test_the_table_is_the_golden_one(golden: Callable[[str, str], None]) -> None:
    first = Subject("zoo:lion", lambda: None, 10**9, 12, 1e-4, [0.010, 0.011, 0.012, 0.013])
    other = Subject("torch:adamw:fused", lambda: None, 3 * 10**9, 2, 2e-5, [0.02, 0.025, 0.024, 0.020])
    rows = [s.row(200e9, first) for s in (first, other)]
    where = {"shapes": "resnet50", "dtype": "float32", "device": "CPU", "threads": 2, "copy_gigabytes_per_s": 200.0}
    golden("bench.txt", table_text({**where, "rows": rows}) + "\n")


def test_the_shapes_are_the_models() -> None:
    assert sum(torch.Size(s).numel() for s in SHAPES["gpt2"]()) == 124_439_808
    assert sum(torch.Size(s).numel() for s in SHAPES["resnet50"]()) == 25_557_032
    assert sum(torch.Size(s).numel() for s in SHAPES["llama1b"]()) == 1_235_814_400


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "resnet50", lambda: [(3, 3), (3,)])
    monkeypatch.setattr(bench, "WARM", 0.0)


@pytest.mark.usefixtures("small")
def test_everyone_has_a_row_in_every_table() -> None:
    args = [str(ZOO / "lion.opt"), "adamw", "--against", "torch:adamw:fused,zoo:sgd", "--dtype", "float32,bfloat16"]
    done = CliRunner().invoke(bench_, [*args, "--rounds", "3", "--format", "json"])
    assert done.exit_code == 0, done.output
    tables = json.loads(done.output)
    assert [t["dtype"] for t in tables] == ["float32", "bfloat16"]
    for table in tables:
        names = [r["name"].rsplit("/")[-1] for r in table["rows"]]
        assert names == ["lion.opt:auto", "adamw:auto", "torch:adamw:fused", "zoo:sgd"]
        assert all(r["median_ms"] > 0 and r["host_ms"] > 0 for r in table["rows"])


@pytest.mark.usefixtures("small")
def test_memory_is_asked_for_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW: parameter, gradient and two states; 4 bytes each. SGD has none; the copy moves what AdamW does."""
    monkeypatch.setitem(SHAPES, "one-large", lambda: [(1 << 50,)])
    done = CliRunner().invoke(bench_, ["adamw", "--shapes", "one-large", "--against", "torch:sgd"])
    assert done.exit_code == 1
    assert f"need {(16 + 8 + 28) * 2**20:.1f} GiB for 2 optimizers" in done.output


@pytest.mark.usefixtures("small")
def test_settings_are_for_every_rule_that_has_them() -> None:
    done = CliRunner().invoke(bench_, ["evolved", "--set", "total=9", "--against", "zoo:evolved:eager,zoo:lion"])
    assert done.exit_code == 0, done.output
    assert "zoo:evolved:eager" in done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--against", "torch:adamww"], "torch.optim has no `adamww`"),
        (["--against", "torch:adamw:quick"], "how may be auto, fused"),
        (["--against", "zoo:lyon"], "the zoo has no `lyon`"),
        (["--against", "zoo:evolved"], "Evolved has no default for total: give it by --set total=..."),
        (["--shapes", "cube"], "it may be many-small"),
        (["--dtype", "int8"], "it may be float32"),
        (["--against", "torch:sparseadam"], "torch:sparseadam cannot step float32 on cpu: SparseAdam does not"),
    ],
)
@pytest.mark.usefixtures("small")
def test_bad_input_is_told_in_words(args: list[str], message: str) -> None:
    done = CliRunner().invoke(bench_, [str(ZOO / "lion.opt"), *args])
    assert done.exit_code == 1
    assert message in done.output
