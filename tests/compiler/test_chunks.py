"""How work is cut for kernels: chunks that grow with a model, and sums over many parts in two stages."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from optc.compiler.load import load
from optc.compiler.runtime.reduced import Launch, Sums
from optc.compiler.runtime.triton import BLOCK, PROGRAMS, chunk_table
from optc.dsl.load import zoo

from .optimizers import parameter, steps

LAMB: Any = load(zoo("lamb"))


def work_on(*sizes: int) -> list[Any]:
    """As much of some work as its chunks depend on."""

    class Work:
        def __init__(self, n: int) -> None:
            self.theta, self.row = torch.empty(n, device="meta"), 3

    return [Work(n) for n in sizes]


@pytest.mark.parametrize("sizes", [(1,), (0, 5, BLOCK, BLOCK + 1), (1000 * BLOCK + 7, 3)])
@pytest.mark.parametrize("aligned", [True, False])
def test_chunks_of_a_small_model_are_blocks(sizes: tuple[int, ...], aligned: bool) -> None:
    table = chunk_table(work_on(*sizes), [aligned] * len(sizes), 0)
    assert (table[:, 2] <= BLOCK).all()
    assert_each_element_once(table, sizes, aligned)


@pytest.mark.parametrize("billions", [1, 8])
def test_chunks_of_a_large_model_are_few(billions: int) -> None:
    sizes = (billions * 10**9 + 7, 5, 10**7)
    table = chunk_table(work_on(*sizes), [True] * 3, 0)
    assert PROGRAMS / 2 < len(table) < PROGRAMS * 1.1
    assert_each_element_once(table, sizes, True)


def assert_each_element_once(table: Tensor, sizes: tuple[int, ...], aligned: bool) -> None:
    """Chunks of a tensor follow one another; what is whole is so many blocks, all but the last."""
    for i, size in enumerate(sizes):
        _, first, count, row, whole = table[table[:, 0] == i].T
        ends = first * BLOCK + count
        assert torch.equal(first[1:] * BLOCK, ends[:-1])
        assert not len(ends) or (first[0] == 0 and ends[-1] == size)
        assert len(ends) or size == 0
        assert (row == 3).all()
        assert torch.equal(whole, count // BLOCK * BLOCK * aligned)
        assert (count - whole <= BLOCK).all()


@pytest.mark.parametrize("rule", ["adamw", "lamb"])
def test_bits_do_not_depend_on_chunks(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    after = []
    for programs in (PROGRAMS, 1):
        made: Any = load(zoo(rule))
        monkeypatch.setattr(sys.modules[made.__module__], "PROGRAMS", programs)
        params = [parameter(n, seed=n) for n in (3500, 0, 2 * BLOCK)]
        params.append(parameter(3001, seed=1)[1:].detach().requires_grad_())  # begins where 128-bit accesses may not
        params[-1].grad = torch.ones(3000)
        steps(made(params, backend="triton"), 2)
        after.append(torch.cat([p.detach() for p in params]))
    assert torch.equal(*after)


@pytest.mark.parametrize("counts", [(1, 1, 1), (2500, 3, BLOCK), (BLOCK * 2 + 1,)])
def test_parts_are_added_up_in_two_stages(counts: tuple[int, ...]) -> None:
    """Whole numbers, whose sums are exact in any order, with a NaN in the last tensor's second column."""
    module: Any = sys.modules[LAMB.__module__]
    pieces = torch.tensor([[i, 0, 0, 0, 0] for i in range(len(counts))])
    launch = Launch(None, [], [], pieces, (BLOCK,), torch.tensor(counts))  # type: ignore[arg-type]
    reduced = torch.zeros(1 + len(counts), 2, dtype=torch.float64)
    sums: Sums = module.Sums([launch], reduced)
    draw = torch.Generator().manual_seed(0)
    sums.partials.copy_(torch.randint(-(2**40), 2**40, sums.partials.shape, generator=draw))
    sums.partials[-1, 1] = torch.nan
    sums.combine([(0, False), (1, True)], *sums.bounds)
    parts = torch.split(sums.partials, counts)
    assert reduced[1:, 0].tolist() == [part[:, 0].sum() for part in parts]
    assert reduced[0, 0] == sums.partials[:, 0].sum()
    assert reduced[1:-1, 1].tolist() == [part[:, 1].max() for part in parts[:-1]]
    assert reduced[[0, -1], 1].isnan().all()
    assert len(sums.groups) == sum(-(-n // BLOCK) for n in counts)
