"""The report of a real search: its figures against the store's own tables, and its page in a real browser."""

import itertools
import re
import shutil
import sqlite3
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from optc.dsl.text.parser import parse
from optc.search.cli import cli
from optc.search.fair.record import RECORD, write_record
from optc.search.report.ancestry import ancestry
from optc.search.report.drawing import Scale, apart, tag
from optc.search.report.findings import Findings, Seeds
from optc.search.report.mathematics import typeset_rule
from optc.search.report.page import page
from optc.search.report.verdict import verdict
from optc.search.runs.run import create
from optc.search.runs.store import Individual, Store
from optc.search.spaces.trees import tidied

from .conftest import ATTACK, RULE


@pytest.fixture(scope="module")
def found(finished_run):
    return Findings(Store.open(finished_run))


# ---------------------------------------------------------------- figures


def test_spreads_are_the_quartiles_of_the_stored_populations(found, finished_run):
    with sqlite3.connect(finished_run / "run.sqlite") as database:
        rows = database.execute(
            "SELECT m.generation, fitness FROM members m JOIN individuals i ON i.id = m.individual ORDER BY fitness"
        ).fetchall()
    for number, spread in enumerate(found.spreads):
        values = [fitness for generation, fitness in rows if generation == number]
        assert len(values) == spread.members == 6
        assert spread.best == values[-1]
        assert spread.median == pytest.approx((values[2] + values[3]) / 2)
        low, high = values[1] + 0.25 * (values[2] - values[1]), values[3] + 0.75 * (values[4] - values[3])
        assert (spread.low, spread.high) == pytest.approx((low, high))


def test_ledger_counts_every_refusal_and_failed_run(found, finished_run):
    with sqlite3.connect(finished_run / "run.sqlite") as database:
        reasons = [r for (r,) in database.execute("SELECT reason FROM refusals")]
        reasons += [f"training: {r}" for (r,) in database.execute("SELECT reason FROM runs WHERE reason != ''")]
    assert {r.text: r.count for r in found.ledger} == Counter(reasons)
    assert sorted((r.count for r in found.ledger), reverse=True) == [r.count for r in found.ledger]


def test_shares_of_every_generation_sum_to_one(found):
    columns = zip(*found.shares.rows.values(), strict=True)
    assert [sum(column) for column in columns] == pytest.approx([1.0] * len(found.spreads))


def test_rare_names_share_a_row(found):
    from optc.search.report.findings import SHARES_SHOWN, _shares

    counts = [Counter({f"op{k}": 20 - k for k in range(12)})]
    rows = _shares(counts)
    assert len(rows) == SHARES_SHOWN
    assert list(rows)[-1] == "others"
    assert sum(row[0] for row in rows.values()) == pytest.approx(1.0)


def test_interval_is_students(found):
    assert Seeds("r", "t", (1.0, 2.0, 3.0)).interval == pytest.approx(
        (2 - 4.302652730 / 3**0.5, 2 + 4.302652730 / 3**0.5)
    )
    assert Seeds("r", "t", (1.5,)).interval == (1.5, 1.5)


def test_no_scored_rule_is_said_in_words(finished_run, tmp_path):
    from optc.search.runs.run import config_of

    store = create(config_of(Store.open(finished_run)), tmp_path / "empty")
    store.close()
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "empty")])
    assert done.exit_code == 1
    assert "no scored individual yet" in done.stderr


def test_no_finished_generation_is_said_in_words(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "run.sqlite") as database:
        database.execute("DELETE FROM members")
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "no finished generation yet" in done.stderr


def test_report_cannot_be_written_is_said_in_words(finished_run, tmp_path):
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(cli, ["report", str(finished_run), "-o", str(tmp_path / "file" / "report.html")])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


# ---------------------------------------------------------------- the family


def _family(parents):
    return {
        one: Individual(one, int(one.split(".")[0]), 0, one, "", ("cross",), tuple(of), score)
        for one, (of, score) in parents.items()
    }


def test_main_line_goes_through_the_fitter_parents():
    family = _family({"0.0": ([], 1.0), "0.1": ([], 2.0), "1.0": (["0.0", "0.1"], 1.5), "2.0": (["1.0", "0.0"], 3.0)})
    tree = ancestry(family["2.0"], family)
    assert {a.individual.id for a in tree.members if a.main} == {"2.0", "1.0", "0.1"}
    assert {(d.parent, d.child) for d in tree.descents} == {
        ("0.0", "1.0"),
        ("0.1", "1.0"),
        ("1.0", "2.0"),
        ("0.0", "2.0"),
    }
    (skipping,) = [d for d in tree.descents if (d.parent, d.child) == ("0.0", "2.0")]
    assert [layer for layer, _ in skipping.places] == [0, 1, 2]


