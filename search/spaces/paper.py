"""The genome of arXiv:2512.11853, read off a parse tree and written back as one; how it changes is vary's business.

Every gene is in the text, the sleeping ones too (a warm-up length while warm-up is off), so that a child can wake what
its parent carried. Numbers are parameters' defaults; flags are the presence of lines; `read(write(genome)) == genome`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache, reduce

from ...dsl.recent import remembering
from ...dsl.text.expressions import Apply, Expr, Name
from ...dsl.text.syntax import Assign, File, Item, Let, Output, ParamDecl, StateDecl
from ...dsl.text.walking import names
from .trees import fragment, number, number_of, renamed, rounded

MAX_TERMS = 4
WEIGHT_LIMIT = 5.0


@dataclass(frozen=True)
class Gene:
    """A number of the genome: its declaration, its range, where it is born, and how far a mutation moves it.

    Where `log` is set, range, birth and spread speak of its decimal logarithm. A spread of 0 is never mutated.
    """

    name: str
    declaration: str
    low: float
    high: float
    birth: tuple[float, float]
    spread: float
    log: bool = False

    def inward(self, position: float) -> float:
        """The value at a position of the gene's own scale, brought into its range."""
        position = min(max(position, self.low), self.high)
        value = rounded(10.0**position if self.log else position)
        return float(round(value)) if " : int" in self.declaration else value


GENES: dict[str, Gene] = {
    gene.name: gene
    for gene in (
        Gene("lr", "param lr in [0, inf) ~ loguniform(1e-5, 1e-1)", -5, -1, (-4, -2), 1.0, log=True),
        Gene("beta1", "param beta1 in [0, 1) ~ uniform(0, 0.999)", 0, 0.999, (0.5, 0.99), 0.2),
        Gene("beta2", "param beta2 in [0, 1) ~ uniform(0, 0.9999)", 0, 0.9999, (0.9, 0.9999), 0.1),
        Gene("eps", "param eps in (0, inf) ~ loguniform(1e-10, 1e-4)", -10, -4, (-9, -6), 1.0, log=True),
        Gene("wd", "param wd in [0, inf) ~ loguniform(1e-6, 1e-2)", -6, -2, (-5, -3), 1.0, log=True),
        Gene("limit", "param limit in (0, inf) ~ uniform(0.5, 2)", 0.5, 2, (0.5, 2), 0.0),
        Gene("warmup", "param warmup : int in [1, inf) ~ uniform(50, 200)", 50, 200, (50, 200), 0.0),
    )
}


@dataclass(frozen=True)
class Flag:
    """A switch of the genome and how often it is born on."""

    name: str
    birth: float


FLAGS: dict[str, Flag] = {
    flag.name: flag
    for flag in (
        Flag("use_m", 0.7),
        Flag("use_v", 0.7),
        Flag("bias_correction", 0.6),
        Flag("clipping", 0.2),
        Flag("warmup", 0.3),
        Flag("cosine", 0.3),
    )
}

PRIMITIVES: dict[str, str] = {
    "grad": "g",
    "momentum": "m",
    "rms_norm": "g/(sqrt(v) + eps)",
    "adam_term": "m/(sqrt(v) + eps)",
    "sign_grad": "sign(g)",
    "unit_grad": "g/(abs(g) + eps)",
    "nesterov": "m + 0.9*(g - m)",
}
CORRECTED = {"m": "mhat", "v": "vhat"}


@dataclass(frozen=True)
class Term:
    primitive: str
    weight: float


@dataclass(frozen=True)
class Genome:
    """1 to 4 weighted terms, the value of every gene of GENES, and the flags that are on."""

    terms: tuple[Term, ...]
    values: Mapping[str, float]
    flags: frozenset[str]


# ---------------------------------------------------------------- genome to tree


def write(genome: Genome) -> File:
    """The genome as a `.opt` file's parse tree, numbers rounded to six digits; equal lines are one object."""
    numbers = [_set(GENES[name].declaration, value) for name, value in genome.values.items()]
    weights = [_set(_weight(k), term.weight) for k, term in enumerate(genome.terms, 1)]
    update = _update(tuple([term.primitive for term in genome.terms]), "bias_correction" in genome.flags)
    return File((fragment("optimizer Bred"), *numbers, *weights, *_switched(genome.flags), update))


@lru_cache(maxsize=4096)
def _set(declaration: str, value: float) -> ParamDecl:
    line = fragment(declaration)
    assert isinstance(line, ParamDecl)
    return replace(line, default=number(value))


def _weight(k: int) -> str:
    return f"param a{k} ~ uniform(-{WEIGHT_LIMIT:g}, {WEIGHT_LIMIT:g})"


