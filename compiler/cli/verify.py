"""The command `optc verify`: are the compiled backends of a rule what the rule says?"""

from __future__ import annotations

import click

from ...dsl.diagnostics import OptError
from ...dsl.rule import Rule, Value
from .files import rule_of


@click.command("verify")
@click.argument("rules", nargs=-1, required=True, metavar="RULE...")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A hyperparameter, for one without default.")
@click.option("--steps", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--compiled", is_flag=True, help="Also what torch.compile makes of torch's code: seconds a rule.")
def verify_(rules: tuple[str, ...], given: tuple[str, ...], steps: int, compiled: bool) -> None:
    """Hold every backend of each RULE against the interpreter: parameters and states, on tensors of many shapes.

    RULE is a file, a name of the zoo, or - for standard input.

    Exit status 1 where one of them strays further than rounding explains.
    """
    failed = False
    for path in rules:
        try:
            rule = rule_of(path)
            failed |= not report(rule, settings_of(rule, given), steps, compiled)
        except OptError as error:
            click.echo(str(error), err=True)
            failed = True
        except (TypeError, ValueError) as error:
            click.echo(f"error: {path}: {error}", err=True)
            failed = True
    raise SystemExit(int(failed))


def settings_of(rule: Rule, given: tuple[str, ...]) -> dict[str, Value]:
    """`name=value` pairs as hyperparameters. Raises ValueError on any that is none."""
    types = {p.name: p.type for p in rule.params}
    out: dict[str, Value] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or name not in types:
            raise ValueError(f"--set {pair}: expected NAME=VALUE with one of {', '.join(types)}")
        if types[name] == "bool" and text not in ("true", "false"):
            raise ValueError(f"--set {pair}: expected true or false")
        out[name] = text == "true" if types[name] == "bool" else int(text) if types[name] == "int" else float(text)
    return out


def report(rule: Rule, settings: dict[str, Value], steps: int, compiled: bool) -> bool:
    """Prints a line for every check; whether all of them passed."""
    from ..verify import verify

    passed = True
    for check in verify(rule, settings, steps, compiled):
        passed &= check.ok
        measured = f"{check.error:.1e} of {check.tolerance:.1e} allowed, in {check.of}"
        result = f"skipped: {check.skipped}" if check.skipped else measured
        mark = "-" if check.skipped else "ok" if check.ok else "FAILED"
        changed = f"  with {check.changed}" if check.changed else ""
        click.echo(f"{rule.name:<24} {check.backend:<7} {check.dtype:<9} {mark:<6} {result}{changed}")
    return passed
