"""Tables, text, a pole to balance and tasks of one's own: what is learnt, by what it is judged, and what is refused."""

import sys
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optc.search.config import ConfigError, checked, read_config
from optc.search.fair.final import tested as judged_by_the_test_split
from optc.search.spaces.founders import founder_texts
from optc.search.tasks.characters import CONTEXT, LEAST, PAGE
from optc.search.tasks.data import DataError
from optc.search.tasks.own import SETTINGS
from optc.search.tasks.sources import test_examples as unseen_examples
from optc.search.tasks.sources import training_examples
from optc.search.tasks.task import TASKS, problem
from optc.search.training.evaluate import Evaluator, Job
from optc.search.training.train import train

SPIRAL = Path(__file__).parents[2] / "examples" / "spiral.py"


def adamw(lr):
    return lambda parameters, steps: torch.optim.AdamW(parameters, lr=lr)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTC_DATA", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(("name", "columns", "least"), [("breast_cancer", 30, 0.9), ("wine", 13, 0.9)])
def test_tables_of_classes(folder, name, columns, least):
    made = problem(name, 0)
    shown = made.shown(made.train[0]).double()
    assert shown.shape[1] == columns
    np.testing.assert_allclose(shown.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(shown.std(0, correction=0), 1, atol=1e-5)
    curve = train(adamw(3e-3), made, steps=150, batch_size=64, seed=1)
    assert curve.accuracy >= least and curve.losses[-1] < 0.2


def test_a_regression_begins_near_1_and_is_judged_by_r_squared(folder):
    from sklearn.metrics import r2_score

    made = problem("diabetes", 0)
    curve = train(adamw(3e-3), made, steps=100, batch_size=64, seed=1)
    assert 0.7 < curve.losses[0] < 1.4 and 0.2 < curve.accuracy < 0.8
    torch.manual_seed(0)
    model = made.model()
    for parameters in model.parameters():
        parameters.data.mul_(0.7)
    inputs, targets = made.validation
    with torch.no_grad():
        expected = r2_score(targets.numpy(), model(made.shown(inputs))[:, 0].numpy())
    assert made.accuracy(model) == pytest.approx(max(0, expected), abs=1e-6)


def table(columns=5, whole=True, count=200):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, columns))
    x[:, -1] = 3  # a column that says nothing
    y = x[:, 0] + 2 * x[:, 1]
    y = (y > 0).astype(np.int64) if whole else y
    return {"x_train": x, "y_train": y, "x_test": x[:20], "y_test": y[:20]}


@pytest.mark.parametrize("whole", [True, False], ids=["classes", "numbers"])
def test_a_table_of_ones_own_is_a_task(folder, whole):
    np.savez(folder / "mine.npz", **table(whole=whole))
    curve = train(adamw(1e-2), problem("mine", 0), steps=120, batch_size=64, seed=1)
    assert curve.accuracy > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.full((200, 5), np.nan)}, "x_train must be finite.*with NaN"),
        ({"x_train": np.full((200, 5), 1e300)}, "infinite in float32"),
        ({"y_train": np.full(200, np.inf)}, "one finite number for each of the 200 rows"),
        ({"y_train": np.full(200, 2.5)}, "every y_train is 2.5, so there is nothing to learn"),
        ({"x_train": np.zeros((200, 0))}, "shape"),
        ({"y_train": np.zeros(7)}, "one finite number for each of the 200 rows"),
        ({"y_train": np.array(["a"] * 200)}, "one whole number"),
        ({"x_train": np.array([["a"] * 5] * 200)}, "finite numbers of shape"),
    ],
)
def test_a_bad_table_is_refused_in_words(folder, change, message):
    np.savez(folder / "mine.npz", **(table() | change))
    with pytest.raises(DataError, match=message):
        problem("mine", 0)


# ---------------------------------------------------------------- text

LINE = "the quick brown fox jumps over the lazy dog again and again; "


