"""What a user names (a file, `zoo:adamw`, `torch:AdamW`, a run's folder) to a rule that can be tuned and trained.

An entrant's text says everything that a worker needs: `.opt` text with its constants, or torch's class with its own.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn, optim

from ...dsl.checks.check import check
from ...dsl.load import ZOO, file_at, rule_from_file, zoo
from ...dsl.rule import Interval, Param, Prior, Rule, Value
from ...dsl.text.expand import expand
from ...dsl.text.format import format_file
from ...dsl.text.parser import parse
from ...dsl.text.spelling import literal
from ...dsl.text.syntax import Item, Optimizer, ParamDecl, Use
from ...dsl.writing import file_of, prior_of
from ..config import ConfigError
from ..faults import did_you_mean
from ..training.build import MakeOptimizer, optimizer_of

ZOO_PREFIX, TORCH_PREFIX = "zoo:", "torch:"
BEST = "best.opt"


@dataclass(frozen=True)
class Entrant:
    """A rule in a contest. `params` are its hyperparameters, `text` what it is with their defaults."""

    name: str
    text: str
    params: tuple[Param, ...]

    @property
    def in_torch(self) -> bool:
        return self.text.startswith(TORCH_PREFIX)

    def defaults(self) -> dict[str, Value]:
        return {p.name: p.default for p in self.params if p.default is not None}

    def with_values(self, values: Mapping[str, Value], priors: Mapping[str, Prior] | None = None) -> Entrant:
        """The entrant with other defaults, and with other priors where they are given."""
        priors = priors or {}
        params = tuple(
            replace(p, default=values.get(p.name, p.default), prior=priors.get(p.name, p.prior)) for p in self.params
        )
        text = _torch_text(self.text, params) if self.in_torch else _with_declarations(self.text, values, priors)
        return replace(self, text=text, params=params)


def entrants(sources: Sequence[str | Entrant]) -> list[Entrant]:
    """The entrants that sources name or are, one a text, under names of their own. Raises OptError, ConfigError."""
    out: dict[str, Entrant] = {}
    for source in sources:
        entrant = source if isinstance(source, Entrant) else entrant_of(source)
        if any(entrant.text == other.text for other in out.values()):
            continue
        name, number = entrant.name, 2
        while name in out:
            name, number = f"{entrant.name}-{number}", number + 1
        out[name] = replace(entrant, name=name)
    return list(out.values())


def entrant_of(source: str) -> Entrant:
    """The entrant that a source names. Raises OptError, ConfigError."""
    if source.startswith(TORCH_PREFIX):
        return _from_torch(source.removeprefix(TORCH_PREFIX))
    if source.startswith(ZOO_PREFIX):
        name = source.removeprefix(ZOO_PREFIX)
        return _from_rule(zoo(name), ZOO / f"{name}.opt")
    path = Path(source)
    if path.is_dir():
        path = path / BEST
    return _from_rule(rule_from_file(path), path)


def maker(text: str) -> MakeOptimizer:
    """The optimizer of an entrant's text. Raises OptError, ValueError."""
    return _torch_maker(text) if text.startswith(TORCH_PREFIX) else optimizer_of(text)


def from_text(text: str, name: str | None = None) -> Entrant:
    """The entrant of a rule's text. Raises OptError."""
    rule = check(parse(text))
    return Entrant(name or rule.name, text, rule.params)


# ---------------------------------------------------------------- rules


def _from_rule(rule: Rule, path: Path) -> Entrant:
    """A text that stands alone: the file's own, or, where it uses files beside it, the rule with all of it inlined."""
    tree = expand(file_at(path))
    if any(isinstance(item, Use) and item.quoted for item in tree.items):
        if rule.applies is not None and rule.applies.otherwise is not None:
            raise ConfigError(f"{path} uses files beside it and has an `otherwise`: write it as one file to compare it")
        tree = file_of(rule)
    if not any(isinstance(item, Optimizer) for item in tree.items):
        tree = replace(tree, items=(Optimizer(rule.name), *tree.items))
    return Entrant(rule.name, format_file(tree), rule.params)


