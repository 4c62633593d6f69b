"""The paper's genome: through trees and text and back; every child of every operator is a rule within its ranges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optc.dsl.checks.check import check
from optc.dsl.text.format import format_file
from optc.dsl.text.parser import parse
from optc.search.seeds import generator
from optc.search.spaces import paper, vary
from optc.search.spaces.paper import FLAGS, FOUNDERS, GENES, PRIMITIVES, Genome, Term, read, write
from optc.search.spaces.space import SPACES
from optc.search.spaces.trees import tidied

seeds = st.integers(0, 2**32)
strengths = st.floats(0, 1)


def in_range(genome: Genome) -> bool:
    log = {name: np.log10(v) if GENES[name].log else v for name, v in genome.values.items()}
    slack = 1e-5  # numbers are written with six digits
    numbers = all(GENES[n].low - slack <= x <= GENES[n].high + slack for n, x in log.items())
    weights = all(abs(term.weight) <= 5 for term in genome.terms)
    return numbers and weights and 1 <= len(genome.terms) <= 4


@given(seeds)
def test_a_genome_survives_its_tree_and_its_text(seed):
    genome = vary.random_genome(generator(seed))
    tree = write(genome)
    assert read(tree) == genome
    assert read(parse(format_file(tree))) == genome
    assert parse(format_file(tree)).items == tree.items


@pytest.mark.parametrize("flags", range(2 ** len(FLAGS)))
def test_every_choice_of_flags_is_told_apart_in_the_text(flags):
    on = frozenset(name for k, name in enumerate(FLAGS) if flags >> k & 1)
    genome = Genome((Term("adam_term", -0.5), Term("nesterov", 2.0)), FOUNDERS["adam"].values, on)
    assert read(parse(format_file(write(genome)))) == genome


@pytest.mark.parametrize("primitive", PRIMITIVES)
@pytest.mark.parametrize("name", FOUNDERS)
def test_every_primitive_is_read_back(primitive, name):
    founder = FOUNDERS[name]
    genome = Genome((Term(primitive, 0.25),), founder.values, founder.flags)
    assert read(write(genome)) == genome


def test_the_random_individual_is_the_papers():
    population = [vary.random_genome(generator("born", k)) for k in range(2000)]
    assert {len(g.terms) for g in population} == {1, 2, 3}
    assert {t.primitive for g in population for t in g.terms} == set(PRIMITIVES)
    for name, flag in FLAGS.items():
        share = np.mean([name in g.flags for g in population])
        assert abs(share - flag.birth) < 4 * np.sqrt(flag.birth * (1 - flag.birth) / 2000), name
    for name, gene in GENES.items():
        values = [np.log10(g.values[name]) if gene.log else g.values[name] for g in population]
        low, high = gene.birth
        slack = 1e-5 + 0.5 * (name == "warmup")
        assert low - slack <= min(values) < low + 0.02 * (high - low) + slack, name
        assert high - 0.02 * (high - low) - slack < max(values) <= high + slack, name
    assert -1 <= min(t.weight for g in population for t in g.terms) < -0.99


@given(seeds, strengths)
def test_children_are_rules_and_stay_in_range(seed, strength):
    rng = generator(seed)
    tree = vary.cross(vary.random_tree(rng), vary.random_tree(rng), rng)
    for _ in range(5):
        tree, _names = vary.mutate(tree, rng, strength)
    assert in_range(read(tree))
    assert parse(format_file(tree)).items == tree.items
    check(tree)
    check(parse(format_file(tidied(tree))))


@given(seeds)
def test_operators_are_pure(seed):
    first, second = (vary.random_tree(generator(seed, k)) for k in range(2))
    copies = [write(read(tree)) for tree in (first, second)]
    child = vary.cross(first, second, generator(seed, "cross"))
    assert vary.cross(*copies, generator(seed, "cross")) == child
    assert vary.mutate(child, generator(seed, "mutate"), 1.0) == vary.mutate(child, generator(seed, "mutate"), 1.0)
    assert [first, second] == copies


@given(seeds)
def test_a_mutation_is_named_exactly_when_it_changed_the_tree(seed):
    tree = vary.random_tree(generator(seed, "tree"))
    child, names = vary.mutate(tree, generator(seed, "mutate"), 1.0)
    assert (child != tree) == bool(names)
    before, after = read(tree), read(child)
    assert ("structure" in names) == ([t.primitive for t in before.terms] != [t.primitive for t in after.terms])
    assert ("flags" in names) == (before.flags != after.flags)


@given(seeds)
@settings(max_examples=50)
def test_genes_of_a_child_come_from_its_parents(seed):
    trees = [vary.random_tree(generator(seed, k)) for k in range(2)]
    a, b, child = read(trees[0]), read(trees[1]), read(vary.cross(*trees, generator(seed, "cross")))
    assert all(child.values[name] in (a.values[name], b.values[name]) for name in GENES)
    assert a.flags & b.flags <= child.flags <= a.flags | b.flags
    splits = [a.terms[:i] + b.terms[j:] for i in range(5) for j in range(5)]
    assert child.terms in [terms[:4] for terms in splits]


def test_no_strength_no_mutation():
    tree = vary.random_tree(generator(3))
    assert vary.mutate(tree, generator(4), 0.0) == (tree, ())


def test_sleeping_genes_never_mutate():
    tree = write(FOUNDERS["adam"])
    for k in range(50):
        tree, _ = vary.mutate(tree, generator("long", k), 1.0)
    assert read(tree).values["limit"] == 1.0
    assert read(tree).values["warmup"] == 100.0


def test_a_tree_of_another_shape_is_refused_in_words():
    with pytest.raises(ValueError, match="paper's space"):
        read(parse("param lr = 1e-3\nupdate = g"))


def test_tidying_cuts_what_is_never_read():
    tree = write(Genome((Term("sign_grad", 1.0),), FOUNDERS["adam"].values, frozenset({"use_m", "use_v"})))
    text = format_file(tidied(tree))
    assert "state" not in text and "beta" not in text and "warmup" not in text
    assert "param lr" in text and "decay" in text


def test_tidying_keeps_the_clip_and_what_feeds_a_state():
    values = FOUNDERS["adam"].values
    tree = write(Genome((Term("adam_term", 1.0),), values, frozenset({"use_m", "use_v", "clipping"})))
    rule = check(tidied(tree))
    assert {s.name for s in rule.states} == {"m", "v"}
    assert {p.name for p in rule.params} == {"lr", "beta1", "beta2", "eps", "wd", "limit", "a1"}


def test_founders_open_the_space():
    assert list(SPACES["paper"].founders) == list(paper.FOUNDERS)
    for tree in SPACES["paper"].founders.values():
        check(tree)
