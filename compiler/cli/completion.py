"""`optc completion`: the script that teaches a shell to complete `optc`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what SHELL needs to complete optc's commands, options and rules.

    \b
    bash:  optc completion bash >> ~/.bashrc
    zsh:   optc completion zsh >> ~/.zshrc
    fish:  optc completion fish > ~/.config/fish/completions/optc.fish
    """
    from . import optc

    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    click.echo(kind(optc, {}, "optc", "_OPTC_COMPLETE").source(), nl=False)
