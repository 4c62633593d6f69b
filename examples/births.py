"""Candidates a second, in one process: bred, gated and fingerprinted, then keyed, as a search does before it trains.

The search's own loop runs, with its operators, gates and keys; only the score is made up, from the rule's key. Times
are the processor's, so that a busy machine says nearly the same as an idle one.

    python examples/births.py [--population 100] [--generations 6] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

from optc.search.evolve.evolve import evolve
from optc.search.evolve.population import Candidate, Merit
from optc.search.evolve.selection import Breeding
from optc.search.runs.run import settled_memory
from optc.search.spaces.gates import NAMES, Gatekeeper
from optc.search.spaces.keys import key_of
from optc.search.spaces.space import SPACES


def rates(space: str, population: int, generations: int, seed: int) -> tuple[float, float]:
    """Candidates a second, first without their keys, then with them; those that a gate turns away count too."""
    seconds, count = 0.0, 0

    def score(candidates: Sequence[Candidate]) -> list[Merit]:
        nonlocal seconds, count
        count += sum(1 + len(candidate.refused) for candidate in candidates)
        start = time.process_time()
        keys = [key_of(candidate.tree) for candidate in candidates]
        seconds += time.process_time() - start
        return [Merit(0, int(key, 16) / 16.0 ** len(key)) for key in keys]

    start = time.process_time()
    crossover = SPACES[space].defaults.get("crossover", 1.0)
    breeding = Breeding(population, generations, population // 10, 4, crossover=crossover)
    for _ in evolve(SPACES[space], breeding, seed, Gatekeeper(NAMES, 500), score):
        pass
    total = time.process_time() - start
    return count / (total - seconds), count / total


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--population", type=int, default=100)
    arguments.add_argument("--generations", type=int, default=6)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    print(f"{'space':12} {'bred, gated, fingerprinted':>28} {'and keyed':>14}")
    for space in SPACES:
        rates(space, 20, 2, 0)  # what is learnt once, such as the grammar's table
        with settled_memory():
            rounds = [rates(space, given.population, given.generations, seed) for seed in range(given.rounds)]
        fresh, keyed = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{space:12} {fresh:26.0f}/s {keyed:12.0f}/s")


if __name__ == "__main__":
    main()
