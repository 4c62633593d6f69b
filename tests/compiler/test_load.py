"""`optc.load`: paths, texts and rules to classes, and what it says of anything else."""

from __future__ import annotations

import gc
import linecache
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

import optc
from optc.compiler import loaded
from optc.compiler.load import load_briefly
from optc.dsl.load import ZOO, zoo


def test_path_text_and_rule_give_the_same_class() -> None:
    path = ZOO / "lion.opt"
    classes = {optc.load(source) for source in (path, str(path), path.read_text(), "lion", zoo("lion"))}
    assert len(classes) == 1


@pytest.mark.parametrize("text", ["g + " * 100 + "g", "0.1*g"])
def test_a_line_of_any_length_is_a_rule(text: str) -> None:
    assert optc.load(text).__name__ == "Rule"


@pytest.mark.parametrize("source", ["no/such.opt", "", "g\0", "updat = g", Path("no/such.opt"), Path("/")])
def test_bad_input_is_an_opt_error(source: str | Path) -> None:
    with pytest.raises(optc.OptError):
        optc.load(source)


@pytest.mark.parametrize("source", [None, 3, b"update = g", ["update = g"]])
def test_what_is_no_rule_is_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError, match="a rule is a path, a text, a name of the zoo or a checked rule, not "):
        optc.load(source)


def test_an_unknown_target_is_refused() -> None:
    target: Any = "cuda"
    with pytest.raises(ValueError, match="Invalid target value: 'cuda'; it must be one of auto, triton, torch"):
        optc.load("sign(g)", target=target)
    with pytest.raises(ValueError, match="Invalid target value: 'cuda'"):
        optc.load_population(["sign(g)"], target=target)


def test_public_names_are_there() -> None:
    for name in dir(optc):
        assert getattr(optc, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = optc.nothing_of_ours


@pytest.mark.parametrize("name", ["Program", "RuleOptimizer", "Hyperparameter"])
def test_a_name_that_the_module_needs_is_refused(name: str) -> None:
    with pytest.raises(optc.OptError, match="E104"):
        optc.load(f"optimizer {name}\nparam lr = 1\nupdate = g")


def moved(made: Any, backend: str) -> torch.Tensor:
    p = torch.nn.Parameter(torch.linspace(-2, 2, 9))
    optimizer = made([p], lr=0.1, backend=backend)
    for _ in range(3):
        p.grad = p.detach().sin()
        optimizer.step()
    return p.detach()


@pytest.mark.parametrize("backend", ["torch", "native", "triton"])
def test_what_is_loaded_briefly_steps_alike(backend: str) -> None:
    assert torch.equal(moved(load_briefly(zoo("lion")), backend), moved(optc.load(zoo("lion")), backend))


@pytest.mark.parametrize("backend", ["torch", "native"])  # Triton's interpreter keeps every function that it has run
def test_what_is_loaded_briefly_leaves_nothing(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept() -> tuple[set[str], set[str], set[Path]]:
        return set(sys.modules), set(linecache.cache), set(tmp_path.glob("*"))

    monkeypatch.setattr(loaded, "__path__", [str(tmp_path)])
    moved(load_briefly(zoo("lion")), backend)  # imports what a first step does, and compiles what classes share
    gc.collect()
    before = kept()
    made = load_briefly(zoo("lion"))
    moved(made, backend)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None
    assert kept() == before
