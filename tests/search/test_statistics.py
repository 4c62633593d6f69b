"""The statistics against scipy and brute force; claims against noise, of which they may make at most one in twenty."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from optc.search.fair.claims import Basis, claim
from optc.search.fair.statistics import bootstrap_interval, compared, corrected, holm, signed_rank_p, smallest_p


@pytest.mark.parametrize("n", [1, 2, 5, 12, 20, 45])
def test_signed_rank_against_scipy(n):
    rng = np.random.default_rng(n)
    for shift in (0.0, 0.5, -1.0):
        d = rng.normal(shift, 1, n)
        assert signed_rank_p(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-12)


@pytest.mark.parametrize(
    "d", [[1, 1, -1, 2, 2], [3, -3, 3, 3], [1, 2, 2, -2, 0, 0, 5], [0.1, 0.1, 0.1, -0.2, 0.4, 0.4]]
)
def test_ties_and_zeros_against_every_assignment_of_signs(d):
    kept = np.array([x for x in d if x])
    ranks = stats.rankdata(abs(kept))
    seen = abs(ranks[kept > 0].sum() - ranks.sum() / 2)
    sums = np.array([ranks[np.array(signs)].sum() for signs in product([False, True], repeat=len(kept))])
    assert signed_rank_p(d) == pytest.approx(np.mean(abs(sums - ranks.sum() / 2) >= seen - 1e-9))


def test_no_difference_is_no_evidence():
    assert signed_rank_p([0.0, 0.0, 0.0]) == 1.0
    with pytest.raises(ValueError, match="finite"):
        signed_rank_p([0.1, float("nan")])


def test_winning_every_time_gives_the_smallest_p():
    for n in (1, 4, 20):
        assert signed_rank_p(np.arange(1, n + 1)) == pytest.approx(smallest_p(n))


def test_holm_is_bonferroni_over_every_intersection():
    """The closed test: a hypothesis falls where every set of hypotheses that holds it falls."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(5) ** 3
        sets = [s for size in range(1, 6) for s in combinations(range(5), size)]
        closed = [max(min(1.0, len(s) * p[list(s)].min()) for s in sets if k in s) for k in range(5)]
        np.testing.assert_allclose(holm(p), closed, rtol=1e-12)


def test_the_bootstrap_against_scipy():
    values = np.random.default_rng(1).exponential(1, 20)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    error = 4 * values.std() / np.sqrt(20) / np.sqrt(10_000) / 0.05  # of a 2.5% quantile, from its density
    np.testing.assert_allclose(bootstrap_interval(values), theirs, atol=error)


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        low, high = bootstrap_interval(rng.normal(0.3, 1, 20), resamples=1000)
        inside += low <= 0.3 <= high
    assert 0.88 <= inside / 400 <= 0.97  # percentile intervals of 20 values cover some 93%


# ---------------------------------------------------------------- claims


def judged(scores, rule=0, resamples=200, part="selection", trials=10):
    """A rule's claim against all others, from scores (rules, seeds)."""
    rivals = [k for k in range(len(scores)) if k != rule]
    family = corrected([compared("new", f"old{k}", "digits", scores[rule], scores[k], resamples) for k in rivals])
    names = {"new": trials} | {f"old{k}": trials for k in rivals}
    return claim("new", "digits", family, Basis(part, names, len(family)))


def noise(rng, kind, shape):
    """Scores of rules that are all the same, seed by seed."""
    if kind == "normal":
        return rng.normal(0.8, 0.02, shape) + rng.normal(0, 0.05, shape[1])
    if kind == "heavy":
        return rng.standard_t(2, shape)
    if kind == "diverging":
        return np.where(rng.random(shape) < 0.1, -1.0, rng.normal(0.8, 0.02, shape))
    return np.round(rng.normal(0.8, 0.02, shape) * 180) / 180  # of 180 images, with ties


@pytest.mark.parametrize("kind", ["normal", "heavy", "diverging", "coarse"])
def test_noise_makes_a_claim_no_more_often_than_once_in_twenty(kind):
    rng = np.random.default_rng(4)
    experiments = 400
    false = sum(judged(noise(rng, kind, (9, 20))).made for _ in range(experiments))
    assert false / experiments <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / experiments)


