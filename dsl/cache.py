"""Where finished things that can be made again are kept. Knows nothing of what they are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """`$OPTC_CACHE`, else `$XDG_CACHE_HOME/optc`, else `~/.cache/optc`. It need not exist yet."""
    chosen = os.environ.get("OPTC_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optc"


def put_in_place(path: Path, data: bytes) -> bool:
    """A file that others see whole or not at all, whoever else writes it; whether it could be."""
    from tempfile import mkstemp  # slow to import, and seldom needed

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, draft = mkstemp(dir=path.parent)
    except OSError:
        return False
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(draft).replace(path)
    except OSError:
        with suppress(OSError):
            Path(draft).unlink()  # a full disk keeps no part of it
        return False
    return True
