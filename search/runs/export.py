"""A run's store to files and lines for others: the best rules as `.opt` and Python, the whole run as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...dsl.algebra.simplify import simplify
from ...dsl.load import rule_from_text
from ...dsl.text.expressions import Apply, Expr
from ...dsl.text.parser import parse
from ...dsl.text.spelling import format_expr
from ...dsl.text.syntax import Assign, File, Let, Output, ParamDecl
from ...dsl.text.walking import names
from ..columns import aligned
from ..files import write_whole
from ..spaces.trees import filled, number, number_of, plain_sum, tidied
from ..training.evaluate import Job, Outcome
from .run import config_of, readable
from .store import Individual, Store, StoreError

COLUMNS = ("id", "generation", "fitness", "key", "operators", "parents", "formula")
DIGITS = 3
STANDARD = (
    "m <- beta1*m + (1 - beta1)*g",
    "v <- beta2*v + (1 - beta2)*g^2",
    "g <- clip(g, -limit, limit)",
)
GENES_SHOWN = ("lr", "beta1", "beta2", "eps", "wd")


def export(store: Store, folder: Path, top: int) -> Iterator[Path]:
    """Write the `top` best rules, individuals.csv and run.json; the paths as they are written. Raises StoreError."""
    hall = store.hall_of_fame(top)
    if not hall:
        raise StoreError(f"{store.folder} has no scored individual yet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for rank, individual in enumerate(hall, 1):
            text = readable(individual, f"Bred{rank}")
            yield _written(folder / f"best{rank}.opt", text)
            yield _written(folder / f"best{rank}.py", _module(text))
        yield _write_table(store, folder / "individuals.csv")
        yield _written(folder / "run.json", json.dumps(_data(store, hall), indent=2) + "\n")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from None


def _written(path: Path, text: str) -> Path:
    write_whole(path, text)
    return path


def _module(text: str) -> str:
    """The rule's optimizer as `optc compile` writes it: a Python file that needs nothing of optc."""
    from ...compiler.emit.module import emit

    return emit(simplify(rule_from_text(text)), parts=())


def _data(store: Store, hall: Sequence[Individual]) -> dict[str, Any]:
    """The whole run: what it was, everyone in it, who made up each generation, and every training run's result."""
    individuals = store.individuals()
    return {
        "config": config_of(store).model_dump(mode="json"),
        "versions": json.loads(store.about("versions")),
        "best": [individual.id for individual in hall],
        "generations": store.populations(),
        "individuals": [asdict(i) | {"formula": formula(parse(i.text))} for i in individuals],
        "training_runs": [
            _run(*run) for key in dict.fromkeys(i.key for i in individuals) for run in store.outcomes(key)
        ],
        "rejected": [asdict(r) for r in store.refusals()],
    }


def _run(job: Job, outcome: Outcome) -> dict[str, Any]:
    """A training run without its losses. A fitness is finite always, so that this is JSON."""
    kept = {name: getattr(outcome, name) for name in ("fitness", "accuracy", "seconds", "reason")}
    return {"key": job.key, "task": job.task, "replicate": job.replicate, "steps": job.steps, **kept}


def _write_table(store: Store, path: Path) -> Path:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for i in store.individuals():
        lists = " ".join(i.operators), " ".join(i.parents)
        table.writerow((i.id, i.generation, i.fitness, i.key, *lists, formula(parse(i.text))))
    return _written(path, text.getvalue())


def hall_lines(store: Store, top: int) -> list[str]:
    """The best rules, a line each, under a header; none before any is scored."""
    hall = store.hall_of_fame(top)
    if not hall:
        return []
    rows = [(str(rank), f"{i.fitness:.4f}", i.id, formula(parse(i.text))) for rank, i in enumerate(hall, 1)]
    return list(aligned([("rank", "fitness", "born", "rule"), *rows]))


def formula(tree: File) -> str:
    """The update with its weights as numbers, then what else there is to know, on one line."""
    tree = tidied(tree)
    defaults = {item.name: item.default for item in tree.items if isinstance(item, ParamDecl)}
    outputs = {item.name: item.value for item in tree.items if isinstance(item, Output)}
    weights = {k: v for k, v in defaults.items() if k[0] == "a" and k[1:].isdigit()}
    genes = [f"{k}={number_of(defaults[k]):.4g}" for k in GENES_SHOWN if k in defaults]
    schedule = set(names(outputs["step_size"])) if "step_size" in outputs else set()
    extras = [word for word, sign in (("warmup", "warmup"), ("cosine", "total")) if sign in schedule]
    extras += ["clipped"] if "limit" in defaults else []
    numbers = {name: number(float(f"{number_of(value):.{DIGITS}g}")) for name, value in weights.items()}
    plain = {item.name: item.value for item in tree.items if isinstance(item, Let) and not _corrects(item.value)}
    own = [format_statement(i) for i in tree.items if isinstance(i, Assign) and format_statement(i) not in STANDARD]
    update = format_expr(plain_sum(filled(outputs["update"], numbers | plain)))
    return f"{'; '.join([*own, update])}   [{', '.join([*genes, *extras])}]"


def format_statement(statement: Assign) -> str:
    return f"{statement.name} <- {format_expr(statement.value)}"


def _corrects(value: Expr) -> bool:
    """Bias corrections keep the hats that papers give them."""
    return isinstance(value, Apply) and value.op == "div"
