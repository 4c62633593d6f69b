"""The free spaces: whatever is born checks and survives its text; each operator does what its name says, by type."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optc.dsl.checks.check import check
from optc.dsl.text.expressions import Name, Number
from optc.dsl.text.format import format_file
from optc.dsl.text.parser import parse
from optc.search.seeds import generator
from optc.search.spaces import graft
from optc.search.spaces.expression import FOUNDERS, founder
from optc.search.spaces.graft import MAX_DEPTH, MAX_SIZE, OPERATIONS, chosen
from optc.search.spaces.growth import INNER, grown
from optc.search.spaces.idioms import QUANTITIES
from optc.search.spaces.priors import drawn, stepped
from optc.search.spaces.sites import arguments, at, depth, kind, mended, operator, parts, put, sites, size
from optc.search.spaces.space import SPACES
from optc.search.spaces.trees import number_of

seeds = st.integers(0, 2**32)
FREE = ("expression", "program")
ROWS = {row.name: row for row in OPERATIONS}


def expression(text):
    return parse(f"update = {text}").items[0].value


def update(tree):
    (site,) = sites(tree, whole_program=False)
    return site.value


def line(tree):
    return format_file(tree).splitlines()[-1]


@given(seeds)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", FREE)
def test_children_of_children_are_rules(name, seed):
    space, rng = SPACES[name], generator(seed)
    tree = space.random(rng)
    for _ in range(4):
        tree = space.cross(tree, space.random(rng), rng)
        tree, _names = space.mutate(tree, rng, 1.0)
        check(tree)
        assert parse(format_file(tree)).items == tree.items
        for site in sites(tree, whole_program=True):
            assert size(site.value) <= MAX_SIZE and depth(site.value) <= MAX_DEPTH


@given(seeds)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("name", FREE)
def test_operators_are_pure(name, seed):
    space = SPACES[name]
    tree = space.random(generator(seed, "tree"))
    before = format_file(tree)
    assert space.mutate(tree, generator(seed), 1.0) == space.mutate(tree, generator(seed), 1.0)
    assert space.cross(tree, tree, generator(seed)) == space.cross(tree, tree, generator(seed))
    assert format_file(tree) == before


@given(seeds, st.integers(1, 6), st.sampled_from(["real", "bool"]))
def test_growing_keeps_to_kind_depth_and_names(seed, levels, wanted):
    value = grown(generator(seed), ["g", "m"], levels, wanted)
    assert kind(value) == wanted and depth(value) <= levels + 1
    for _, part in parts(value):
        if operator(part):
            assert operator(part) in INNER
    check(parse(f"param lr = 1\nstate m = 0\nm <- g\nupdate = g*{'m' if wanted == 'real' else 'where(t > 1, m, g)'}"))


def test_growing_uses_every_operator_and_leaf():
    found = Counter(
        operator(part) or type(part).__name__
        for k in range(400)
        for _, part in parts(grown(generator("grow", k), ["g", "m"], 5))
    )
    assert set(INNER) <= set(found) and {"Name", "Number"} <= set(found)


# ---------------------------------------------------------------- each operator


def done(operation, text, count=60):
    """What an operation makes of an update, over many streams, where it finds something to do."""
    tree = founder(text)
    children = [ROWS[operation].apply(tree, generator(operation, k), False) for k in range(count)]
    changed = [update(child) for child in children if child != tree]
    assert len(changed) > count / 5
    return changed


TEXT = "where(g > 2, m, sqrt(v) + 3*g)"


def test_hoisting_leaves_a_part_of_the_whole():
    before = expression(TEXT)
    for after in done("hoist", TEXT):
        assert size(after) < size(before)
        assert {p.id for _, p in parts(after) if hasattr(p, "id")} <= {"g", "m", "v"}


def test_shrinking_puts_a_quantity_in_a_parts_place():
    found = {typed(difference(expression(TEXT), after)[1]) for after in done("shrink", TEXT, 400)}
    assert {"g", "m", "sqrt(vhat)", "abs(m)", "g^2"} <= found
    assert all(text in QUANTITIES or size(expression(text)) == 1 or text in TEXT for text in found)


def typed(value):
    return line(mended(founder("g"), sites(founder("g"), whole_program=False)[0], value)).removeprefix("update = ")


def difference(before, after):
    """The smallest part in which two expressions differ."""
    while operator(before) == operator(after):
        pairs = [pair for pair in zip(arguments(before), arguments(after), strict=True) if pair[0] != pair[1]]
        if len(pairs) != 1:
            break
        before, after = pairs[0]
    return before, after


def test_a_point_mutation_keeps_the_shape():
    for after in done("point", TEXT):
        before = expression(TEXT)
        assert [path for path, _ in parts(after)] == [path for path, _ in parts(before)]
        changed = [p for p, part in parts(before) if operator(at(after, p)) != operator(part)]
        assert len(changed) <= 1


def test_constants_move_and_nothing_else_does():
    shapes = {tuple(operator(p) for _, p in parts(after)) for after in done("constant", TEXT)}
    assert len(shapes) == 1
    moved = [sorted(p.value for _, p in parts(after) if hasattr(p, "value")) for after in done("constant", TEXT, 400)]
    ratios = np.log([b / 2 for row in moved if (b := row[0]) != 2 and row[1] == 3])
    assert 0.1 < np.std(ratios) < 0.4 and np.median(np.abs(ratios)) < 0.15 < np.max(np.abs(ratios))


def test_wrapping_and_terms_keep_what_was_there():
    before = expression("m")
    for operation in ("wrap", "term"):
        for after in done(operation, "m"):
            assert after != before and before in [part for _, part in parts(after)]


def test_an_operator_that_finds_nothing_returns_the_tree():
    tree = founder("g")
    assert all(ROWS["constant"].apply(tree, generator(k), False) == tree for k in range(5))
    assert all(ROWS["hoist"].apply(tree, generator(k), False) == tree for k in range(5))


def test_a_child_too_large_is_not_born():
    tree = founder("+".join(["g"] * 20))
    children = [ROWS["term"].apply(tree, generator(k), False) for k in range(30)]
    assert all(size(update(child)) <= MAX_SIZE for child in children) and tree in children


def test_crossing_takes_a_part_of_the_second_that_the_first_can_read():
    first, second = founder("m + g"), founder("sqrt(vhat)*where(g > 0, 1, 2)")
    donors = {part for _, part in parts(update(second))}
    for k in range(40):
        child = update(graft.cross(first, second, generator(k)))
        assert child == update(first) or donors & {part for _, part in parts(child)}
    stranger = parse("state q = 0\nq <- g\nparam lr = 1\nupdate = q")
    assert all(graft.cross(first, stranger, generator(k)) == first for k in range(10))


def test_expressions_change_the_update_alone_and_programs_everything():
    tree = FOUNDERS["adam"]
    last = tree.items[-1]
    changed = {False: set(), True: set()}
    for whole in changed:
        for k in range(300):
            child, names = graft.mutate(tree, generator("which", k), 0.0, whole_program=whole)
            if names and names != ("hyperparameter",) and names != ("state",):
                changed[whole] |= {b for a, b in zip(child.items, tree.items, strict=True) if a != b}
    assert changed[False] == {last}
    assert len(changed[True]) == 5  # m, v, mhat, vhat, update


def test_a_new_state_is_an_average_that_the_update_reads():
    tree = ROWS["state"].apply(FOUNDERS["adam"], generator(1), True)
    rule = check(tree)
    assert {s.name for s in rule.states} == {"m", "v", "s1"}
    assert "s1" in line(tree)


def test_a_renamed_quantity_is_another_wherever_it_was_read():
    for after in done("rename", "m*sign(m) + v"):
        names = [p.id for _, p in parts(after) if isinstance(p, Name)]
        assert names[0] == names[1] and [p for p, _ in parts(after)] == [
            p for p, _ in parts(expression("m*sign(m) + v"))
        ]


def test_correcting_exchanges_all_states_for_what_is_computed_from_them_and_back():
    plain, corrected = founder("m/(sqrt(v) + eps)"), founder("mhat/(sqrt(vhat) + eps)")
    assert update(ROWS["correct"].apply(plain, generator(0), False)) == update(corrected)
    assert update(ROWS["correct"].apply(corrected, generator(0), False)) == update(plain)
    assert ROWS["correct"].apply(founder("g"), generator(0), False) == founder("g")


def test_an_idiom_weighs_two_quantities_with_weights_that_add_up_to_one():
    weights = [
        sorted(p.value for _, p in parts(after) if isinstance(p, Number))
        for after in done("idiom", "m", 300)
        if operator(after) == "add"
    ]
    assert weights and all(sum(pair) == pytest.approx(1, abs=1e-5) for pair in weights if len(pair) == 2)


def test_a_states_memory_changes_its_way_or_what_it_takes_in():
    tree = founder("m/(sqrt(v) + eps)")
    texts = set()
    for k in range(300):
        child = ROWS["memory"].apply(tree, generator("memory", k), True)
        check(child)
        before, after = format_file(tree).splitlines(), format_file(child).splitlines()
        changed = [b for a, b in zip(before, after, strict=True) if a != b]
        assert len(changed) <= 1 and all(text.startswith(("m <-", "v <-")) for text in changed)
        texts |= set(changed)
    wanted = {
        "v <- max(beta2*v, g^2)",
        "v <- beta2*v + (1 - beta2)*abs(g)",
        "v <- v + g^2",
        "m <- beta1*m + g",
        "m <- beta1*m + (1 - beta1)*sign(g)",
    }
    assert wanted <= texts


def test_in_programs_half_of_the_changes_are_of_the_update_and_none_of_what_it_does_not_read():
    tree, found = founder("sign(m)"), Counter()
    for k in range(400):
        found[tree.items[chosen(tree, generator("chosen", k), True).item].name] += 1
    assert set(found) == {"m", "update"} and 150 < found["update"] < 250


def test_rules_are_born_of_any_form_and_of_idioms_with_numbers_drawn_and_in_use():
    trees = [SPACES["expression"].random(generator("born", k)) for k in range(200)]
    assert 70 < sum(values.items[1:6] == founder("g").items[1:6] for values in trees) < 130
    updates = {line(tree) for tree in trees}
    assert {"update = sign(g)", "update = sign(m)"} <= updates and len(updates) > 150


def test_put_and_at_are_inverse():
    value = expression(TEXT)
    for path, part in parts(value):
        assert at(value, path) == part and put(value, path, part) == value
        assert at(put(value, path, expression("theta")), path) == expression("theta")


def test_sites_read_only_what_stands_above_them():
    places = {type(s.value).__name__ + str(s.item): s.readable for s in sites(FOUNDERS["adam"], whole_program=True)}
    readable = list(places.values())
    assert "mhat" not in readable[0] and "mhat" in readable[-1] and "lr" not in readable[-1]
    (site,) = sites(FOUNDERS["adam"], whole_program=False)
    assert mended(FOUNDERS["adam"], site, site.value) == FOUNDERS["adam"]


# ---------------------------------------------------------------- priors


@given(seeds)
@settings(max_examples=50)
def test_hyperparameters_are_drawn_and_moved_within_their_priors(seed):
    rng = generator(seed)
    tree = drawn(FOUNDERS["adam"], rng)
    for _ in range(20):
        tree = stepped(tree, rng)
    values = {p.name: number_of(p.default) for p in tree.items if hasattr(p, "prior")}
    slack = 1.0001
    assert 1e-5 / slack <= values["lr"] <= 1e-1 * slack
    assert 0.5 / slack <= values["beta1"] <= 0.999 * slack and values["beta1"] < 1
    assert 0.8 / slack <= values["beta2"] <= 0.9999 * slack and values["beta2"] < 1
    check(tree)


def test_draws_spread_over_the_prior():
    lrs = [number_of(drawn(FOUNDERS["adam"], generator("d", k)).items[1].default) for k in range(500)]
    low, middle, high = np.quantile(np.log10(lrs), [0.05, 0.5, 0.95])
    assert -5 <= low < -4.6 and -3.4 < middle < -2.6 and -1.4 < high <= -1