def test_the_rate_of_false_alarms_of_one_test_is_what_it_says():
    """Twenty pairs can give 0.0484 at most; scores are rounded as accuracies are, so there are ties."""
    rng = np.random.default_rng(10)
    d = np.round(rng.normal(0, 0.02, (4000, 20)) * 360) / 360
    rate = np.mean([signed_rank_p(row) <= 0.05 for row in d])
    assert rate == pytest.approx(0.0484, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


def test_without_the_correction_noise_would_make_many_claims():
    """What the test above is able to find."""
    rng = np.random.default_rng(5)
    raw = 0
    for _ in range(100):
        scores = noise(rng, "normal", (9, 20))
        raw += min(signed_rank_p(scores[0] - other) for other in scores[1:]) <= 0.05
    assert raw / 100 > 0.15


def test_a_search_through_noise_ends_in_no_claim():
    """The best of 200 equal rules by two search runs looks far better than its rivals there, and claims nothing."""
    rng = np.random.default_rng(6)
    false, flattered = 0, 0
    for _ in range(200):
        search = rng.normal(0.8, 0.02, (200, 2)).mean(axis=1)
        flattered += search.max() - 0.8 > 0.02
        final = rng.normal(0.8, 0.02, (9, 20))  # fresh seeds, fresh images: the winner is as good as any
        false += judged(final).made
    assert flattered > 190
    assert false / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_real_difference_is_claimed_with_its_size():
    rng = np.random.default_rng(7)
    scores = rng.normal(0.8, 0.01, (3, 20))
    scores[0] += 0.05
    made = judged(scores)
    assert made.made and "new (digits) scores higher than old1 by 0.0" in made.sentence
    scores[0] -= 0.1
    lower = judged(scores)
    assert lower.made and "scores lower than" in lower.sentence and "higher" not in lower.sentence


def test_what_is_not_shown_is_named():
    rng = np.random.default_rng(8)
    scores = rng.normal(0.8, 0.01, (3, 20))
    scores[1] -= 0.05
    made = judged(scores)
    assert made.made and "Nothing is claimed against old2." in made.sentence


def test_ranks_alone_claim_nothing_where_the_mean_may_be_of_the_other_sign():
    """A little better with 19 seeds and much worse with one: the ranks reject, the interval does not."""
    scores = np.full((2, 20), 0.5)
    scores[0] += np.linspace(0.001, 0.002, 20)
    scores[0, 0] -= 0.1
    one = compared("new", "old", "digits", scores[0], scores[1])
    assert one.p < 0.01 and one.low < 0 < one.high
    assert not judged(scores, resamples=2000).made


REFUSED = {
    "scores of the search": ({"part": "search"}, 20, "bred and tuned on"),
    "untuned": ({"trials": 0}, 20, "no rule was tuned"),
    "too few seeds": ({}, 5, "5 paired seeds cannot show anything among 2 comparisons; 7 could"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_no_figure_makes_up_for_an_unfair_contest(case):
    options, seeds, words = REFUSED[case]
    scores = np.random.default_rng(9).normal(0.5, 0.001, (3, seeds))
    scores[0] += 0.4
    refused = judged(scores, **options)
    assert not refused.made and refused.sentence.startswith("No claim") and words in refused.sentence


def test_unequal_tuning_forbids_a_claim():
    family = corrected([compared("new", "old", "digits", np.arange(20) + 1.0, np.zeros(20))])
    refused = claim("new", "digits", family, Basis("selection", {"new": 40, "old": 10}, 1))
    assert not refused.made and "new 40, old 10" in refused.sentence
    assert not claim("new", "digits", [], Basis("selection", {}, 0)).made


def test_variants_of_a_rule_need_no_tuning():
    family = corrected([compared("without decay", "AdamW", "digits", np.zeros(20), np.arange(20) + 1.0)])
    made = claim("without decay", "digits", family, Basis("selection", {}, 1, variants=True))
    assert made.made and "lower than AdamW" in made.sentence and "constants left as they are" in made.sentence
