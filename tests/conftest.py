"""What all tests share: golden files, and which Triton they have.

A process has one Triton, so it has either its interpreter and no GPU, whatever the machine, or with `pytest -m gpu`
its compiler and a GPU, for the tests that need one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from optc.dsl.cache import cache_folder

# No test depends on the clock. CI draws the same examples every time; a person's machine draws anew.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# A shell's background job ignores Ctrl-C, and would hand that on to the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


HAS_GPU = Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()
FOUND = dict(os.environ)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr != "gpu":  # before anything imports triton or torch
        os.environ.update(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="")
    kept = cache_folder()
    os.environ.setdefault("OPTC_DATA", str(kept / "data"))
    # Hypothesis draws from the constants of all modules that are loaded, but for those below a folder `tests`. Hundreds
    # of generated ones took it a minute to read, and made its draws depend on which tests had run before.
    os.environ["OPTC_CACHE"] = str(kept / "tests")


@pytest.fixture
def gpu_environment() -> dict[str, str]:
    """The environment of a process that is to have this machine's GPU. Skips the test where there is none."""
    if not HAS_GPU:
        pytest.skip("needs a CUDA device")
    return {name: value for name, value in FOUND.items() if name != "TRITON_INTERPRET"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files with what tests produce")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not HAS_GPU or config.option.markexpr != "gpu":
        skip = pytest.mark.skip(reason="needs a CUDA device, and pytest -m gpu")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _subnormals_stay() -> Iterator[None]:
    """What torch compiles makes its whole process flush subnormal numbers to 0; the next test must not see that."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` holds a text against `golden/name` beside the test's own file."""

    def compare(name: str, text: str) -> None:
        path = Path(request.path).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: look at the output, then run pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return compare
