"""The live table: what it shows after events that are known, and a real search shown on a terminal."""

import io

import pytest
from rich.console import Console

from optc.search.config import read_config
from optc.search.evolve.population import Candidate, Generation, Member, Merit, Refusal
from optc.search.runs.live import Board
from optc.search.runs.progress import Lines, make_listener
from optc.search.runs.run import create, run
from optc.search.spaces.paper import FOUNDERS, write

ADAM, RMSPROP, MOMENTUM = (write(FOUNDERS[name]) for name in ("adam", "rmsprop", "sgd_momentum"))


def board(width=100):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    return Board(console), console


def candidate(place, tree, *reasons):
    return Candidate(0, place, tree, ("random",), (), tuple(Refusal(tree, reason) for reason in reasons))


@pytest.fixture
def after_events():
    """Four rules scored: two on the front, one beaten by a simpler one, one that failed."""
    shown, console = board()
    shown.started(8, known=0)
    scores = [(ADAM, 0.95, ()), (MOMENTUM, 0.5, ("ascends",)), (RMSPROP, 0.4, ("ascends", "too large")), (ADAM, -1, ())]
    born = [(candidate(k, tree, *reasons), fitness) for k, (tree, fitness, reasons) in enumerate(scores)]
    for child, fitness in born:
        shown.scored(child, fitness, fresh=True)
    shown.generation(Generation(0, tuple(Member(child, Merit(0, fitness)) for child, fitness in born)))
    shown.finished()
    return shown, console


def test_front_holds_the_best_and_the_best_of_the_simpler(after_events):
    shown, _ = after_events
    assert [(c.id, fitness) for _, fitness, c in shown.front] == [("0.1", 0.5), ("0.0", 0.95)]


def test_reasons_are_counted_failures_of_training_too(after_events):
    shown, _ = after_events
    assert shown.reasons == {"ascends": 2, "too large": 1, "failed in training": 1}


def test_diversity_counts_structures_and_not_rules(after_events):
    shown, _ = after_events
    assert shown.diversity == "3 different structures among the 4 rules of generation 0"


def test_table_says_all_of_it(after_events):
    shown, console = after_events
    with console.capture() as captured:
        console.print(shown.view())
    text = captured.get()
    for words in ("4/8 rules", "0.9500", "0.5000", "  m   [lr", "ascends", "3 different structures", "left", "passed"):
        assert words in text
    assert text.index("0.9500") < text.index("0.5000")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_table_fits_the_terminal(after_events, width):
    shown, _ = after_events
    lines = Console(width=width, file=io.StringIO()).render_lines(shown.view(), pad=False)
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)


def test_many_reasons_are_shortened():
    shown, console = board()
    shown.started(9, known=0)
    shown.scored(candidate(0, ADAM, *(f"reason {k}" for k in range(7))), 0.5, fresh=True)
    shown.finished()
    with console.capture() as captured:
        console.print(shown.view())
    assert "3  for other reasons" in captured.get()


def test_ending_before_the_start_leaves_the_terminal_alone():
    shown, console = board()
    shown.finished()
    assert console.file.getvalue() == ""


def test_real_search_on_a_terminal(tiny, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=90, color_system=None)
    config = read_config(tiny)
    store = create(config, tmp_path / "run")
    run(store, config, make_listener(console))
    best = store.hall_of_fame(1)[0]
    written = console.file.getvalue()
    assert [f"generation   {k}  best" in written for k in range(3)] == [True] * 3
    assert f"{best.fitness:.4f}" in written
    assert "14/14 rules" in written


def test_without_a_terminal_there_are_plain_lines():
    assert isinstance(make_listener(Console(file=io.StringIO())), Lines)
