"""Hidden rules to evaluations until a search has found them again, starting from plain gradient descent.

    python examples/hidden_rules.py --out docs/results/hidden_rules.json      # goes on where it was interrupted

A candidate's score is how far its moves agree with the hidden rule's on made-up gradients: the measure of the task
`imitate:RULE`, here computed by the float64 interpreter, without compiling. Found means an agreement of 0.99. The
searches were improved with an eye on some of the rules; the others were written down before, and only looked at after.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from optc.dsl.diagnostics import OptError
from optc.dsl.meaning.interpret import settings
from optc.dsl.text.parser import parse
from optc.dsl.text.syntax import File
from optc.search.evolve.evolve import evolve
from optc.search.evolve.population import Candidate, Merit
from optc.search.evolve.selection import Breeding
from optc.search.runs.export import formula
from optc.search.seeds import generator
from optc.search.spaces.dials import Dials
from optc.search.spaces.expression import PRELUDE, founder
from optc.search.spaces.gates import NAMES, Gatekeeper
from optc.search.spaces.keys import rule_of
from optc.search.spaces.space import FREE, SPACES
from optc.search.spaces.trees import unplaced
from optc.search.tasks.imitation import SCALES, SHAPE, WEIGHT_SIZE, Agreement, moves

STEPS = 10
FOUND = 0.99


class Hidden(NamedTuple):
    """An update, and what to exchange in the text of the standard averages for those that it needs."""

    update: str
    exchanged: tuple[tuple[str, str], ...] = ()
    looked_at: bool = False

    @property
    def space(self) -> str:
        """The smallest space that has it."""
        return "program" if self.exchanged else "expression"

    def tree(self) -> File:
        text = PRELUDE + self.update
        for old, new in self.exchanged:
            text = text.replace(old, new)
        return unplaced(parse(text))


M, V = "m <- beta1*m + (1 - beta1)*g", "v <- beta2*v + (1 - beta2)*g^2"
SLOW = "s <- 0.99*s + 0.01*g"
HIDDEN = {
    "signum": Hidden("sign(m)", looked_at=True),
    "normalised": Hidden("m/(sqrt(v) + eps)", looked_at=True),
    "adam": Hidden("mhat/(sqrt(vhat) + eps)", looked_at=True),
    "lion": Hidden("sign(0.9*m + 0.1*g)", looked_at=True),
    "powersign": Hidden("g*exp(sign(g)*sign(m))", looked_at=True),
    "cautious": Hidden("where(g*m > 0, m/(sqrt(v) + eps), 0)", looked_at=True),
    "adamax": Hidden("m/(v + eps)", ((V, "v <- max(beta2*v, abs(g))"),), looked_at=True),
    "twice": Hidden("s", (("state v", "state s = 0\nstate v"), (V, f"s <- 0.9*s + 0.1*m\n{V}")), looked_at=True),
    "made up": Hidden("sign(g) + 2*m/(sqrt(v) + eps)", looked_at=True),
    "grams": Hidden("abs(m)*sign(g)", looked_at=True),
    "nadam": Hidden("(0.9*mhat + 0.1*g)/(sqrt(vhat) + eps)", looked_at=True),
    "soft": Hidden("m/(abs(m) + sqrt(v))", looked_at=True),
    "cube root": Hidden("mhat/cbrt(vhat)", looked_at=True),
    "belief": Hidden("m/(sqrt(abs(v - square(m))) + eps)", looked_at=True),
    "mean absolute": Hidden("m/(v + eps)", ((V, "v <- beta2*v + (1 - beta2)*abs(g)"),), looked_at=True),
    "sign average": Hidden("m", ((M, "m <- beta1*m + (1 - beta1)*sign(g)"),), looked_at=True),
    "adabelief": Hidden("m/(sqrt(v) + eps)", ((V, "v <- beta2*v + (1 - beta2)*(g - m)^2"),), looked_at=True),
    "root": Hidden("sign(m)*sqrt(abs(m))", looked_at=True),
    "saturating": Hidden("tanh(2*m/(sqrt(v) + eps))", looked_at=True),
    "between": Hidden("mhat/(abs(mhat) + abs(g) + eps)", looked_at=True),
    "rmsprop": Hidden("g/(sqrt(v) + eps)", looked_at=True),
    "nesterov": Hidden("g + 0.9*m", looked_at=True),
    "weighted": Hidden("0.73*sign(g) + 3.63*m/(sqrt(v) + eps)", looked_at=True),
    "steep": Hidden("tanh(10*m)", looked_at=True),
    "tight": Hidden("clip(m, -0.01, 0.01)", looked_at=True),
    "addsign": Hidden("g*(2 + sign(g)*sign(m))"),
    "half hearted": Hidden("where(g*m > 0, m, 0.1*m)"),
    "fading": Hidden("mhat/((sqrt(vhat) + eps)*sqrt(t))"),
    "pulled": Hidden("g/(sqrt(v) + eps) + theta"),
    "clipped": Hidden("clip(g, -0.1, 0.1)"),
    "two speeds": Hidden("0.5*m + g/(sqrt(vhat) + eps)"),
    "amsgrad": Hidden("m/(sqrt(v) + eps)", ((V, "v <- max(v, g^2)"),), looked_at=True),
    "heavy ball": Hidden("0.9*m + g", ((M, "m <- beta1*m + g"),)),
    "signed speed": Hidden("sign(g)*sqrt(v)"),
    "clipped ratio": Hidden("clip(m/(sqrt(v) + eps), -1, 1)"),
    "squared": Hidden("m*abs(g)"),
    "blend": Hidden("(m + 0.5*g)/(sqrt(v) + eps)"),
    "late": Hidden("sign(m)*min(1, t/5)"),
    "weights": Hidden("0.3*sign(g) + 0.7*tanh(3*m)"),
    "two momenta": Hidden("(m + 5*s)/(sqrt(v) + eps)", (("state v", "state s = 0\nstate v"), (V, f"{SLOW}\n{V}"))),
    "centred": Hidden("m/(sqrt(abs(v - s^2)) + eps)", (("state v", "state s = 0\nstate v"), (V, f"{SLOW}\n{V}"))),
}
BREEDING = Breeding(**{**FREE, "generations": 10_000}, elites=0)

Array = npt.NDArray[np.float64]


class Teacher:
    """A hidden rule's moves on made-up gradients, and how far others agree."""

    def __init__(self, tree: File) -> None:
        rng = generator("hidden", "gradients")
        scale, mean = 10.0 ** rng.uniform(*SCALES, SHAPE), rng.standard_normal(SHAPE)
        self.gradients = scale * (mean + rng.standard_normal((STEPS, *SHAPE)))
        self.start = WEIGHT_SIZE * rng.standard_normal(SHAPE)
        self.wanted = self.moves(tree)

    def moves(self, tree: File) -> Array:
        rule = rule_of(tree)
        return moves(rule, settings(rule), self.start, self.gradients)

    def agreement(self, tree: File) -> float:
        """-1 for a rule that cannot be run or is not finite."""
        found = Agreement()
        try:
            with np.errstate(all="ignore"):
                found.add(self.moves(tree), self.wanted)
        except (OptError, ArithmeticError, ValueError):
            return -1.0
        return found.score if np.isfinite(found.score) else -1.0


