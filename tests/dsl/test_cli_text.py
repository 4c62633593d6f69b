"""`optc check` and `optc fmt` as processes: output, exit status, and files that survive."""

from __future__ import annotations

import json
import os
import signal
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


def test_what_is_no_file_is_passed_over_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.opt").write_text(GOOD)
    (tmp_path / "folder.opt").mkdir()
    os.mkfifo(tmp_path / "pipe.opt")  # reading it would wait for ever
    done = optc("check", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "1 rule: no problems\n")


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


DOUBTFUL = "## A rule.\nparam lr = 0.1 in (0, inf)\nstate v = 0\nv <- v + g^2\nupdate = g/sqrt(v)\n"


def test_warnings_are_shown_and_may_be_denied() -> None:
    done = optc("check", "-", stdin=DOUBTFUL.encode())
    assert done.returncode == 0 and "warning[W501]" in done.stderr and "1 rule: 1 warning" in done.stderr
    assert optc("check", "--deny-warnings", "-", stdin=DOUBTFUL.encode()).returncode == 1
    assert optc("check", "--pedantic", "-", stdin=b"update = g\nparam lr = 1").stderr.count("warning[W51") == 2


def test_check_github(tmp_path: Path) -> None:
    path = tmp_path / "a,b.opt"
    path.write_text("let a = 100%\nupdate = g\n")
    done = optc("check", "--format", "github", str(path))
    (line,) = done.stdout.splitlines()
    assert done.returncode == 1
    assert line.startswith("::error file=") and "a%2Cb.opt,line=1,endLine=1,col=12,endColumn=12,title=E002%3A" in line
    assert optc("check", "--format", "github", "-", stdin=GOOD.encode()).stdout == ""


def test_check_sarif(tmp_path: Path) -> None:
    path = tmp_path / "a b.opt"
    path.write_text(DOUBTFUL + "updat = g·g\n")
    done = optc("check", "--format", "sarif", path.name, cwd=tmp_path)
    log = json.loads(done.stdout)
    (run,) = log["runs"]
    (result,) = run["results"]
    assert done.returncode == 1 and log["version"] == "2.1.0"
    assert (result["ruleId"], result["level"]) == ("E303", "error")
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "E303"
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.opt"
    assert location["physicalLocation"]["region"] == {"startLine": 6, "startColumn": 1, "endLine": 6, "endColumn": 6}


def test_fix_writes_the_file_and_keeps_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_bytes(b"param lr = 0.1\r\nupdate = 2g\r\n")
    path.chmod(0o640)
    done = optc("check", "--fix", str(path))
    assert done.returncode == 0 and "fixed 1 problem" in done.stderr
    assert path.read_bytes() == b"param lr = 0.1\r\nupdate = 2*g\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_fix_leaves_what_it_cannot_mend(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_text(BAD.replace("grad", "(g"))
    assert optc("check", "--fix", str(path)).returncode == 1
    assert path.read_text() == BAD.replace("grad", "(g")


def test_fix_of_standard_input_goes_to_standard_output() -> None:
    done = optc("check", "--fix", "-", stdin=BAD.encode())
    assert done.stdout == GOOD and "no problems" in done.stderr


def test_watch_checks_again_and_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "a.opt"
    path.write_text(BAD)
    program = [sys.executable, "-u", "-c", "from optc.compiler.cli import main; main()", "check", "--watch", str(path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
        assert watching.stdout is not None
        lines = iter(watching.stdout.readline, "")
        try:
            assert any("1 rule: 1 error" in line for line in lines)
            path.write_text(GOOD)
            assert any("no problems" in line for line in lines)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(timeout=30) == 0
        finally:
            watching.kill()
        assert "Traceback" not in watching.stdout.read()


def test_standard_input_cannot_be_watched() -> None:
    assert optc("check", "--watch", "-").returncode == 2


def test_a_library_is_checked_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "lib.opt").write_text("def half(x) = x/2\n")
    (tmp_path / "a.opt").write_text('use "./lib.opt": half\nparam lr = 0.1\nupdate = half(g)\n')
    assert optc("check", str(tmp_path)).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_in_words() -> None:
    code = "from optc.compiler.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "zoo", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr and "fault" not in done.stderr


def test_compile_reads_standard_input_and_the_zoo(tmp_path: Path) -> None:
    done = optc("compile", "-", "--target", "torch", stdin=GOOD.encode(), cwd=tmp_path)
    compile(done.stdout, "rule.py", "exec")
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []
    assert optc("compile", "lion", cwd=tmp_path).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["lion.py"]
    assert optc("compile", "-", stdin=BAD.encode()).returncode == 1
