"""What `step(inputs=…)` says of inputs that do not fit the parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optc

RULE = "param lr = 1\ninput h\nupdate = g/max(h, 1)"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "input 'h' has 0 tensors for 1 parameters"),
        ([None], "input 'h' of parameter 0 is None"),
        ([torch.ones(3)], r"input 'h' of parameter 0 is a tensor of shape \(3,\); it must have the shape \(2,\)"),
    ],
)
def test_inputs_that_do_not_fit(given: list[Any], words: str) -> None:
    p = torch.nn.Parameter(torch.zeros(2))
    optimizer = optc.load(RULE)([p])
    p.grad = torch.ones(2)
    with pytest.raises(ValueError, match=words):
        optimizer.step(inputs={"h": given})  # type: ignore[call-arg]
    assert not p.any()
