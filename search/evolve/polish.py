"""The best rules of a population to the same with better constants, by an evolution strategy inside each skeleton.

A generation's best rules that differ get a number of trials each. Trials are individuals of that generation, born of
the rule by the operator `tuned`; they pass the gates, and are scored in batches, on seeds that judge no one else: the
best of many trials on one seed is next to divergence on another. A rule gives its place to its best trial if that is
better on these seeds, and on those that judge everyone. The trial may be tuned in its turn, from the steps that its
tuning ended with; a rule that was not bettered is tuned with finer steps, until those are too fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ...dsl.algebra.canonical import canonical
from ...dsl.text.syntax import File
from ..seeds import generator
from ..spaces.dials import Dials
from ..spaces.keys import rule_of
from ..training.fitness import DIVERGED
from .forecast import Forecast
from .population import TRIAL, Candidate, Member, Merit, Refusal, ranked
from .selection import Breeding, Members
from .strategy import Evolution

ATTEMPTS = 10
SIGMA = 0.1
"""The first step, in widths of a prior: that of a mutation."""
FINER, FINEST = 1 / 3, 0.003
"""A rule that was not bettered is tuned with steps so much smaller the next time, and no more below the finest."""

Score = Callable[[Sequence[Candidate]], Sequence[Merit]]
Admit = Callable[[File], str]
"""Why a tree is not worth training; empty if it is."""


@dataclass
class Polisher:
    """Tunes when it is due; `steps` are the first steps of those who were tuned before, by candidate."""

    breeding: Breeding
    seed: int
    literals: bool
    admit: Admit
    score: Score
    rehearse: Score
    forecast: Forecast
    steps: dict[str, float] = field(default_factory=dict)

    def __call__(self, members: Members, number: int) -> Members:
        """The population after generation `number`, its best rules tuned if it is their turn."""
        every = self.breeding.tune_every
        if not every or (number + 1) % every:
            return members
        tunings = self._begun(members, number)
        while batches := [(tuning, batch) for tuning in tunings if (batch := list(tuning.batch(self.admit)))]:
            merits = iter(self.rehearse([candidate for _, batch in batches for candidate in batch]))
            for tuning, batch in batches:
                trials = [Member(candidate, next(merits), tuning.rule.island) for candidate in batch]
                tuning.learn(trials)
                self.forecast.learn(trials)
        better = self._bettered(tunings) if tunings else {}
        return ranked(self._placed(member, better) for member in members)

    def _bettered(self, tunings: Sequence[_Tuning]) -> dict[str, Member]:
        """The rules whose place another takes; how finely each is to be tuned the next time."""
        before = self.rehearse([tuning.rule.candidate for tuning in tunings])
        promising = [t for t, merit in zip(tunings, before, strict=True) if t.best and t.best.merit > merit]
        judged = self.score([tuning.best.candidate for tuning in promising if tuning.best])
        better = {
            tuning.rule.candidate.id: replace(tuning.best, merit=merit)
            for tuning, merit in zip(promising, judged, strict=True)
            if tuning.best and merit > tuning.rule.merit
        }
        for tuning in tunings:
            name = tuning.rule.candidate.id
            if name in better:
                self.steps[better[name].candidate.id] = min(SIGMA, tuning.strategy.sigma)
            else:
                self.steps[name] = tuning.sigma * FINER
        return better

    @staticmethod
    def _placed(member: Member, best: dict[str, Member]) -> Member:
        return replace(best.get(member.candidate.id, member), island=member.island)

    def _begun(self, members: Members, number: int) -> list[_Tuning]:
        """The best rules that can be tuned, one of each skeleton; within a hundredth, those of few constants first."""
        rules: dict[str, Member] = {}
        for member, constants in self._simple_first(members):
            if len(rules) == self.breeding.tune_top or member.fitness <= DIVERGED:
                break
            if constants and self.sigma(member) >= FINEST:
                rules.setdefault(canonical(rule_of(member.candidate.tree)).skeleton, member)
        return [_Tuning(self, number, which, rule) for which, rule in enumerate(rules.values())]

    def _simple_first(self, members: Members) -> Iterator[tuple[Member, int]]:
        """Members with how many constants each has, which are counted only as far as someone asks."""
        for _, alike in groupby(sorted(members, key=_roughly), key=_roughly):
            counted = [(member, len(Dials.of(member.candidate.tree, literals=self.literals))) for member in alike]
            yield from sorted(counted, key=lambda pair: pair[1])

    def sigma(self, member: Member) -> float:
        """The width of a rule's first steps."""
        return self.steps.get(member.candidate.id, SIGMA)


def _roughly(member: Member) -> tuple[int, float]:
    return -member.merit.rung, -round(member.fitness, 2)


class _Tuning:
    """One rule's trials, a batch at a time; the best of them, on the seeds that they are tried on."""

    best: Member | None

    def __init__(self, polisher: Polisher, number: int, which: int, rule: Member) -> None:
        breeding = polisher.breeding
        self.rule, self.best = rule, None
        self.number, self.sigma, self.trials = number, polisher.sigma(rule), breeding.tune_trials
        self.drafts, self.forecast = breeding.tune_drafts, polisher.forecast
        self.dials = Dials.of(rule.candidate.tree, literals=polisher.literals)
        self.first = max(breeding.population, breeding.births) + which * self.trials
        stream = generator(polisher.seed, "polish", number, which)
        self.strategy = Evolution([0.0] * len(self.dials), self.sigma, stream)
        self.spent = 0

    def batch(self, admit: Admit) -> Iterator[Candidate]:
        """The next trials, each drawn anew up to ten times until the gates let it through."""
        if self.spent >= self.trials:
            return
        self.positions = self.strategy.ask()
        for k in range(min(len(self.positions), self.trials - self.spent)):
            refused: list[Refusal] = []
            for attempt in range(ATTEMPTS):
                tree = self._draft(k)
                reason = admit(tree) if attempt < ATTEMPTS - 1 else ""
                if not reason:
                    break
                refused.append(Refusal(tree, reason))
                self.positions[k] = self.strategy.again()
            parents = (self.rule.candidate.id,)
            yield Candidate(self.number, self.first + self.spent, tree, TRIAL, parents, tuple(refused))
            self.spent += 1

    def _draft(self, k: int) -> File:
        """The most promising of a position and others drawn beside it, which stands in its place from now on."""
        positions = [self.positions[k], *(self.strategy.again() for _ in range(self.drafts - 1))]
        trees = [self.dials.turned(position.tolist()) for position in positions]
        chosen = self.forecast.best(trees)
        self.positions[k] = positions[chosen]
        return trees[chosen]

    def learn(self, trials: Sequence[Member]) -> None:
        """What the trials of the last batch came to. A batch that the budget has cut short teaches nothing."""
        self.best = max([self.best, *trials] if self.best else trials, key=lambda member: member.merit)
        if len(trials) == len(self.positions):
            order = sorted({trial.merit for trial in trials})
            self.strategy.tell(self.positions, [order.index(trial.merit) for trial in trials])
