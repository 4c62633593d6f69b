"""`optc compile`: what it writes, and what it says when it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from optc.compiler.cli.compile import compile_
from optc.compiler.emit.module import emit
from optc.dsl.algebra.simplify import simplify
from optc.dsl.load import ZOO, zoo


def test_it_writes_a_file_named_after_the_rule_s(tmp_path: Path) -> None:
    done = CliRunner().invoke(compile_, [str(ZOO / "lion.opt"), "-o", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "lion.py").read_text() == emit(simplify(zoo("lion")), parts=())


def test_a_file_may_be_named_and_a_folder_may_look_like_one(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    for output, written in (("new/my.py", "new/my.py"), ("folder.py", "folder.py/lion.py")):
        done = CliRunner().invoke(compile_, ["lion", "-o", str(tmp_path / output)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / written).read_text() == emit(simplify(zoo("lion")), parts=())


def test_the_torch_target_knows_no_triton(tmp_path: Path) -> None:
    CliRunner().invoke(compile_, [str(ZOO / "lion.opt"), "-o", str(tmp_path), "--target", "torch"])
    text = (tmp_path / "lion.py").read_text()
    assert "import triton" not in text
    assert "tl." not in text


def test_a_dash_is_the_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(compile_, ["lion", "-o", "-"])
    assert done.stdout == emit(simplify(zoo("lion")), parts=())
    assert not list(tmp_path.iterdir())


def test_the_plan_goes_to_the_standard_output() -> None:
    done = CliRunner().invoke(compile_, [str(ZOO / "lion.opt"), "--emit", "ir"])
    assert done.output.startswith("plan Lion\n")


@pytest.mark.parametrize(
    ("text", "args", "status", "message"),
    [
        ("update = bta1*g", [], 1, "bta1"),
        (
            "orthogonalize(g + noise()*sum(orthogonalize(g)))",
            ["--target", "triton"],
            1,
            "no Triton kernel yet for random numbers among",
        ),
        ("param params = 1\nparam lr = 1\nupdate = params*g", [], 1, "`params`"),
        ("param lr = 1\nstate step = 0\nstep <- step + 1\nupdate = g/step", [], 1, "`step`"),
        ("param lr = 1\nstate m : per row int8 = 0\nm <- mean(g)\nupdate = g + m", [], 1, "block-quantised"),
        (
            "param lr = 1\nupdate = sign(g @ g.T + noise() @ g.T) @ g",
            ["--target", "triton"],
            1,
            "random numbers among matrix operations",
        ),
        ("sign(g)", ["--emit", "ptx", "--arch", "pentium"], 1, "unknown architecture `pentium`"),
        ("sign(g)", ["--target", "abacus"], 2, "abacus"),
    ],
)
def test_what_it_cannot_do_is_said_in_words(
    text: str, args: list[str], status: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "rule.opt").write_text(text)
    done = CliRunner().invoke(compile_, [str(tmp_path / "rule.opt"), "-o", str(tmp_path), *args])
    assert done.exit_code == status
    assert message in done.output
    assert not done.exception or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("name", ["torch", "triton", "math"])
def test_a_file_hides_no_module_from_itself(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.opt").write_text("sign(g)")
    done = CliRunner().invoke(compile_, [str(tmp_path / f"{name}.opt"), "-o", str(tmp_path)])
    assert done.exit_code == 1
    assert "rename the rule" in done.output
    assert not (tmp_path / f"{name}.py").exists()


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text("as it was")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
    command = f"{limited} from optc.compiler.cli import main; sys.argv[1:] = ['compile', 'lion', '-o', '.']; main()"
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot write lion.py: File too large" in done.stderr
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("lion.py", "as it was")]


def test_it_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from optc.compiler.cli.compile import compile_\n"
        f"compile_([{str(ZOO / 'evolved.opt')!r}, '-o', {str(tmp_path)!r}], standalone_mode=False)\n"
        "assert not {'torch', 'triton'} & {*sys.modules}, 'imported what it does not need'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
