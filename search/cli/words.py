"""What goes wrong in a command to what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click


def in_words(command: Callable[..., None]) -> Callable[..., None]:
    """What the user can mend is said in words, with exit status 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        from ...dsl.diagnostics import OptError
        from ..config import ConfigError
        from ..runs.store import StoreError
        from ..tasks.data import DataError

        try:
            command(*args, **kwargs)
        except (ConfigError, StoreError, DataError, OptError) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)

    return wrapped