def test_places_of_a_layer_differ():
    rng = np.random.default_rng(2)
    born = itertools.product(range(5), range(6))
    parents = {f"{g}.{k}": [f"{g - 1}.{p}" for p in rng.integers(6, size=2)] if g else [] for g, k in born}
    family = _family({one: (of, float(rng.random())) for one, of in parents.items()})
    tree = ancestry(family["4.0"], family, shown=9)
    assert len(tree.members) == 9
    assert tree.hidden > 0
    stops = {(layer, slot) for d in tree.descents for layer, slot in d.places[1:-1]}
    members = [(a.layer, a.slot) for a in tree.members]
    assert len(set(members)) == len(members)
    assert not stops & set(members)


# ---------------------------------------------------------------- drawing


def test_tags_escape_all_they_are_given():
    assert tag("text", ATTACK, aria_label=ATTACK).count("<") == 2
    assert '"window' not in tag("text", aria_label=ATTACK)


def test_ticks_are_round_and_inside():
    for low, high in [(0.93, 1.04), (-3, 17), (0, 1), (1e-7, 3e-7)]:
        ticks = Scale(low, high, 0, 100).ticks(5)
        assert 2 <= len(ticks) <= 8
        assert all(low - 1e-12 <= t <= high + 1e-12 for t in ticks)


def test_labels_keep_apart_in_order():
    placed = apart([10, 11, 12, 90], 0, 100, gap=15)
    assert all(b - a >= 15 for a, b in itertools.pairwise(placed))
    assert placed[0] >= 0
    assert placed[-1] <= 100


# ---------------------------------------------------------------- mathematics


def test_weights_stand_in_the_formula_and_a_negative_one_is_taken_away():
    shown = typeset_rule(tidied(parse(RULE.format(doc="", a=1))))
    words = re.sub(r"<[^>]*>", "", str(shown.update))
    assert words == "update=m−0.5\u2062sign(g)"
    assert shown.traffic.state_bytes == {"m": 4.0}


def test_outputs_that_are_other_names_are_said_once(found):
    shown = typeset_rule(found.tree(found.founders[0]))
    assert "<mi>decay</mi>" not in shown.formulas


# ---------------------------------------------------------------- the page as text


class _Outline(HTMLParser):
    VOID = frozenset(("meta", "link", "br", "img", "input", "hr"))

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.ids, self.addresses = [], [], [], []

    def handle_starttag(self, name, attributes):
        attributes = dict(attributes)
        self.open += [] if name in self.VOID else [name]
        self.headings += [int(name[1])] if re.fullmatch("h[1-6]", name) else []
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [attributes[a] for a in ("src", "href") if a in attributes]

    def handle_endtag(self, name):
        assert self.open.pop() == name


@pytest.fixture(scope="module")
def text(finished_run):
    return page(Store.open(finished_run))


def test_page_is_well_formed_and_its_headings_in_order(text):
    outline = _Outline()
    outline.feed(text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.headings[0] == 1 and outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(outline.headings))


def test_page_needs_nothing_but_itself(text):
    outline = _Outline()
    outline.feed(text)
    assert set(outline.addresses) == {"data:,", "#content"}
    assert "url(" not in text and "@import" not in text


def test_page_makes_no_claim_from_search_scores(text):
    assert "No claim is made." in text
    assert "Search scores are optimistic" in text


TESTED = {
    "begun": "2026-01-01T00:00:00+00:00",
    "plan": {"seeds": 20},
    "winner": {"individual": "1.2", "rank": 3, "text": ""},
    "search": 0.9,
    "selection": {"mean": 0.8, "low": 0.75, "high": 0.85},
    "test": {"mean": 0.7, "low": 0.65, "high": 0.75},
    "finished": "2026-01-01T00:01:00+00:00",
}


@pytest.fixture
def record(finished_run):
    """Writes what `optsearch test` would have, and takes it away again."""
    yield lambda found_out: write_record(finished_run, found_out)
    (finished_run / RECORD).unlink()


def test_a_test_in_the_open_allows_no_claim(found, record):
    record({key: TESTED[key] for key in ("begun", "plan", "winner", "search", "selection")})
    said = verdict(found)
    assert not said.made
    assert "not finished" in said.sentences[0]


def test_a_winner_tested_alone_is_claimed_over_nobody(found, record):
    record(TESTED)
    said = verdict(found)
    assert not said.made
    assert "tested alone" in said.sentences[0]
    assert "lost 0.2000" in said.tested
    assert [score.mean for score in said.scores.values()] == [0.9, 0.8, 0.7]


def test_claims_are_the_tests_own(found, record):
    claims = [{"made": True, "sentence": "A beats B."}, {"made": False, "sentence": "No claim about A."}]
    record(TESTED | {"standings": {"claims": claims}})
    assert verdict(found).made
    assert verdict(found).sentences == ("A beats B.", "No claim about A.")
    record(TESTED | {"standings": {"claims": claims[1:]}})
    assert not verdict(found).made
    assert verdict(found).sentences == ("No claim about A.",)
    assert "No claim about A." in page(Store.open(found.folder))


def test_unfinished_run_says_how_to_go_on(hostile_store):
    assert f"optsearch resume {hostile_store.folder}" in page(hostile_store)
