"""The generated file: golden, formatted, alone in the world, and not to be escaped from by a rule's text."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from cProfile import Profile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from optc.compiler.emit.inline import source
from optc.compiler.emit.module import Target, emit
from optc.compiler.emit.parts import PARTS, runtime
from optc.compiler.emit.scalars import emit_scalars
from optc.compiler.load import load
from optc.compiler.plan.lower import lower
from optc.compiler.plan.show import show
from optc.dsl.algebra.simplify import simplify
from optc.dsl.diagnostics import OptError
from optc.dsl.load import rule_from_text, zoo, zoo_names
from optc.dsl.rule import Param, Rule
from optc.dsl.text.expressions import Name
from optc.dsl.text.syntax import Output


@pytest.mark.parametrize(("rule", "target"), [("adamw", "auto"), ("lion", "torch")])
def test_the_source_is_the_golden_one(rule: str, target: Target, golden: Callable[[str, str], None]) -> None:
    golden(f"{rule}_{target}.py.txt", emit(simplify(zoo(rule)), target, parts=()))


def test_the_plan_is_the_golden_one(golden: Callable[[str, str], None]) -> None:
    golden("adamw.plan", show(lower(simplify(zoo("adamw")))) + "\n")


@pytest.mark.parametrize(("target", "parts"), [("auto", ()), ("auto", tuple(PARTS)), ("torch", ())])
def test_every_source_is_formatted_and_clean(target: Target, parts: tuple[str, ...], tmp_path: Path) -> None:
    """And complete: a name that nothing defines is among what ruff finds."""
    for name in zoo_names():
        (tmp_path / f"{name}.py").write_text(emit(simplify(zoo(name)), target, parts))
    for command in (["format", "--check"], ["check", "--select", "E,F,I,UP,B", "--ignore", "E501"]):
        ruff = [Path(sys.executable).with_name("ruff"), *command, "--isolated", "--line-length", "120", tmp_path]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_file_needs_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text(emit(simplify(zoo("adamw"))))
    (tmp_path / "use.py").write_text(
        "import sys; sys.modules['optc'] = None\n"
        "import torch, rule\n"
        "p = torch.nn.Parameter(torch.ones(3)); p.grad = torch.ones(3)\n"
        "rule.AdamW([p], lr=0.5, wd=0).step(); print(p.tolist())\n"
    )
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "[0.5, 0.5, 0.5]\n", done.stderr


ESCAPES = ('"""\nimport os\n"""', "\\", '\\"""', 'ends in "', "\\N{bad}", "a\x0cb\x00c", "}{0} %s")


@pytest.mark.parametrize("doc", ESCAPES)
def test_a_text_cannot_leave_the_docstring(doc: str) -> None:
    rule = replace(zoo("sgd"), doc=doc, params=tuple(replace(p, doc=doc) for p in zoo("sgd").params))
    tree = ast.parse(emit(rule))
    assert sum(isinstance(s, ast.Import) for s in tree.body) == sum(
        isinstance(s, ast.Import) for s in ast.parse(emit(zoo("sgd"))).body
    )


@pytest.mark.parametrize("name", ["params", "self", "backend", "maximize", "compile", "inputs"])
def test_a_hyperparameter_that_torch_needs_for_itself_is_refused(name: str) -> None:
    body = (Output("update", Name("g")), Output("step_size", Name(name)))
    rule = Rule("Taken", (Param(name, default=1.0),), body=body)
    with pytest.raises(OptError, match=f"`{name}` collides"):
        emit(rule)


@pytest.mark.parametrize("name", ["torch", "tl", "print", "scalars", "kernel", "row", "BLOCK", "tensor_sign", "dict"])
def test_a_hyperparameter_may_be_called_what_the_module_calls_something(name: str) -> None:
    import torch

    rule = rule_from_text(f"param {name} = 0.5\nstep_size = {name}\nupdate = sign(g)")
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    load(rule)([p], **{name: 0.25}).step()
    assert p.tolist() == [0.75] * 3


def test_a_rule_without_a_kernel_is_refused_for_triton_in_words() -> None:
    rule = rule_from_text("orthogonalize(g + noise()*sum(orthogonalize(g)))")
    with pytest.raises(OptError, match="no Triton kernel yet for random numbers among"):
        emit(rule, "triton")


def test_the_same_rule_gives_the_same_class() -> None:
    assert load("sign(g)") is load("sign(g)")


@pytest.mark.parametrize("scope", ["row", "col", "matrix", "tensor", "model"])
def test_kernels_find_nothing_that_they_do_not_read(scope: str) -> None:
    """In a rule that knows one scope, and has states that it writes and states that it does not."""
    states = f"param lr = 1\nstate a : per {scope} = 0\nstate b : per {scope} = 1"
    tree = ast.parse(emit(rule_from_text(f"{states}\na <- norm(g per {scope})\nupdate = b*g/a"), parts=("precision",)))
    kernels = [s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name in ("measure1", "kernel")]
    for kernel in kernels:
        names = [n for n in ast.walk(kernel) if isinstance(n, ast.Name)]
        read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
        assert {n.id for n in names if isinstance(n.ctx, ast.Store)} <= read
    assert len(kernels) == 2


@pytest.mark.parametrize("link", ["sin({})", "{}/(1 + abs({}))", "{}*lr"])
def test_a_chain_twice_as_long_takes_twice_the_work(link: str) -> None:
    """The second hundred of names costs as many calls as the third."""

    def calls(count: int) -> int:
        names = ["lr" if "lr" in link else "g", *(f"a{i}" for i in range(count))]
        lets = [f"let {name} = {link.format(before, before)}" for before, name in pairwise(names)]
        rule, profile = rule_from_text("\n".join(["param lr = 1", *lets, f"update = {names[-1]}*g"])), Profile()
        profile.runcall(lambda plan: emit_scalars(plan, plan.step, ""), profile.runcall(lower, rule))
        return sum(entry.callcount for entry in profile.getstats())

    first, second, third = map(calls, (100, 200, 300))
    assert third - second < 1.1 * (second - first)


@pytest.mark.parametrize("parts", [(), tuple(PARTS)])
def test_no_name_is_defined_in_two_files_of_a_module(parts: tuple[str, ...]) -> None:
    """They share one file in the end, where the second would replace the first."""
    files = runtime(parts)
    names = [name for file in files for name in source(file).names]
    outer = [s for file in files for s in source(file).imports if not getattr(s, "level", 0)]
    imported = [a.name for s in outer for a in s.names if a.name != "triton"]  # modules import it as they need it
    assert sorted({name for name in names if names.count(name) > 1} | set(names) & set(imported)) == []
