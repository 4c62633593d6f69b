"""What `optc.load` finds in the cache: a hit reads no rule, and nothing stale or damaged is ever used."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import optc
from optc.compiler import kept
from optc.compiler import load as loading
from optc.compiler.load import rule_of
from optc.dsl.cache import put_in_place
from optc.dsl.load import ZOO, rule_from_text

LOAD = """
import sys
import optc
{before}
made = optc.load({rule!r})
print(made.__module__.rpartition(".")[2], made.__name__, "optc.dsl.text.parser" in sys.modules, "triton" in sys.modules)
"""


def loaded(cache: Path, rule: str, before: str = "") -> tuple[str, str, bool]:
    """The module and the class that another process loads, and whether it read the rule's text."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(rule=rule, before=before)],
        env={**os.environ, "OPTC_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    module, name, read, triton = done.stdout.split()
    assert triton == "False", "Triton is for the first launch to import"
    return module, name, read == "True"


def test_a_hit_reads_no_rule_and_a_changed_rule_is_no_hit(tmp_path: Path) -> None:
    rule = tmp_path / "rule.opt"
    rule.write_text("0.5*g")
    first = loaded(tmp_path, str(rule))
    assert first[2]
    assert loaded(tmp_path, str(rule)) == (*first[:2], False)
    rule.write_text("0.25*g")
    other = loaded(tmp_path, str(rule))
    assert other[2] and other[0] != first[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("OPTC_CACHE", str(tmp_path))
    monkeypatch.setattr(loading.loaded, "__path__", [str(tmp_path / "modules")])
    return tmp_path


def loaded_anew(rule: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, bool]:
    """The module that is loaded as if by another process, and whether the rule was read."""
    read: list[Any] = []
    monkeypatch.setattr(loading, "rule_of", lambda source: read.append(source) or rule_of(source))
    for name in [name for name in sys.modules if name.startswith("optc.compiler.loaded.")]:
        monkeypatch.delitem(sys.modules, name)
    made = optc.load(rule)
    p = torch.nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    made([p], lr=1.0).step()  # type: ignore[call-arg]
    assert p.item() == 0.5
    return made.__module__, bool(read)


@pytest.mark.parametrize("harm", ["empty", "cut", "changed", "gone", "nonsense"])
@pytest.mark.parametrize("kind", ["modules/*.py", "modules/*.code", "loaded/*"])
def test_what_is_damaged_is_made_anew(kind: str, harm: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = loaded_anew("0.5*g", monkeypatch)
    assert loaded_anew("0.5*g", monkeypatch) == (first, False)
    (path,) = cache.glob(kind)
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        changed = bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])
        path.write_bytes({"empty": b"", "cut": whole[:-5], "changed": changed, "nonsense": b"\xff\x00 1"}[harm])
    assert loaded_anew("0.5*g", monkeypatch) == (first, not kind.endswith(".code"))
    assert path.read_bytes() == whole


def test_other_sources_of_ours_and_other_options_are_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    key = kept.key_of("optimizer", "auto", ["0.5*g"])
    assert key == kept.key_of("optimizer", "auto", ["0.5*g"])
    others = {kept.key_of("optimizer", "torch", ["0.5*g"]), kept.key_of("population", "auto", ["0.5*g"])}
    others.add(kept.key_of("optimizer", "auto", ["0.5*g", ""]))
    monkeypatch.setattr(kept, "our_sources", lambda: "another version")
    others.add(kept.key_of("optimizer", "auto", ["0.5*g"]))
    assert key not in others


def test_our_sources_are_known_by_their_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in kept.OURS:
        (tmp_path / folder / "inner").mkdir(parents=True)
        (tmp_path / folder / "inner" / "file.py").write_text("1")
    monkeypatch.setattr(kept, "HERE", tmp_path)
    before = kept.our_sources.__wrapped__()
    os.utime(tmp_path / "dsl" / "inner" / "file.py", (1, 1))
    assert kept.our_sources.__wrapped__() != before


def test_a_rule_that_uses_files_of_its_user_s_is_always_read(tmp_path: Path) -> None:
    (tmp_path / "lib.opt").write_text("def half(x) = x/2\n")
    rule = tmp_path / "rule.opt"
    rule.write_text('use "./lib.opt": half\nparam lr = 1\nupdate = half(g)\n')
    first = optc.load(rule)
    (tmp_path / "lib.opt").write_text("def half(x) = x*0.25\n")
    assert optc.load(rule) is not first
    assert kept.key_of("optimizer", "auto", [rule]) is None


def test_files_of_one_text_give_classes_of_their_own_names(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.opt").write_text("0.5*g")
        assert optc.load(tmp_path / f"{name}.opt").__name__ == name.capitalize()


def test_a_checked_rule_is_known_by_all_that_it_holds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ("param lr = 0.1\nupdate = g", "param lr = 0.1\nupdate = 2*g", "param lr = 0.2\nupdate = g")
    rules = [rule_from_text(text) for text in texts]
    assert len({kept.key_of("optimizer", "auto", [rule]) for rule in rules}) == 3
    assert kept.key_of("optimizer", "auto", rules[:1]) != kept.key_of("optimizer", "auto", [repr(rules[0])])
    made = optc.load(rules[0])
    monkeypatch.setattr("optc.compiler.emit.module.emit", None)
    assert optc.load(rule_from_text(texts[0])) is made


def test_no_text_and_no_file_have_no_key(tmp_path: Path) -> None:
    for source in ("", "no/such.opt", tmp_path, "g\0.opt"):
        assert kept.key_of("optimizer", "auto", [source]) is None
    assert kept.key_of("optimizer", "auto", [ZOO / "adamw.opt"]) is not None
    assert kept.key_of("population", "auto", []) is None


def test_a_full_disk_keeps_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "there" / "file"
    assert put_in_place(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        assert not put_in_place(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(x.name, x.read_bytes()) for x in path.parent.iterdir()] == [("file", b"old")]
