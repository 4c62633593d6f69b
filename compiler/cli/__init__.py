"""The command `optc`: which subcommands there are, and what becomes of an error. Each loads only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

COMMANDS = {
    "check": ("check", "check", "Find everything that is wrong with rules."),
    "fmt": ("fmt", "fmt", "Rewrite rules in the one style."),
    "explain": ("explain", "explain", "Show a rule's mathematics, costs and properties, or what E101 means."),
    "diff": ("explain", "diff", "Say whether two rules are the same."),
    "info": ("info", "info", "Show what a rule has and needs."),
    "zoo": ("zoo", "zoo", "List, show and copy the rules that optc ships."),
    "new": ("zoo", "new", "Start a rule."),
    "completion": ("completion", "completion", "Print a shell's completion script."),
    "compile": ("compile", "compile_", "Turn a rule into a torch.optim.Optimizer with fused kernels."),
    "verify": ("verify", "verify_", "Hold every backend of a rule against the interpreter."),
    "bench": ("bench", "bench_", "Time a rule beside other optimizers."),
}
"""name -> (module beside this one, attribute, one line of help). Kept here so that `--help` imports none of them."""


class LazyGroup(click.Group):
    """Imports a subcommand when it is asked for: `optc check` must not wait for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command = getattr(import_module(f"{__package__}.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, _, help) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from ...dsl.meant import nearest

            meant = nearest(args[0], COMMANDS) if args else None
            hint = f" Did you mean '{meant}'?" if meant else ""
            raise click.UsageError(error.message + hint, ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optc", prog_name="optc")
def optc() -> None:
    """A language for deep-learning optimizers and its compiler."""


def run(group: click.Group) -> int:
    """Run a command line; the exit status: 0 done, 1 bad input, 2 wrong usage, 125 a fault of ours, 130 interrupted."""
    from ...dsl.diagnostics import OptError

    try:
        status = group.main(prog_name=group.name, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except OptError as error:
        click.echo(str(error), err=True)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody left to tell
        return 0
    except OSError as error:  # a full disk, a file that may not be written
        click.echo(
            f"{group.name}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", err=True
        )
        return 1
    except Exception as error:  # every fault that is not the user's ends here, and says so
        click.echo(_fault(group, error), err=True)
        return 125


def _fault(group: click.Group, error: Exception) -> str:
    import traceback

    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{where.filename}:{where.lineno}"
    return (
        f"{group.name} has a fault: {type(error).__name__}: {error}\n  at {place}\n"
        "This is not your doing. Please report it with the command, the rule and the lines above."
    )


def main() -> None:
    """The console script."""
    sys.exit(run(optc))