def blurred(tree: File, seed: int, off: float) -> File:
    """The tree with every constant some steps off: as a search has it that knows the form, and must tune it."""
    dials = Dials.of(tree, literals=True)
    return dials.turned((off * generator("hidden", "off", seed).standard_normal(len(dials))).tolist())


def search(hidden: Hidden, seed: int, most: int, drafts: int, off: float) -> dict[str, Any]:
    """What a search comes to: its evaluations, best agreement and rule, and the processor's seconds."""
    teacher, known = Teacher(hidden.tree()), dict[str, Merit]()
    best, rule = -1.0, founder("g")

    def score(candidates: Sequence[Candidate]) -> list[Merit]:
        nonlocal best, rule
        for candidate in candidates:
            if candidate.id in known or best >= FOUND or len(known) == most:
                continue
            known[candidate.id] = Merit(0, teacher.agreement(candidate.tree))
            if known[candidate.id].fitness > best:
                best, rule = known[candidate.id].fitness, candidate.tree
        return [known.get(candidate.id, Merit(0, -1.0)) for candidate in candidates]

    start = time.process_time()
    founders = {"sgd": founder("g")} | ({"blurred": blurred(hidden.tree(), seed, off)} if off else {})
    opened = replace(SPACES[hidden.space], founders=founders)
    breeding, gates = replace(BREEDING, tune_drafts=drafts), Gatekeeper(NAMES, STEPS)
    for _ in evolve(opened, breeding, seed, gates, score, forget=gates.forget, traits=gates.traits):
        if best >= FOUND or len(known) >= most:
            break
    seconds = round(time.process_time() - start, 1)
    return {"seed": seed, "evaluations": len(known), "agreement": best, "rule": formula(rule), "seconds": seconds}


def table(searches: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """A line for each rule, and how often those that were looked at, and the others, were found."""
    for name, found in searches.items():
        counts = sorted(one["evaluations"] for one in found if one["agreement"] >= FOUND)
        nearest = min(one["agreement"] for one in found)
        yield f"{name:14} found {len(counts)} of {len(found)} times, after {counts}; the worst agreed to {nearest:.3f}"
    for looked_at, who in ((True, "looked at"), (False, "not looked at")):
        ones = [one for name in searches if HIDDEN[name].looked_at == looked_at for one in searches[name]]
        if ones:
            yield f"{who:14} found {sum(one['agreement'] >= FOUND for one in ones)} of {len(ones)} times"


@click.command()
@click.option("--rules", default=",".join(HIDDEN), help="Which of the hidden rules, with commas between them.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1), help="Searches for each rule.")
@click.option("--most", default=1500, show_default=True, type=click.IntRange(1), help="Evaluations of a search.")
@click.option("--drafts", default=8, show_default=True, type=click.IntRange(1), help="Drafts of a trial of tuning.")
@click.option("--off", default=0.0, help="Begin beside the hidden rule, its constants so many widths of a prior off.")
@click.option("--out", type=click.Path(path_type=Path), help="Write everything as JSON, and go on with what is there.")
def main(rules: str, seeds: int, most: int, drafts: int, off: float, out: Path | None) -> None:
    """Look for hidden rules, starting from plain gradient descent."""
    about = {
        "steps": STEPS,
        "found": FOUND,
        "most": most,
        "drafts": drafts,
        "off": off,
        "hidden": {name: row._asdict() for name, row in HIDDEN.items()},
    }
    about = json.loads(json.dumps(about))
    known = json.loads(out.read_text()) if out and out.exists() else about | {"searches": {}}
    if {key: known.get(key) for key in about} != about:
        raise click.ClickException(f"{out} holds other searches than these; choose another file")
    searches: dict[str, list[dict[str, Any]]] = known["searches"]
    for seed in range(seeds):
        for name in rules.split(","):
            if seed not in {one["seed"] for one in searches.setdefault(name, [])}:
                searches[name].append(search(HIDDEN[name], seed, most, drafts, off))
                if out:
                    out.write_text(json.dumps(known, indent=1) + "\n")
    click.echo("\n".join(table(searches)))


if __name__ == "__main__":
    main()
