"""The tables that drive a kernel: what of them is sent at which step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from optc.compiler.load import load
from optc.compiler.runtime.tables import Tables
from optc.dsl.load import rule_from_text, zoo

AdamW: Any = load(zoo("adamw"))
Reducing: Any = load(
    rule_from_text(
        "param lr = 0.1\nstate m = 0\nstate R : per row = 0\nstate T : per tensor = 1\n"
        "m <- 0.9*m + g\nR <- R/2 + mean(g^2 per row)\nT <- T/2 + norm(m per model)\nupdate = m/(1 + R)*T"
    )
)
HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_what_is_not_sent_stays() -> None:
    scalars, addresses, chunks = torch.rand(3, 3, dtype=torch.float64), torch.arange(8), torch.arange(10, 15)
    tables = Tables([scalars, addresses, chunks], HERE)
    for _ in range(9):
        scalars, addresses = scalars + 1, addresses + 1
        tables.send(scalars)
        assert all(map(torch.equal, tables.views, (scalars.to(HERE), (addresses - 1).to(HERE), chunks.to(HERE))))
        tables.send(scalars, addresses)
        assert all(map(torch.equal, tables.views, (scalars.to(HERE), addresses.to(HERE), chunks.to(HERE))))


def test_every_part_begins_where_triton_finds_it_aligned() -> None:
    tables = Tables([torch.rand(1, 3, dtype=torch.float64), torch.arange(5), torch.arange(5)], HERE)
    assert [part.data_ptr() % 16 for part in tables.views] == [0, 0, 0]


Change = Callable[[Any, list[Any]], Any]
SENT: dict[str, tuple[Change, list[int]]] = {
    "nothing": (lambda o, ps: None, [1]),
    "another rate": (lambda o, ps: o.param_groups[0].update(lr=0.5), [1]),
    "a gradient elsewhere": (lambda o, ps: setattr(ps[0], "grad", ps[0].grad.clone()), [2]),
    "an unaligned gradient": (lambda o, ps: setattr(ps[0], "grad", torch.ones(2001)[1:]), [3]),
    "a state elsewhere": (lambda o, ps: o.state[ps[0]].update(m=torch.ones(2000)), [3]),
    "a gradient less": (lambda o, ps: setattr(ps[0], "grad", None), [3]),
    "a count written to": (lambda o, ps: o.state[ps[0]]["step"].fill_(7.0), [3]),
}


def watched(rule: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parts are sent at a time from now on, 3 standing for all."""
    made: Any = sys.modules[rule.__module__].Tables
    send, sent = made.send, list[int]()
    monkeypatch.setattr(made, "send", lambda self, *parts: (sent.append(min(3, len(parts))), send(self, *parts)))
    return sent


@pytest.mark.parametrize("rule", [AdamW, Reducing], ids=["elementwise", "reducing"])
@pytest.mark.parametrize("change", SENT)
def test_only_what_is_new_is_sent(change: str, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part is the scalars, two are the addresses besides, three or more all tables."""
    params = [nn.Parameter(torch.ones(2000)), nn.Parameter(torch.ones(3))]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer = rule(params, backend="triton")
    sent = watched(rule, monkeypatch)
    optimizer.step()
    optimizer.step()
    assert sent == [3, 1]
    act, expected = SENT[change]
    act(optimizer, params)
    optimizer.step()
    optimizer.step()
    assert sent[2:] == [*expected, 1]


def test_looking_in_another_way_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when C comes to look in Python's place, some time after the first step."""
    p = nn.Parameter(torch.ones(2000))
    p.grad = torch.ones(2000)
    optimizer, sent = AdamW([p], backend="triton"), watched(AdamW, monkeypatch)
    look: Any = sys.modules[AdamW.__module__].look_by_python
    for _ in range(2):
        optimizer.step()
    monkeypatch.setattr(AdamW.looks, "best", lambda *given: look(*given))
    for _ in range(3):
        optimizer.step()
    assert sent == [3, 1, 1, 1, 1]
