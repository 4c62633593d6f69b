"""The command `optc bench`: how fast is a rule, and beside whom?"""

from __future__ import annotations

import json

import click

from .cli_verify import settings_of


@click.command("bench")
@click.argument("rule", type=click.Path(dir_okay=False))
@click.option("--against", default="torch:adamw:foreach", show_default=True, help="Commas between; torch:NAME[:HOW], …")
@click.option("--shapes", default="resnet50", show_default=True, help="many-small, one-large, resnet50 or gpt2.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--how", type=click.Choice(["auto", "eager", "compiled"]), default="auto", show_default=True)
@click.option("--rounds", type=click.IntRange(3, 1000), default=20, show_default=True)
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A hyperparameter of RULE.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def bench_(
    rule: str, against: str, shapes: str, dtype: str, how: str, rounds: int, given: tuple[str, ...], style: str
) -> None:
    """Time a step of RULE beside other optimizers, interleaved, on the GPU where there is one.

    HOW is fused, foreach or compiled for torch:NAME, eager or compiled for zoo:NAME.
    """
    from ..dsl.diagnostics import OptError

    try:
        rows = _measured(rule, [n for n in against.split(",") if n], shapes, dtype, how, rounds, given)
    except (OptError, TypeError, ValueError) as error:
        click.echo(str(error) if isinstance(error, OptError) else f"error: {error}", err=True)
        raise SystemExit(1) from None
    if style == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(f"{'':<36}{'median ms':>11}{'spread ms':>11}{'GB/s':>9}{'of copy':>9}")
    for r in rows:
        timing = f"{r['median_ms']:>11.3f}{r['spread_ms']:>11.3f}"
        click.echo(f"{r['name']:<36}{timing}{r['gigabytes_per_s']:>9.2f}{r['of_copy']:>9.0%}")


def _measured(
    rule: str, against: list[str], shapes: str, dtype: str, how: str, rounds: int, given: tuple[str, ...]
) -> list[dict[str, float | str]]:
    import torch

    from ..dsl.load import rule_from_file
    from .bench import SHAPES, copy_bandwidth, makers, measure, subject

    if shapes not in SHAPES:
        raise ValueError(f"--shapes {shapes}: it may be {', '.join(SHAPES)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = settings_of(rule_from_file(rule), given)
    makes = {f"{rule}:{how}": makers(f"{rule}:{how}", settings)} | {name: makers(name, {}) for name in against}
    sizes = SHAPES[shapes]()
    subjects = [subject(name, make, sizes, getattr(torch, dtype), device) for name, make in makes.items()]
    measure(subjects, rounds, device)
    copy = copy_bandwidth(max(s.bytes for s in subjects), rounds, device)
    return [s.row(copy) for s in subjects]
