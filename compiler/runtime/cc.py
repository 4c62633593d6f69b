"""C source to functions in this process: by the machine's own compiler, in the background, and kept on disk.

This file's text is part of each generated module. It knows neither rules nor tensors.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from ...dsl.cache import cache_folder

CC_OPTIONS = ("-O3", "-std=c11", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-w")
"""Nothing here changes a bit of a result: no contraction, no reordering, no approximation, subnormals as they are."""

VECTORS = {
    "AVX512": ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mf16c"),
    "AVX2": ("-mavx2", "-mf16c"),
}
"""What may be assumed of a processor that torch calls so."""

SCRIPT = (
    'made=$1 path=$2; shift 2; if "$@" -o "$made" -x c - -lm; then mv -f "$made" "$path"; else rm -f "$made"; false; fi'
)
"""The file appears under its name whole or not at all, even where the process that asked for it is gone by then."""


class CompiledC:
    """The library of some C source: on disk, being compiled, or not to be had, for a reason in words."""

    def __init__(self, source: str, macros: tuple[str, ...]) -> None:
        vectors = VECTORS.get(torch.backends.cpu.get_cpu_capability(), ())
        options = (*CC_OPTIONS, *vectors, *(f"-D{macro}" for macro in macros))
        key = hashlib.sha256("\0".join([source, platform.machine(), *options]).encode()).hexdigest()[:32]
        self.library: ctypes.CDLL | None = None
        self.reason = ""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.path = native_folder() / f"{key}.so"
            if not self._found():
                self._start(source, options)
        except OSError as error:
            self.reason = str(error)

    def get(self, wait: bool) -> ctypes.CDLL | None:
        """The library, or None while it is being compiled, unless told to wait, and where it is not to be had."""
        if self._process is not None and (wait or self._process.poll() is not None):
            self._finish(self._process)
        return self.library

    def _found(self) -> bool:
        """Whether it was on disk; what cannot be loaded is made again."""
        try:
            if self.path.exists():
                self._load()
        except OSError:
            self.path.unlink(missing_ok=True)
        return self.library is not None

    def _start(self, source: str, options: tuple[str, ...]) -> None:
        compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "cc", "gcc", "clang"))), None)
        if compiler is None:
            raise OSError("no C compiler was found: neither $CC nor cc, gcc or clang")
        made = f"{self.path}.{uuid.uuid4().hex}"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it outlives this call, as the compiler does
        command = ["sh", "-c", SCRIPT, "sh", made, str(self.path), compiler, *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as stream:  # who ends without reading has said why
            stream.write(source.encode())
        self._process = process

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        failed = process.wait() != 0
        with self._said:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip()
        try:
            if failed:
                raise OSError(f"the C compiler failed: {said[:500]}")
            self._load()
        except OSError as error:
            self.reason = str(error)

    def _load(self) -> None:
        self.library = ctypes.CDLL(str(self.path))


@cache
def compiled_c(source: str, macros: tuple[str, ...]) -> CompiledC:
    """The one of its kind in this process."""
    return CompiledC(source, macros)


@cache
def native_folder() -> Path:
    """Where finished code is kept: in the cache, or, where that is read-only, for this process alone."""
    folder = cache_folder() / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="optc-"))
    return folder
