"""Rules of the zoo and one's own open a free space: tidied, given the standard averages, and still the same rules."""

from dataclasses import replace

import pytest

from optc.dsl.algebra.canonical import canonical
from optc.dsl.checks.check import check
from optc.dsl.load import ZOO, zoo, zoo_names
from optc.dsl.meaning.settle import settled
from optc.dsl.text.format import format_file
from optc.dsl.text.parser import parse
from optc.dsl.writing import file_of, text_of
from optc.search.config import Config, ConfigError
from optc.search.seeds import generator
from optc.search.spaces.founders import founder_texts, opened_by
from optc.search.spaces.sites import sites
from optc.search.spaces.space import SPACES
from optc.search.spaces.trees import tidied, unplaced


def configured(space, *founders):
    return Config.model_validate({"search": {"space": space, "founders": founders}})


def test_rules_of_the_zoo_and_ones_own_open_a_free_space(tmp_path):
    own = tmp_path / "mine.opt"
    own.write_text("0.5*sign(g) + m/(sqrt(v) + eps)")
    space = SPACES["program"]
    texts = founder_texts(configured("program", "adam", "lion", "adagrad", str(own)))
    assert list(texts) == ["adam", "lion", "adagrad", "mine"]
    opened = opened_by(space, texts)
    for k, tree in enumerate(opened.founders.values()):
        check(tree)
        for _ in range(10):
            tree, _names = opened.mutate(tree, generator("own", k), 1.0)
            check(tree)


@pytest.mark.parametrize("name", ["sgd", "lion", "adagrad"])
def test_a_founder_without_the_standard_averages_gets_them_asleep(name):
    texts = founder_texts(configured("expression", name))
    (tree,) = opened_by(SPACES["expression"], texts).founders.values()
    own = file_of(settled(check(parse((ZOO / f"{name}.opt").read_text()), ZOO)))
    assert canonical(check(tidied(tree))).hash == canonical(check(own)).hash
    (site,) = sites(tree, whole_program=False)
    assert {"m", "v", "vhat", "eps"} <= set(site.readable)


SECOND_NAMES = """
param lr = 0.1
param wide = true
state m = 0
m <- 0.9*m + g
let x = m
let y = x
when wide { let z = y.T @ x } else { let z = x.T @ y }
update = norm(y)*(x @ z) + sum(x per row)
"""


def test_second_names_go_wherever_they_stand():
    tree = parse(SECOND_NAMES)
    text = format_file(unplaced(tidied(tree)))
    assert "let x" not in text and "let y" not in text and "m.T @ m" in text
    assert canonical(check(parse(text))).hash == canonical(check(tree)).hash


@pytest.mark.parametrize("name", zoo_names())
def test_a_rule_of_the_zoo_that_is_tidied_is_the_same_rule(name):
    tree = parse(text_of(replace(zoo(name), applies=None)))
    assert canonical(check(tidied(tree))).hash == canonical(check(tree)).hash


BAD = {
    ("expression", "adm"): "did you mean `adam`",
    ("paper", "lion"): "cannot open the space `paper`",
    ("paper", "adam", "adam"): "two are called `adam`",
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_founders_that_do_not_fit_are_refused_in_words(case):
    with pytest.raises(ConfigError, match=BAD[case]):
        founder_texts(configured(*case))
