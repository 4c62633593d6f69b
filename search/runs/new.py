"""A space and tasks to a configuration file that explains itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..config import ConfigError, checked
from ..evolve.selection import SELECTIONS
from ..files import write_whole
from ..spaces.gates import NAMES
from ..spaces.space import SPACES
from ..tasks.task import TASKS

WIDTH = 100
TEMPLATE = """\
# A search for optimizers. Start it:            optsearch run {path}
# What it would cost, without starting it:      optsearch run {path} --dry-run
# Any key may be changed on the command line:   optsearch run {path} --set search.population=20

seed = 0                       # everything random follows from it

[search]
space = "{space}"              # {spaces}
population = {search.population}                # rules in a generation
generations = {search.generations}
selection = "{search.selection}"       # {selections}
elites = 3                     # the best live on unchanged; under "islands", of each island
tournament = {search.tournament}                 # each parent is the best of so many drawn rules
children = 0                   # births a generation under "aging" and "pareto"; 0: a fifth of the population, all of it
crossover = {search.crossover:g}            # the share of children with two parents
islands = 4                    # under "islands": how many, and after how many generations the worse half
restart = 10                   # begins again with a rule of the better half
objectives = [{objectives}] # what "pareto" selects by
tune_every = {search.tune_every}                 # after every so many generations (0: never), the constants of
tune_top = {search.tune_top}                   # so many of the best rules are tuned inside their skeletons,
tune_trials = {search.tune_trials}               # with so many trials each, by an evolution strategy,
tune_drafts = {search.tune_drafts}                # each the one of so many that promises most, by what others scored
patience = {search.patience}                   # after so many generations without a better rule (0: never)
                               # a fresh population begins; once that is stuck too, the two breed as one
control = ""                   # "random", "constants": children that are not bred; see optsearch control
founders = []                  # rules to begin with: names of the zoo, or .opt files; empty: the space's own
# Rules that are refused without any training, and why; [] trains everything:
gates = [{gates}]

[training]
# {tasks_known}
tasks = [{tasks}]
steps = 500                    # of every training run
batch = 128
rungs = []                     # [0.11, 0.33]: schedules of these shares of `steps` first; a rule goes on only if it
hurdle = 0.5                   # scores over this quantile of those that were on that rung before
seeds = 2                      # training runs of a rule on each task; its fitness is the mean
train_images = 0               # 0: all of the 80% that are learnt from
validation_images = 0          # 0: all of the 10% that fitness is measured on
precision = "float32"          # "bfloat16" trains twice as fast on most CPUs

[machine]
pool = "processes"             # "inline": all in one process, for debugging; "ray": a cluster (optc[ray])
address = ""                   # of the Ray cluster; "auto": the one at hand; "": one is started on this machine
together = 0                   # rules that a worker trains side by side; 0: 1 on a CPU, 16 on a CUDA device
workers = 0                    # 0: as many as there are cores; results do not depend on it
threads = 1                    # of each worker; results do depend on it, in the last bits
device = "auto"                # "cpu", "cuda", "cuda:1", ...
timeout = 3600.0               # seconds after which a training run is given up
memory = 0.0                   # GiB a worker may take beyond what it starts with, for rules that eat it; 0: any number
cache = false                  # true: share the scores of training runs with your other searches, to the same bits
"""


def template(path: Path, space: str, tasks: Sequence[str]) -> str:
    """The text of a commented configuration with a space's own defaults. Raises ConfigError for an unknown name."""
    search = checked({"search": {"space": space}, "training": {"tasks": tasks}}, "the command line").search
    text = TEMPLATE.format(
        path=path,
        space=space,
        spaces=", ".join(SPACES),
        gates=", ".join(f'"{name}"' for name in NAMES),
        tasks=", ".join(f'"{name}"' for name in tasks),
        search=search,
        selections=", ".join(SELECTIONS),
        objectives=", ".join(f'"{name}"' for name in search.objectives),
        tasks_known=_wrapped("one or more of: " + ", ".join(TASKS)),
    )
    return "\n".join(_aligned(line) for line in text.splitlines()) + "\n"


def _wrapped(text: str) -> str:
    import textwrap

    return "\n# ".join(textwrap.wrap(text, WIDTH))


def _aligned(line: str) -> str:
    """A key's comment in the column of the others, whatever its value's length."""
    key, mark, comment = line.partition("  # ")
    return f"{key.rstrip():30} # {comment.strip()}" if mark and not line.startswith("#") else line


def write_template(path: Path, space: str, tasks: Sequence[str]) -> None:
    """A new file. Raises ConfigError where there is one already, or it cannot be written."""
    text = template(path, space, tasks)
    if path.exists():
        raise ConfigError(f"{path} is there already; choose another name")
    try:
        write_whole(path, text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
