"""What `optc compile --with` adds: any set of parts makes a module that steps alike, and names those it lacks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import optc
from optc.compiler.cli.compile import compile_
from optc.compiler.emit.module import emit
from optc.compiler.emit.parts import PARTS
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import rule_from_text, zoo

SETS = [*chain.from_iterable(combinations(PARTS, n) for n in (0, 1, len(PARTS) - 1))]
RULES = {
    "elementwise": "adamw",
    "evaluates": "schedule_free_adamw",
    "matrices": "muon",
    "lockstep": "param lr = 0.1\nupdate = g/(1 + norm(g per model))",
    "input": "param lr = 1\ninput h\nupdate = g/max(h, 1)",
    "noise": "param lr = 0.1\nupdate = g + noise()",
    "codes": "param lr = 0.1\nstate m : per element int8 = 0\nm <- 0.9*m + g\nupdate = m",
}


def rule_of(text: str) -> Any:
    return simplify(zoo(text) if "\n" not in text else rule_from_text(text))


def module(text: str, parts: tuple[str, ...], tmp_path: Path) -> Any:
    """The class in the file that `optc compile --with` these parts writes."""
    rule = rule_of(text)
    path = tmp_path / "rule.py"
    path.write_text(emit(rule, parts=parts))
    spec = importlib.util.spec_from_file_location("rule", path)
    assert spec is not None and spec.loader is not None
    made = sys.modules["rule"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return getattr(made, rule.name)


def trained(make: Callable[..., Any], inputs: bool) -> list[Any]:
    """Parameters and states after three steps."""
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(4, 3, dtype=torch.float64))]
    optimizer = make(params)
    for _ in range(3):
        for p in params:
            p.grad = torch.randn_like(p)
        optimizer.step(**({"inputs": {"h": [torch.ones_like(p) for p in params]}} if inputs else {}))
    states = [x for memory in optimizer.state_dict()["state"].values() for _, x in sorted(memory.items())]
    return [*(p.detach() for p in params), *states]


@pytest.mark.parametrize("parts", SETS, ids="+".join)
@pytest.mark.parametrize("kind", RULES)
def test_every_set_of_parts_gives_the_same_bits(kind: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    text = RULES[kind]
    ours = trained(module(text, parts, tmp_path), kind == "input")
    theirs = trained(optc.load(rule_of(text)), kind == "input")
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"rounding": "stochastic"}, "precision"),
        ({"master": "bits"}, "precision"),
        ({"state_dtype": "8bit"}, "precision"),
        ({"capturable": True}, "graphs"),
        ({"compile": True}, "native"),
        ({"backend": "native"}, "native"),
    ],
)
def test_an_option_of_a_part_that_is_missing_is_refused_in_words(
    given: dict[str, Any], part: str, tmp_path: Path
) -> None:
    make = module("adamw", (), tmp_path)
    params = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(ValueError, match=f"`optc compile --with {part}` has it"):
        make(params, **given)
    if "backend" not in given:
        optimizer = make(params)
        with pytest.raises(ValueError, match=f"--with {part}"):
            optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], **given})
        optimizer.param_groups[0].update(given)
        params[0].grad = torch.ones(2)
        with pytest.raises(ValueError, match=f"--with {part}"):
            optimizer.step()


def test_what_a_missing_part_would_do_by_default_may_be_asked_for(tmp_path: Path) -> None:
    make = module("adamw", (), tmp_path)
    make([torch.nn.Parameter(torch.ones(2))], rounding="nearest", master=None, compile=False)
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        make([torch.nn.Parameter(torch.ones(2))], foo=1)


def test_dtensors_are_refused_in_words_without_their_part(tmp_path: Path) -> None:
    class Sharded(torch.Tensor):
        full_tensor = None

    p = torch.nn.Parameter(torch.ones(2).as_subclass(Sharded))
    with pytest.raises(ValueError, match="--with shards"):
        module("adamw", (), tmp_path)([p])


def test_a_checkpoint_of_one_set_is_read_by_another(tmp_path: Path) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    full = optc.load(optc.zoo("adamw"))([p], lr=0.1)
    full.step()
    lean = module("adamw", (), tmp_path)([p])
    lean.load_state_dict(full.state_dict())
    assert torch.equal(lean.state[p]["m"], full.state[p]["m"]) and lean.param_groups[0]["lr"] == 0.1
    lean.step()
    full.load_state_dict(lean.state_dict())
    assert full.state[p]["step"] == 2


def test_a_checkpoint_of_torchs_is_refused_in_words_without_its_part(tmp_path: Path) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    theirs = torch.optim.AdamW([p])
    theirs.step()
    with pytest.raises(ValueError, match="`optc compile --with checkpoints` reads torch's"):
        module("adamw", (), tmp_path)([p]).load_state_dict(theirs.state_dict())
    module("adamw", ("checkpoints",), tmp_path)([p]).load_state_dict(theirs.state_dict())


def test_the_command_writes_what_it_is_told_to(tmp_path: Path) -> None:
    sizes = []
    for more in ((), ("--with", "shards,native", "--with", "precision,graphs,checkpoints"), ("--with", "all")):
        done = CliRunner().invoke(compile_, ["adamw", "-o", str(tmp_path), *more])
        assert done.exit_code == 0, done.output
        sizes.append(len((tmp_path / "adamw.py").read_text()))
    assert sizes[0] < sizes[1] == sizes[2]
    done = CliRunner().invoke(compile_, ["adamw", "-o", str(tmp_path), "--with", "wings"])
    assert done.exit_code == 2 and "there is no part 'wings'" in done.output