def _with_declarations(text: str, values: Mapping[str, Value], priors: Mapping[str, Prior]) -> str:
    tree = parse(text)
    items = tuple(_declared(item, values, priors) if isinstance(item, ParamDecl) else item for item in tree.items)
    made = replace(tree, items=items)
    check(made)
    return format_file(made)


def _declared(item: ParamDecl, values: Mapping[str, Value], priors: Mapping[str, Prior]) -> Item:
    if item.name in values:
        item = replace(item, default=literal(values[item.name]))
    if item.name in priors:
        item = replace(item, prior=prior_of(priors[item.name]))
    return item


# ---------------------------------------------------------------- torch.optim

_POSITIVE, _SHARE = Interval(0, float("inf"), True, True), Interval(0, 1, False, True)
_AVERAGE = Prior("loguniform", (1e-3, 0.5), 1.0)
ARGUMENTS: dict[str, tuple[Interval, Prior]] = {
    "lr": (_POSITIVE, Prior("loguniform", (1e-5, 1e-1))),
    "momentum": (_SHARE, _AVERAGE),
    "beta1": (_SHARE, _AVERAGE),
    "beta2": (_SHARE, Prior("loguniform", (1e-4, 0.2), 1.0)),
    "alpha": (_SHARE, _AVERAGE),
    "rho": (_SHARE, _AVERAGE),
    "eps": (_POSITIVE, Prior("loguniform", (1e-12, 1e-4))),
    "weight_decay": (Interval(0, float("inf"), False, True), Prior("loguniform", (1e-6, 1e-2))),
}
"""How the arguments of torch's optimizers are tuned, whichever optimizer has them; `betas` are beta1 and beta2."""
RATES: dict[str, tuple[float, float]] = {"SGD": (1e-4, 1.0), "Adagrad": (1e-4, 1.0), "Adadelta": (1e-3, 10.0)}
"""Learning rates of optimizers whose updates are not of size 1."""
UNFIT = ("Optimizer", "LBFGS", "SparseAdam")


def torch_names() -> list[str]:
    """The optimizers of torch that take a dense gradient and no closure."""
    found = [
        name for name, value in vars(optim).items() if inspect.isclass(value) and issubclass(value, optim.Optimizer)
    ]
    return sorted(name for name in found if name not in UNFIT)


def _from_torch(name: str) -> Entrant:
    if name not in torch_names():
        there = did_you_mean(name, torch_names()) or f"; there is {', '.join(torch_names())}"
        raise ConfigError(f"torch.optim has no `{name}` that can be compared{there}")
    params: list[Param] = []
    for argument, default in _signature(name).items():
        split = dict(zip(("beta1", "beta2"), default, strict=False)) if argument == "betas" else {argument: default}
        for key, value in split.items():
            if key in ARGUMENTS and isinstance(value, int | float):
                interval, prior = ARGUMENTS[key]
                prior = replace(prior, args=RATES[name]) if key == "lr" and name in RATES else prior
                params.append(Param(key, "real", float(value), interval, prior))
    return Entrant(f"torch.{name}", _torch_text(TORCH_PREFIX + name, params), tuple(params))


@cache
def _signature(name: str) -> Mapping[str, Any]:
    return {key: p.default for key, p in inspect.signature(getattr(optim, name).__init__).parameters.items()}


def _torch_text(text: str, params: Iterable[Param]) -> str:
    return f"{text.split(' ')[0]} {json.dumps({p.name: p.default for p in params})}"


def _torch_maker(text: str) -> MakeOptimizer:
    name, _, values = text.removeprefix(TORCH_PREFIX).partition(" ")
    arguments: dict[str, Any] = json.loads(values)
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"), *_signature(name)["betas"][2:])
    optimizer_class = getattr(optim, name)

    def make(parameters: Iterable[nn.Parameter], steps: int) -> optim.Optimizer:
        made: optim.Optimizer = optimizer_class(parameters, **arguments)
        return made

    return make