@pytest.fixture
def written(folder):
    """A text task of one's own: `fox`, four hundred pages of different beginnings."""
    rng = np.random.default_rng(0)
    text = "".join(LINE[: 20 + int(k)] for k in rng.integers(0, 40, 3 * LEAST // 40)) + "é"
    (folder / "fox.txt").write_text(text, encoding="utf-8")
    return text


def test_a_text_is_cut_into_pieces_that_are_asked_for_the_next_character(written):
    made = problem("fox", 0)
    inputs, targets = (x.numpy() for x in made.train)
    assert inputs.shape == targets.shape and inputs.shape[1] == CONTEXT
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    training = written[: len(written) - int(len(written) * 0.1)]
    letters = sorted(set(training))
    assert made.kinds <= len(letters) and "é" not in letters
    for page in inputs.reshape(-1, PAGE * CONTEXT)[:5]:
        assert "".join(letters[k] for k in page) in training


def test_the_end_of_a_text_is_its_test_split(written):
    form = TASKS["fox"].form
    seen, unseen = training_examples("fox", form), unseen_examples("fox", form)
    letters = sorted(set(written[: len(written) - int(len(written) * 0.1)]))
    end = "".join(letters[k] for k in unseen.inputs.ravel())
    assert written[-int(len(written) * 0.1) :].startswith(end)
    assert 0.08 < len(unseen) / (len(seen) + len(unseen)) < 0.12
    made = judged_by_the_test_split(checked({}, "a test"), "fox", torch.device("cpu"))
    assert len(made.validation[1]) == PAGE * len(unseen)


def test_pages_of_one_part_never_show_in_another(written):
    parts = TASKS["fox"].splits(0, 0, 0)
    count = len(training_examples("fox", TASKS["fox"].form))
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(count))


def test_the_transformer_looks_back_alone_and_learns(written):
    made = problem("fox", 0)
    torch.manual_seed(0)
    model, (inputs, _) = made.model(), next(made.batches(4, torch.Generator().manual_seed(0)))
    changed = inputs.clone()
    changed[:, 40] = (changed[:, 40] + 1) % made.kinds
    before, after = model(inputs), model(changed)
    torch.testing.assert_close(before[:, :40], after[:, :40], rtol=0, atol=1e-6)
    assert (before[:, 40:] - after[:, 40:]).abs().amax((0, 2)).min() > 1e-4
    curve = train(adamw(1e-2), made, steps=60, batch_size=16, seed=1)
    assert curve.losses[0] == pytest.approx(log(made.kinds), abs=0.5)
    assert curve.accuracy > 0.5 and curve.losses[-1] < 1.5


def test_a_text_is_judged_by_the_uncertainty_that_is_gone(written):
    made = problem("fox", 0)

    class Uniform(nn.Module):
        def forward(self, x):
            return torch.zeros(*x.shape, made.kinds)

    class Knows(nn.Module):
        def forward(self, x):
            following = {tuple(i.tolist()): t for i, t in zip(*made.validation, strict=True)}
            right = torch.stack([following[tuple(row.tolist())] for row in x])
            return 100.0 * nn.functional.one_hot(right, made.kinds)

    assert made.accuracy(Uniform()) == pytest.approx(0, abs=1e-6)
    assert made.accuracy(Knows()) == pytest.approx(1, abs=1e-6)


def test_a_bad_text_is_refused_in_words(folder):
    (folder / "short.txt").write_text("too short")
    (folder / "other.txt").write_bytes(b"\xff\xfe" * LEAST)
    for name, message in (("short", "9 characters, too few"), ("other", "not UTF-8 text")):
        with pytest.raises(DataError, match=message):
            problem(name, 0)
    with pytest.raises(DataError, match=r"input\.txt of .*OPTC_DATA"):
        problem("tinyshakespeare", 0)


# ---------------------------------------------------------------- larger networks

NETWORKS = {"cifar10_resnet18": 11_173_962, "cifar10_vit": 546_186}


@pytest.mark.parametrize("name", NETWORKS)
def test_larger_networks_learn_the_same_images(folder, name):
    """ResNet-18's count for 32x32 images is that of the usual CIFAR variant; the ViT's follows from its widths."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), np.arange(40) % 10
    np.savez(folder / "cifar10.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    made = problem(name, 0)
    assert sum(p.numel() for p in made.model().parameters()) == NETWORKS[name]
    curve = train(adamw(1e-3), made, steps=2, batch_size=4, seed=0)
    assert not curve.diverged and curve.losses[0] == pytest.approx(log(10), abs=0.8)


# ---------------------------------------------------------------- the pole


class Steers(nn.Module):
    """Pushes to where the pole falls, which balances it, or to the left always."""

    def __init__(self, blindly=False):
        super().__init__()
        self.blindly = blindly

    def forward(self, x):
        falls = torch.full_like(x[:, 0], -1.0) if self.blindly else x @ torch.tensor([0.1, 0.3, 3.0, 1.0])
        return torch.stack([-falls, falls], 1)


def test_the_pole_stands_for_whoever_steers_it():
    pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'optc[rl]'")
    made = problem("cartpole", 0)
    assert made.accuracy(Steers()) == 1
    assert made.accuracy(Steers(blindly=True)) == pytest.approx(9.4 / 500, abs=1 / 500)


def test_a_policy_learns_from_its_own_episodes_to_the_same_bits():
    pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'optc[rl]'")
    runs = [train(adamw(1e-2), problem("cartpole", 0), steps=25, batch_size=16, seed=1) for _ in range(2)]
    assert np.array_equal(runs[0].losses, runs[1].losses) and runs[0].accuracy == runs[1].accuracy
    assert runs[0].losses[0] > 0.9 and runs[0].losses[-5:].mean() < 0.8
    assert ((runs[0].losses >= 0) & (runs[0].losses < 1)).all()


def test_each_part_has_episodes_of_its_own():
    pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'optc[rl]'")
    torch.manual_seed(0)
    parts = [problem("cartpole", 0, part=part) for part in ("search", "selection", "test")]
    model = parts[0].model()
    assert len({made.accuracy(model) for made in parts}) == 3


def test_without_gymnasium_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(DataError, match=r"pip install 'optc\[rl\]'"):
        TASKS["cartpole"].splits(0, 0, 0)


# ---------------------------------------------------------------- a class of one's own


def own(name):
    return checked({"training": {"tasks": [name]}}, "a test").training.tasks[0]


def test_the_example_of_an_own_task_is_searched_on(monkeypatch, tmp_path, optsearch, tiny):
    monkeypatch.chdir(SPIRAL.parent.parent)
    name = own("examples/spiral.py:Spiral")
    assert name == f"{SPIRAL}:Spiral"
    curve = train(adamw(1e-2), problem(name, 0), steps=300, batch_size=64, seed=1)
    assert curve.losses[0] == pytest.approx(log(2), abs=0.2) and curve.accuracy > 0.9
    monkeypatch.chdir(tmp_path)
    changes = ("--set", "search.generations=1", "--set", f'training.tasks=["{name}"]')
    assert optsearch("run", tiny, "--out", "run", *changes)[0] == 0
    status, out, err = optsearch("test", "run", "--seeds", 2)
    assert status == 0 and "shrinkage" in out, err


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "gone.py:Spiral", "there is no file .*gone.py"),
        ("", "mine.py:Spiral", "has no `Spiral`"),
        ("Spiral = 7", "mine.py:Spiral", "is no task: it lacks name, problem, splits"),
        ("def", "mine.py:Spiral", "cannot be run: SyntaxError"),
        ("1/0", "mine.py:Spiral", "cannot be run: ZeroDivisionError"),
        ("class Spiral:\n    def __init__(self, x): pass", "mine.py:Spiral", "cannot be made: TypeError"),
        ("class Spiral:\n    def __init__(self): raise SystemExit(0)", "mine.py:Spiral", "cannot be made: SystemExit"),
        ("raise SystemExit(0)", "mine.py:Spiral", "cannot be run: SystemExit"),
        ("class Spiral:\n    name, problem, splits = 7, print, print", "mine.py:Spiral", "its name is no text"),
    ],
)
def test_a_bad_own_task_is_refused_in_words(tmp_path, text, name, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        own(f"{tmp_path}/{name}")


MISBEHAVIOURS = {
    "Spirals.loss = lambda self, model, batch: sys.exit(0)": "ended the program",
    "Spirals.batches = lambda self, size, draw: iter([points(size, draw)])": "batches ended after 1 of 6 steps",
    "Spirals.accuracy = lambda self, model: None": "TypeError: float",
    "Spirals.model = lambda self: int('one\\ntwo')": "ValueError: invalid literal",
}


@pytest.mark.parametrize("text", MISBEHAVIOURS)
def test_a_task_that_misbehaves_fails_in_words(tmp_path, tiny, text):
    (tmp_path / "mine.py").write_text(f"{SPIRAL.read_text()}\nimport sys\n{text}\n")
    config = read_config(tiny)
    rule = next(iter(founder_texts(config).values()))
    (found,) = Evaluator(config).together([Job("k", rule, f"{tmp_path}/mine.py:Spiral", 0, 6)])
    assert found.fitness == -1
    assert MISBEHAVIOURS[text] in found.reason and "\n" not in found.reason


MEDDLING = """
torch.set_default_dtype(torch.float64)

def meddled(self, model, batch, whole=Spirals.loss):
    torch.set_num_threads(3), torch.set_grad_enabled(False), torch.use_deterministic_algorithms(True)
    raise RuntimeError("\\udcff")

Spirals.loss = meddled
"""


def test_a_task_leaves_torch_as_it_was(tmp_path, tiny):
    (tmp_path / "mine.py").write_text(f"{SPIRAL.read_text()}\n{MEDDLING}")
    before = [ask() for ask, _ in SETTINGS]
    config = read_config(tiny, [f"training.tasks=['{tmp_path}/mine.py:Spiral']"])
    rule = next(iter(founder_texts(config).values()))
    (found,) = Evaluator(config).together([Job("k", rule, config.training.tasks[0], 0, 6)])
    assert found.reason == "RuntimeError: ?"
    assert [ask() for ask, _ in SETTINGS] == before


def test_an_accuracy_may_be_a_tensor(tmp_path, tiny):
    text = "Spirals.accuracy = lambda self, model: torch.tensor(0.5)"
    (tmp_path / "mine.py").write_text(f"{SPIRAL.read_text()}\n{text}\n")
    config = read_config(tiny)
    rule = next(iter(founder_texts(config).values()))
    (found,) = Evaluator(config).together([Job("k", rule, f"{tmp_path}/mine.py:Spiral", 0, 6)])
    assert type(found.accuracy) is float and found.accuracy == 0.5


@pytest.mark.parametrize("splits", ["None", "{'train': ['a']}", "1/0"])
def test_splits_that_cannot_be_had_are_said_in_words(tmp_path, tiny, optsearch, splits):
    text = f"Spiral.splits = lambda *given: {splits}"
    (tmp_path / "mine.py").write_text(f"{SPIRAL.read_text()}\n{text}\n")
    status, _, errors = optsearch("run", tiny, "--set", f"training.tasks=['{tmp_path}/mine.py:Spiral']")
    assert status == 1 and "splits of" in errors and "cannot be had" in errors
    assert not (tmp_path / "runs").exists()
