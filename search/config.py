"""A run's TOML file to its checked configuration, or everything that is wrong with it at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .faults import did_you_mean, fault


class ConfigError(Exception):
    """A configuration that cannot be used; the message lists every fault, one a line."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Search(Section):
    """How rules are bred. The defaults are those of arXiv:2512.11853; `Space.defaults` has a space's own."""

    space: str = "paper"
    population: StrictInt = Field(default=50, ge=2, le=100_000)
    generations: StrictInt = Field(default=50, ge=1, le=1_000_000)
    elites: StrictInt = Field(default=3, ge=0)
    tournament: StrictInt = Field(default=4, ge=1)
    selection: str = "tournament"
    children: StrictInt = Field(default=0, ge=0)
    crossover: StrictFloat = Field(default=1.0, ge=0, le=1)
    islands: StrictInt = Field(default=4, ge=2)
    restart: StrictInt = Field(default=10, ge=1)
    objectives: tuple[str, ...] = ("fitness", "complexity", "memory")
    control: str = ""
    tune_every: StrictInt = Field(default=0, ge=0)
    tune_top: StrictInt = Field(default=1, ge=1)
    tune_trials: StrictInt = Field(default=16, ge=1, le=100_000)
    tune_drafts: StrictInt = Field(default=1, ge=1)
    patience: StrictInt = Field(default=0, ge=0)
    founders: tuple[str, ...] = ()
    gates: tuple[str, ...] = ("finite", "moves", "small", "descends", "listens", "new")

    @model_validator(mode="before")
    @classmethod
    def _as_the_space_is_searched(cls, data: Any) -> Any:
        from .spaces.space import SPACES

        space = data.get("space") if isinstance(data, dict) else None
        if isinstance(space, str) and space in SPACES:
            return {**SPACES[space].defaults, **data}
        return data

    @field_validator("space", "gates", "selection", "control", "objectives")
    @classmethod
    def _known(cls, given: Any, info: ValidationInfo) -> Any:
        kind, known = _named()[str(info.field_name)]
        for name in (given,) if isinstance(given, str) else given:
            if name not in known:
                there = did_you_mean(name, known) or f"; there is {', '.join(filter(None, known))}"
                raise ValueError(f"no {kind} `{name}`{there}")
        return given

    @field_validator("objectives")
    @classmethod
    def _with_fitness(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "fitness" not in names:
            raise ValueError("one of them must be fitness")
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _room_for_children(self) -> Search:
        population, elites = self.population, self.elites
        if elites >= population:
            raise ValueError(f"elites ({elites}) must be fewer than the population ({population})")
        if self.selection == "islands" and (elites + 1) * self.islands > population:
            needed = (
                f"{self.islands} islands with {elites} elites each need a population of {(elites + 1) * self.islands}"
            )
            raise ValueError(f"{needed} at least; it is {population}")
        if self.children and self.selection in ("tournament", "islands"):
            raise ValueError(f"children: under `{self.selection}` all but the elites are children; set elites instead")
        if self.children > population and self.selection == "aging":
            raise ValueError(f"children ({self.children}) cannot be more than the population ({population})")
        return self


class Training(Section):
    """What a rule is judged on: every task with every seed, `steps` steps each. An image limit of 0 means all.

    `rungs` are shorter schedules that a rule must do well on first, as shares of `steps`: better than the quantile
    `hurdle` of those that were there before.
    """

    tasks: tuple[str, ...] = ("digits",)
    steps: StrictInt = Field(default=500, ge=1, le=100_000_000)
    batch: StrictInt = Field(default=128, ge=1, le=10_000_000)
    seeds: StrictInt = Field(default=2, ge=1, le=10_000)
    rungs: tuple[float, ...] = ()
    hurdle: StrictFloat = Field(default=0.5, ge=0, le=1)
    train_images: StrictInt = Field(default=0, ge=0)
    validation_images: StrictInt = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("at least one task is needed")
        if len(set(names)) != len(names):
            raise ValueError("a task is named twice")
        return tuple(map(_task, names))

    @field_validator("rungs")
    @classmethod
    def _rising(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if list(shares) != sorted(set(shares)) or not all(0 < share < 1 for share in shares):
            raise ValueError("rungs are shares of `steps` between 0 and 1, each larger than the one before")
        return shares


class Machine(Section):
    """Where training runs. `workers` 0 fills the cores; `threads` are each worker's, and the only setting here that
    results depend on; `timeout` is how many seconds one training run may take before it is given up, 0 for ever;
    `memory` is how many GiB each worker on a CPU may take beyond what it starts with, 0 for any number;
    `cache` shares the scores of training runs with the user's other searches; `address` is that of a Ray cluster,
    `auto` the one at hand, and empty starts one here; `together` is how many rules a worker trains side by side, 0 for
    1 on a CPU and 16 on a CUDA device."""

    pool: Literal["processes", "inline", "ray"] = "processes"
    address: str = ""
    together: StrictInt = Field(default=0, ge=0, le=1024)
    workers: StrictInt = Field(default=0, ge=0, le=1024)
    threads: StrictInt = Field(default=1, ge=1, le=256)
    device: str = "auto"
    timeout: StrictFloat = Field(default=3600.0, ge=0)
    memory: StrictFloat = Field(default=0.0, ge=0, le=1e6)
    cache: StrictBool = False

    @field_validator("device")
    @classmethod
    def _known_device(cls, name: str) -> str:
        import torch

        if name == "auto":
            return name
        try:
            float(torch.zeros((), device=name))  # `meta` has no numbers
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0].partition(". ")[0]
            raise ValueError(f"no such device here: `{name}` ({why})") from None
        return name


class Config(Section):
    """A whole run. Equal configurations give equal halls of fame, whatever the number of workers."""

    name: str = Field(default="search", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: StrictInt = Field(default=0, ge=0)
    search: Search = Search()
    training: Training = Training()
    machine: Machine = Machine()


def _task(name: str) -> str:
    from .tasks.data import DataError
    from .tasks.own import absolute, is_own
    from .tasks.task import TASKS

    name = absolute(name) if is_own(name) else name
    try:
        TASKS[name]
    except DataError as error:
        near = "" if is_own(name) else did_you_mean(name, TASKS)
        raise ValueError(f"no task `{name}`{near}" if near else str(error)) from None
    return name


def _named() -> dict[str, tuple[str, Sequence[str]]]:
    """The settings of [search] that name something: what, and the names there are."""
    from .evolve.control import CONTROLS
    from .evolve.selection import OBJECTIVES, SELECTIONS
    from .spaces.gates import NAMES
    from .spaces.space import SPACES

    return {
        "space": ("space", [*SPACES]),
        "gates": ("gate", NAMES),
        "selection": ("selection", [*SELECTIONS]),
        "control": ("control", ["", *CONTROLS]),
        "objectives": ("objective", [*OBJECTIVES]),
    }


# ---------------------------------------------------------------- reading


def read_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a TOML file, changed by `section.key=value` overrides. Raises ConfigError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    data.setdefault("name", re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-_.") or "search")
    for override in overrides:
        _apply(data, override)
    return checked(data, str(path))


def checked(data: Mapping[str, Any], where: str) -> Config:
    """The configuration that plain data is. Raises ConfigError with every fault."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        faults = "\n".join(f"  {fault(detail, _fields())}" for detail in error.errors())
        count = "a fault" if error.error_count() == 1 else f"{error.error_count()} faults"
        raise ConfigError(f"{where} has {count}:\n{faults}") from None


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise ConfigError(f"--set {override}: write it as section.key=value, such as search.population=20")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override}: `{section}` is no section")
    place[last] = _value(text.strip())


def _value(text: str) -> Any:
    """A TOML value, such as `["mnist"]`; a plain word is taken as a string."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _fields() -> list[str]:
    """Every key of a configuration, with its section."""
    found = []
    for name, field in Config.model_fields.items():
        found.append(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found += [f"{name}.{key}" for key in field.annotation.model_fields]
    return found


# ---------------------------------------------------------------- writing


def to_toml(config: Config) -> str:
    """The configuration with every default written out; reading it gives an equal one."""
    data = config.model_dump()
    lines = [f"{key} = {_toml(value)}" for key, value in data.items() if not isinstance(value, dict)]
    for name, section in data.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
