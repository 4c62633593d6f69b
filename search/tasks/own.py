"""`FILE.py:NAME` to the task of that name in a file of the user's own; the file is Python, and is run.

What it does to torch's settings ends with it: the bits of other tasks' runs must not depend on who ran before.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from .data import DataError
from .protocol import Task

SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
)
"""Of this process, which a task may change: how to ask for one, and how to set it."""


def is_own(name: str) -> bool:
    return ".py:" in name


@contextmanager
def settings_kept() -> Iterator[None]:
    """Whatever is done in here, torch's settings are afterwards what they were."""
    before = [ask() for ask, _ in SETTINGS]
    try:
        yield
    finally:
        for (ask, put), value in zip(SETTINGS, before, strict=True):
            if ask() != value:
                put(value)


@settings_kept()
def own_task(reference: str) -> Task:
    """The task, or the class of it, that the file has under the name. Raises DataError."""
    path, _, name = reference.rpartition(":")
    module = _module(Path(path).expanduser().resolve())
    found = getattr(module, name, None)
    if found is None:
        raise DataError(f"{path} has no `{name}`")
    try:
        task = found() if isinstance(found, type) else found
    except (Exception, SystemExit) as error:  # the class is the user's, and may do anything
        raise DataError(f"`{name}` of {path} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        missing = [method for method in ("name", "problem", "splits") if not hasattr(task, method)]
        raise DataError(f"`{name}` of {path} is no task: it lacks {', '.join(missing)} (see docs/search.md)")
    if not isinstance(task.name, str):
        raise DataError(f"`{name}` of {path} is no task: its name is no text")
    return task


def absolute(reference: str) -> str:
    """The same task, wherever it is asked for from."""
    path, _, name = reference.rpartition(":")
    return f"{Path(path).expanduser().resolve()}:{name}"


def digest(reference: str) -> str:
    """A digest of the file, and what its task says of itself, if it has a `digest()`. Raises DataError."""
    path, task = Path(reference.rpartition(":")[0]).expanduser(), own_task(reference)
    with asked_for("digest", reference):
        return f"{blake2b(path.read_bytes(), digest_size=16).hexdigest()} {getattr(task, 'digest', str)()}"


@contextmanager
def asked_for(what: str, task: str) -> Iterator[None]:
    """What a task of the user's own raises becomes DataError, for it may do anything."""
    try:
        with settings_kept():
            yield
    except (Exception, SystemExit) as error:
        if not is_own(task):
            raise
        raise DataError(f"the {what} of {task} cannot be had: {type(error).__name__}: {error}") from error


@lru_cache
def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise DataError(f"there is no file {path}; a task of your own is written as FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"optc_task_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's, and may do anything
        raise DataError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module
