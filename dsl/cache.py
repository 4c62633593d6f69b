"""Where finished things that can be made again are kept. Knows nothing of what they are."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$OPTC_CACHE`, else `$XDG_CACHE_HOME/optc`, else `~/.cache/optc`. It need not exist yet."""
    chosen = os.environ.get("OPTC_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optc"
