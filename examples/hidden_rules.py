"""Hidden rules to evaluations until a search has found them again, starting from plain gradient descent.

    python examples/hidden_rules.py --seeds 3 --out docs/results/hidden_rules.json

A candidate's score is how far its moves agree with the hidden rule's on made-up gradients: the measure of the task
`imitate:RULE`, here computed by the float64 interpreter, without compiling. Found means an agreement of 0.99.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from optc.dsl.checks.check import check
from optc.dsl.diagnostics import OptError
from optc.dsl.meaning.interpret import initial_states, settings, step
from optc.dsl.rule import Rule
from optc.dsl.text.syntax import File
from optc.search.evolve.evolve import evolve
from optc.search.evolve.population import Candidate, Merit
from optc.search.evolve.selection import Breeding
from optc.search.runs.export import formula
from optc.search.seeds import generator
from optc.search.spaces.expression import founder
from optc.search.spaces.gates import NAMES, Gatekeeper
from optc.search.spaces.space import SPACES
from optc.search.spaces.trees import tidied
from optc.search.tasks.imitation import SCALES, SHAPE, WEIGHT_SIZE, Agreement

STEPS = 10
FOUND = 0.99
HIDDEN = {
    "signum": "sign(m)",
    "normalised": "m/(sqrt(v) + eps)",
    "adam": "mhat/(sqrt(vhat) + eps)",
    "lion": "sign(0.9*m + 0.1*g)",
    "powersign": "g*exp(sign(g)*sign(m))",
    "cautious": "where(g*m > 0, m/(sqrt(v) + eps), 0)",
    "made up": "sign(g) + 2*m/(sqrt(v) + eps)",
}
BREEDING = Breeding(
    population=100, generations=10_000, elites=0, tournament=3, selection="pareto", crossover=0.2,
    objectives=("fitness", "complexity"), tune_every=3, tune_top=3, tune_trials=30,
)  # fmt: skip

Array = npt.NDArray[np.float64]


class Teacher:
    """A hidden rule's moves on made-up gradients, and how far others agree."""

    def __init__(self, tree: File) -> None:
        rng = generator("hidden", "gradients")
        scale, mean = 10.0 ** rng.uniform(*SCALES, SHAPE), rng.standard_normal(SHAPE)
        self.gradients = scale * (mean + rng.standard_normal((STEPS, *SHAPE)))
        self.start = WEIGHT_SIZE * rng.standard_normal(SHAPE)
        self.wanted = self.moves(check(tree))

    def moves(self, rule: Rule) -> Array:
        theta, setting = self.start, settings(rule)
        states, moves = initial_states(rule, setting, theta), []
        for t, gradient in enumerate(self.gradients, 1):
            before = theta
            theta, states = step(rule, setting, theta, gradient, states, t)
            moves.append(before - theta)
        return np.stack(moves)

    def agreement(self, tree: File) -> float:
        """-1 for a rule that cannot be run or is not finite."""
        found = Agreement()
        try:
            with np.errstate(all="ignore"):
                found.add(self.moves(check(tidied(tree))), self.wanted)
        except (OptError, ArithmeticError, ValueError):
            return -1.0
        return found.score if np.isfinite(found.score) else -1.0


def search(update: str, seed: int, space: str, most: int) -> dict[str, object]:
    """What a search comes to: its evaluations, best agreement and rule, and the processor's seconds."""
    teacher, scored = Teacher(founder(update)), 0
    best, rule = -1.0, founder("g")

    def score(candidates: Sequence[Candidate]) -> list[Merit]:
        nonlocal scored, best, rule
        merits = [Merit(0, teacher.agreement(c.tree)) for c in candidates]
        for candidate, merit in zip(candidates, merits, strict=True):
            scored += best < FOUND
            if merit.fitness > best:
                best, rule = merit.fitness, candidate.tree
        return merits

    start = time.process_time()
    opened = replace(SPACES[space], founders={"sgd": founder("g")})
    for _ in evolve(opened, BREEDING, seed, Gatekeeper(NAMES, STEPS), score):
        if best >= FOUND or scored >= most:
            break
    seconds = time.process_time() - start
    return {"evaluations": scored, "agreement": best, "rule": formula(rule), "seconds": round(seconds, 1)}


@click.command()
@click.option("--rules", default=",".join(HIDDEN), show_default=True, help="Which of the hidden rules.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Searches for each rule.")
@click.option("--space", default="expression", show_default=True, type=click.Choice(["expression", "program"]))
@click.option("--most", default=5000, show_default=True, type=click.IntRange(1), help="Evaluations of a search.")
@click.option("--out", type=click.Path(path_type=Path), help="Write everything as JSON.")
def main(rules: str, seeds: int, space: str, most: int, out: Path | None) -> None:
    """Look for hidden rules, starting from plain gradient descent."""
    found: dict[str, list[dict[str, object]]] = {}
    for name in rules.split(","):
        for seed in range(seeds):
            one = search(HIDDEN[name], seed, space, most)
            found.setdefault(name, []).append(one)
            click.echo(f"{name:<11} {one['evaluations']:>6} evaluations, {one['agreement']:.4f}: {one['rule']}")
        if out:
            about = {"steps": STEPS, "found": FOUND, "space": space, "most": most, "hidden": HIDDEN}
            out.write_text(json.dumps(about | {"searches": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