@cache
def _switched(on: frozenset[str]) -> tuple[Item, ...]:
    """The lines that the flags bring."""
    lines = [
        *(["param total : int in [1, inf)"] if "cosine" in on else []),
        *(["state m = 0"] if "use_m" in on else []),
        *(["state v = 0"] if "use_v" in on else []),
        *(["g <- clip(g, -limit, limit)"] if "clipping" in on else []),
        "m <- beta1*m + (1 - beta1)*g" if "use_m" in on else "let m = g",
        "v <- beta2*v + (1 - beta2)*g^2" if "use_v" in on else "let v = g^2",
        *(_corrections(on) if "bias_correction" in on else []),
        *_schedule(on),
        "decay = wd",
    ]
    return tuple(map(fragment, lines))


def _corrections(on: frozenset[str]) -> list[str]:
    return [
        "let mhat = m/(1 - beta1^t)" if "use_m" in on else "let mhat = m",
        "let vhat = v/(1 - beta2^t)" if "use_v" in on else "let vhat = v",
    ]


def _schedule(on: frozenset[str]) -> list[str]:
    """The paper's schedule counts its steps from 0, `t` from 1."""
    factors = ["min(1, t/warmup)"] if "warmup" in on else []
    factors += ["0.5*(1 + cos(pi*(t - 1)/total))"] if "cosine" in on else []
    return [f"step_size = {'*'.join(['lr', *factors])}"] if factors else []


@lru_cache(maxsize=4096)
def _update(primitives: tuple[str, ...], corrected: bool) -> Output:
    terms = [Apply("mul", (Name(f"a{k}"), _spelled(primitive, corrected))) for k, primitive in enumerate(primitives, 1)]
    return Output("update", reduce(lambda total, term: Apply("add", (total, term)), terms))


@cache
def _spelled(primitive: str, corrected: bool) -> Expr:
    line = fragment(f"update = {PRIMITIVES[primitive]}")
    assert isinstance(line, Output)
    return renamed(line.value, CORRECTED) if corrected else line.value


# ---------------------------------------------------------------- tree to genome


@remembering
def read(tree: File) -> Genome:
    """The genome that `write` made the tree of. Raises ValueError for a tree of another shape."""
    defaults = {item.name: item.default for item in tree.items if isinstance(item, ParamDecl)}
    states = {item.name for item in tree.items if isinstance(item, StateDecl)}
    lets = {item.name for item in tree.items if isinstance(item, Let)}
    assigned = {item.name for item in tree.items if isinstance(item, Assign)}
    outputs = {item.name: item.value for item in tree.items if isinstance(item, Output)}
    scheduled = set(names(outputs["step_size"])) if "step_size" in outputs else set()
    present = {
        "use_m": "m" in states,
        "use_v": "v" in states,
        "bias_correction": "mhat" in lets,
        "clipping": "g" in assigned,
        "warmup": "warmup" in scheduled,
        "cosine": "total" in scheduled,
    }
    try:
        values = {name: number_of(defaults[name]) for name in GENES}
        terms = tuple(_term(part, defaults) for part in _summands(outputs["update"]))
    except KeyError as error:
        raise ValueError(f"not a rule of the paper's space: it lacks {error}") from None
    return Genome(terms, values, frozenset(name for name, on in present.items() if on))


def _summands(value: Expr) -> list[Expr]:
    parts: list[Expr] = []
    while isinstance(value, Apply) and value.op == "add":
        value, last = value.args
        parts.append(last)
    return [value, *reversed(parts)]


@cache
def _primitives() -> dict[Expr, str]:
    return {_spelled(name, corrected): name for name in PRIMITIVES for corrected in (False, True)}


def _term(part: Expr, defaults: Mapping[str, Expr | None]) -> Term:
    match part:
        case Apply("mul", (Name(weight), factor)):
            if (primitive := _primitives().get(factor)) is not None:
                return Term(primitive, number_of(defaults[weight]))
    raise ValueError("not a rule of the paper's space: its update is no sum of weighted primitives")


# ---------------------------------------------------------------- where a search begins

_PLAIN = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "wd": 0.0, "limit": 1.0, "warmup": 100.0}


def _founder(primitive: str, flags: str, **values: float) -> Genome:
    return Genome((Term(primitive, 1.0),), _PLAIN | values, frozenset(flags.split()))


FOUNDERS: dict[str, Genome] = {
    "sgd_momentum": _founder("momentum", "use_m", lr=1e-2),
    "adam": _founder("adam_term", "use_m use_v bias_correction"),
    "adamw": _founder("adam_term", "use_m use_v bias_correction", wd=1e-2),
    "rmsprop": _founder("rms_norm", "use_v", beta2=0.99),
}
