"""Variation of the paper's space: pure functions from parse trees and a random stream to a parse tree.

Each mutation is a row of MUTATIONS, on genomes. `strength` is the paper's decay d, 1 in the first generation and 1/2 in
the last; rates and widths are from arXiv:2512.11853. A mutation that changes nothing returns an equal genome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, log10

import numpy as np

from ...dsl.text.syntax import File
from .paper import FLAGS, GENES, MAX_TERMS, PRIMITIVES, WEIGHT_LIMIT, Gene, Genome, Term, read, write
from .trees import rounded

Mutate = Callable[[Genome, np.random.Generator, float], Genome]
Change = Callable[[Genome, np.random.Generator], Genome]

NUMBER_RATE, STRUCTURE_RATE, FLAG_RATE = 0.35, 0.15, 0.1
SPREAD = 0.3
BIRTH_TERMS, BIRTH_WEIGHT = 3, 1.0


def random_genome(rng: np.random.Generator) -> Genome:
    """An individual as the paper's first population has them."""
    terms = tuple(_random_term(rng) for _ in range(rng.integers(1, BIRTH_TERMS + 1)))
    values = {gene.name: gene.inward(rng.uniform(*gene.birth)) for gene in GENES.values()}
    return Genome(terms, values, frozenset(flag.name for flag in FLAGS.values() if rng.random() < flag.birth))


def random_tree(rng: np.random.Generator) -> File:
    return write(random_genome(rng))


def _random_term(rng: np.random.Generator) -> Term:
    return Term(_random_primitive(rng), rounded(rng.uniform(-BIRTH_WEIGHT, BIRTH_WEIGHT)))


def _random_primitive(rng: np.random.Generator) -> str:
    return str(rng.choice(list(PRIMITIVES)))


# ---------------------------------------------------------------- two parents


def cross(first: File, second: File, rng: np.random.Generator) -> File:
    """A prefix of one parent's terms and a suffix of the other's; every other gene from either with p = 1/2."""
    a, b = read(first), read(second)
    head = a.terms[: rng.integers(0, len(a.terms) + 1)]
    tail = b.terms[rng.integers(0, len(b.terms) + 1) :]
    terms = (head + tail)[:MAX_TERMS] or a.terms[:1]
    values = {name: (a if rng.random() < 0.5 else b).values[name] for name in GENES}
    flags = {name for name in FLAGS if name in (a if rng.random() < 0.5 else b).flags}
    return write(Genome(terms, values, frozenset(flags)))


# ---------------------------------------------------------------- one parent


def jitter(genome: Genome, rng: np.random.Generator, strength: float) -> Genome:
    """Each number moves with p = 0.35 d by a normal step of width 0.3 d, on its gene's own scale."""
    width, rate = SPREAD * strength, NUMBER_RATE * strength
    values = {
        name: _moved(GENES[name], value, rng.normal(0, width)) if GENES[name].spread and rng.random() < rate else value
        for name, value in genome.values.items()
    }
    terms = tuple(
        replace(term, weight=_weight(term.weight * exp(rng.normal(0, width)))) if rng.random() < rate else term
        for term in genome.terms
    )
    return replace(genome, values=values, terms=terms)


def _moved(gene: Gene, value: float, step: float) -> float:
    position = value if not gene.log else log10(value) if value > 0 else gene.low
    return gene.inward(position + gene.spread * step)


def _weight(value: float) -> float:
    return rounded(min(max(value, -WEIGHT_LIMIT), WEIGHT_LIMIT))


def restructure(genome: Genome, rng: np.random.Generator, strength: float) -> Genome:
    """With p = 0.15 d, one term is added, removed or exchanged."""
    if rng.random() >= STRUCTURE_RATE * strength:
        return genome
    return STRUCTURAL[str(rng.choice(list(STRUCTURAL)))](genome, rng)


def add_term(genome: Genome, rng: np.random.Generator) -> Genome:
    if len(genome.terms) == MAX_TERMS:
        return genome
    return replace(genome, terms=(*genome.terms, _random_term(rng)))


def remove_term(genome: Genome, rng: np.random.Generator) -> Genome:
    if len(genome.terms) == 1:
        return genome
    gone = rng.integers(len(genome.terms))
    return replace(genome, terms=genome.terms[:gone] + genome.terms[gone + 1 :])


def change_term(genome: Genome, rng: np.random.Generator) -> Genome:
    chosen = rng.integers(len(genome.terms))
    changed = replace(genome.terms[chosen], primitive=_random_primitive(rng))
    return replace(genome, terms=(*genome.terms[:chosen], changed, *genome.terms[chosen + 1 :]))


STRUCTURAL: dict[str, Change] = {"add": add_term, "remove": remove_term, "change": change_term}


def flip(genome: Genome, rng: np.random.Generator, strength: float) -> Genome:
    """Each flag flips with p = 0.1 d."""
    flipped = {name for name in FLAGS if rng.random() < FLAG_RATE * strength}
    return replace(genome, flags=genome.flags ^ flipped)


@dataclass(frozen=True)
class Mutation:
    """A named operator on one genome."""

    name: str
    apply: Mutate


MUTATIONS = (Mutation("numbers", jitter), Mutation("structure", restructure), Mutation("flags", flip))


def mutate(tree: File, rng: np.random.Generator, strength: float) -> tuple[File, tuple[str, ...]]:
    """The tree after every row of MUTATIONS in turn, and the names of those that changed it."""
    genome, changed = read(tree), list[str]()
    for mutation in MUTATIONS:
        before, genome = genome, mutation.apply(genome, rng, strength)
        if genome != before:
            changed.append(mutation.name)
    return write(genome) if changed else tree, tuple(changed)
