"""`optc check` and `optc fmt` as processes: output, exit status, and files that survive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from optc.dsl.load import ZOO

GOOD = "update = g\nparam lr = 0.1\n"
BAD = "update = grad\nparam lr = 0.1\n"


def optc(*args: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from optc.compiler.cli import main; main()", *args]
    done = subprocess.run(program, input=stdin, capture_output=True, cwd=cwd, check=False, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in out + err
    return subprocess.CompletedProcess(args, done.returncode, out, err)


def test_check_zoo() -> None:
    done = optc("check", str(ZOO))
    assert (done.returncode, done.stderr) == (0, "")
    assert "no problems" in done.stdout


def test_check_reports_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.opt").write_text(BAD)
    (tmp_path / "b.opt").write_text(GOOD)
    (tmp_path / "c.opt").write_bytes(b"\xff\xfe")
    done = optc("check", str(tmp_path))
    assert done.returncode == 1
    assert "E101" in done.stderr and "E005" in done.stderr and "3 rules: 2 errors" in done.stderr


def test_check_json(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_text(BAD)
    done = optc("check", "--format", "json", str(path))
    (report,) = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["file"] == str(path) and not report["ok"]
    (found,) = report["diagnostics"]
    assert (found["code"], found["line"], found["column"], found["end_column"]) == ("E101", 1, 10, 14)


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["check"], 2), (["check", "--format", "xml", "x"], 2), (["chek", "x"], 2), (["--no-such"], 2),
        (["check", "no/such.opt"], 1), (["fmt", "no/such.opt"], 1), (["check", "/"], 1), (["--help"], 0),
        (["--version"], 0), (["check", "--help"], 0), (["check", "nul\0"], 1),
    ],
)  # fmt: skip
def test_exit_status(args: list[str], status: int, tmp_path: Path) -> None:
    if any("\0" in a for a in args):
        pytest.skip("an operating system passes no such argument")
    if args[-1] == "/":
        args = [*args[:-1], str(tmp_path)]
    assert optc(*args, cwd=tmp_path).returncode == status


def test_check_imports_neither_torch_nor_sympy() -> None:
    code = (
        "import sys; sys.argv = ['optc', 'check', sys.argv[1]]\n"
        "from optc.compiler.cli import optc, run\n"
        "assert run(optc) == 0\n"
        "print(sorted({'torch', 'sympy', 'triton', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ZOO / "adamw.opt")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_fmt_rewrites_then_has_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes(b"\xef\xbb\xbfupdate=g\r\nparam lr=.1\r\n")
    path.chmod(0o640)
    assert optc("fmt", "--check", str(path)).returncode == 1
    assert optc("fmt", str(path)).returncode == 0
    assert path.read_bytes() == b"update = g\nparam lr = .1\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert optc("fmt", "--check", str(path)).returncode == 0
    assert list(tmp_path.iterdir()) == [path]


def test_fmt_leaves_a_bad_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_text("update = (g")
    assert optc("fmt", str(path)).returncode == 1
    assert path.read_text() == "update = (g"


def test_fmt_standard_input() -> None:
    assert optc("fmt", "-", stdin=b"g*2").stdout == "g*2\n"
    assert "param lr" in optc("fmt", "--expand", "-", stdin=b"g*2").stdout
    assert optc("fmt", "--diff", "-", stdin=b"g * 2").stdout.splitlines()[-2:] == ["-g * 2", "+g*2"]
