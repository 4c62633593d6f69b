"""The best rules of a population to the same with better constants, by an evolution strategy inside each skeleton.

A generation's best rules, one a skeleton, get a number of trials each. Trials are individuals of that generation, born
of the rule by the operator `tuned`; they pass the gates, and are scored in batches. A rule whose best trial is better
than itself gives it its place, and the trial may be tuned in its turn; a rule that was not bettered is not tuned again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ...dsl.algebra.canonical import canonical
from ...dsl.checks.check import check
from ...dsl.text.syntax import File
from ..seeds import generator
from ..spaces.dials import Dials
from ..training.fitness import DIVERGED
from .population import Candidate, Member, Merit, Refusal, ranked
from .selection import Breeding, Members
from .strategy import Evolution

ATTEMPTS = 10
SIGMA = 0.1
"""The first step, in widths of a prior: that of a mutation."""
OPERATOR = "tuned"

Score = Callable[[Sequence[Candidate]], Sequence[Merit]]
Admit = Callable[[File], str]
"""Why a tree is not worth training; empty if it is."""


@dataclass
class Polisher:
    """Tunes when it is due, and remembers which rules tuning did not better."""

    breeding: Breeding
    seed: int
    literals: bool
    admit: Admit
    score: Score
    settled: set[str] = field(default_factory=set)

    def __call__(self, members: Members, number: int) -> Members:
        """The population after generation `number`, its best rules tuned if it is their turn."""
        every = self.breeding.tune_every
        if not every or (number + 1) % every:
            return members
        tunings = self._begun(members, number)
        while batches := [(tuning, batch) for tuning in tunings if (batch := list(tuning.batch(self.admit)))]:
            merits = iter(self.score([candidate for _, batch in batches for candidate in batch]))
            for tuning, batch in batches:
                tuning.learn([Member(candidate, next(merits), tuning.rule.island) for candidate in batch])
        self.settled |= {tuning.rule.candidate.id for tuning in tunings if tuning.best is tuning.rule}
        better = {tuning.rule.candidate.id: tuning.best for tuning in tunings}
        return ranked(self._placed(member, better) for member in members)

    @staticmethod
    def _placed(member: Member, better: dict[str, Member]) -> Member:
        return replace(better.get(member.candidate.id, member), island=member.island)

    def _begun(self, members: Members, number: int) -> list[_Tuning]:
        tunings: list[_Tuning] = []
        skeletons: set[str] = set()
        for member in members:
            dials = Dials.of(member.candidate.tree, literals=self.literals)
            skeleton = canonical(check(member.candidate.tree)).skeleton
            if len(tunings) == self.breeding.tune_top or member.fitness <= DIVERGED:
                break
            if len(dials) and skeleton not in skeletons and member.candidate.id not in self.settled:
                skeletons.add(skeleton)
                tunings.append(_Tuning(self.breeding, self.seed, number, len(tunings), member, dials))
        return tunings


class _Tuning:
    """One rule's trials, a batch at a time."""

    def __init__(self, breeding: Breeding, seed: int, number: int, which: int, rule: Member, dials: Dials) -> None:
        self.rule = self.best = rule
        self.number, self.dials, self.trials = number, dials, breeding.tune_trials
        self.first = max(breeding.population, breeding.births) + which * self.trials
        self.strategy = Evolution([0.0] * len(dials), SIGMA, generator(seed, "polish", number, which))
        self.spent = 0

    def batch(self, admit: Admit) -> Iterator[Candidate]:
        """The next trials, each drawn anew up to ten times until the gates let it through."""
        if self.spent >= self.trials:
            return
        self.positions = self.strategy.ask()
        for k in range(min(len(self.positions), self.trials - self.spent)):
            refused: list[Refusal] = []
            for attempt in range(ATTEMPTS):
                tree = self.dials.turned(self.positions[k].tolist())
                reason = admit(tree) if attempt < ATTEMPTS - 1 else ""
                if not reason:
                    break
                refused.append(Refusal(tree, reason))
                self.positions[k] = self.strategy.again()
            parents = (self.rule.candidate.id,)
            yield Candidate(self.number, self.first + self.spent, tree, (OPERATOR,), parents, tuple(refused))
            self.spent += 1

    def learn(self, trials: Sequence[Member]) -> None:
        """What the trials of the last batch came to. A batch that the budget has cut short teaches nothing."""
        self.best = max([self.best, *trials], key=lambda member: member.merit)
        if len(trials) == len(self.positions):
            order = sorted({trial.merit for trial in trials})
            self.strategy.tell(self.positions, [order.index(trial.merit) for trial in trials])
