"""Data: where it comes from, how it is split, what a batch is; bad data is refused in words."""

import numpy as np
import pytest
import torch

from optc.search.config import Config
from optc.search.tasks import sources
from optc.search.tasks.augment import crop_and_flip
from optc.search.tasks.data import DataError, Examples, as_images, data_folder
from optc.search.tasks.images import Classification
from optc.search.tasks.sources import training_examples
from optc.search.tasks.splits import split
from optc.search.tasks.task import TASKS, problem
from optc.search.training.train import train


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTC_DATA", str(tmp_path))
    return tmp_path


def training_images(name):
    return training_examples(name, as_images)


def arrays(count=60, shape=(28, 28), classes=10, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = np.arange(count) % classes
    return {"x_train": images, "y_train": labels, "x_test": images[:10], "y_test": labels[:10]}


# ---------------------------------------------------------------- where data comes from


def test_the_folder_is_the_named_one_else_the_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("OPTC_DATA", str(tmp_path / "here"))
    assert data_folder() == tmp_path / "here"
    monkeypatch.delenv("OPTC_DATA")
    monkeypatch.delenv("OPTC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder() == tmp_path / "cache" / "optc" / "data"


def test_an_npz_is_used_as_it_is(folder):
    given = arrays()
    np.savez(folder / "mnist.npz", **given)
    read = training_images("mnist")
    np.testing.assert_array_equal(read.inputs[..., 0], given["x_train"])
    np.testing.assert_array_equal(read.targets, given["y_train"])


BROKEN = {
    "not an archive": (b"hello", "not a readable .npz"),
    "cut short": (None, "not a readable .npz"),
    "a key missing": ({"y_test": None}, "lacks y_test"),
    "floats": ({"x_train": np.zeros((60, 28, 28))}, "uint8"),
    "flat": ({"x_train": np.zeros((60, 784), np.uint8)}, "shape"),
    "too few labels": ({"y_train": np.zeros(59, np.int64)}, "one whole number for each of the 60"),
    "labels that are no numbers": ({"y_train": np.array(["cat"] * 60)}, "one whole number"),
    "numbers in place of classes": ({"y_train": np.full(60, 250_000)}, "numbers to be predicted are floats"),
    "negative labels": ({"y_train": np.full(60, -1)}, "from 0"),
    "one class": ({"y_train": np.zeros(60, np.int64)}, "nothing to learn"),
    "channels first": ({"x_train": np.zeros((60, 3, 28, 28), np.uint8)}, "channels come last"),
    "no pixels": ({"x_train": np.zeros((60, 0, 28), np.uint8)}, "of shape"),
    "pickled objects": ({"y_train": np.array([None] * 60)}, "not a readable .npz"),
    "empty": ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, np.int64)}, "empty"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_npz_is_refused_in_words(folder, case):
    change, message = BROKEN[case]
    path = folder / "mnist.npz"
    given = {k: v for k, v in (arrays() | (change if isinstance(change, dict) else {})).items() if v is not None}
    np.savez(path, **given)
    if case == "cut short":
        path.write_bytes(path.read_bytes()[:-200])
    if isinstance(change, bytes):
        path.write_bytes(change)
    with pytest.raises(DataError, match=message) as raised:
        training_images("mnist")
    assert str(path) in str(raised.value)


def test_a_test_split_that_does_not_go_with_the_training_one_is_refused_in_words():
    train = Examples(np.zeros((3, 4), np.float32), np.array([0, 1, 2]))
    for inputs, label, words in ((np.zeros((1, 5)), 0, "shape"), (np.zeros((1, 4)), 3, "y_test goes up to 3, y_train")):
        with pytest.raises(DataError, match=words):
            train.followed_by(Examples(inputs.astype(np.float32), np.array([label])), "mine")


def test_a_failed_download_says_what_to_do(folder, monkeypatch):
    import torchvision

    def unreachable(*args, **kwargs):
        raise RuntimeError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "MNIST", unreachable)
    with pytest.raises(DataError, match="no route to host") as raised:
        training_images("mnist")
    assert "OPTC_DATA" in str(raised.value) and "\n" not in str(raised.value)


def test_an_unknown_data_set_is_refused_in_words(folder):
    with pytest.raises(DataError, match="there is no data set `nmist`"):
        training_images("nmist")


def test_too_little_data_to_split(folder):
    np.savez(folder / "mnist.npz", **arrays(count=5))
    with pytest.raises(DataError, match="too few to split"):
        problem("mnist", 0)


def test_an_npz_of_ones_own_is_a_task(folder):
    np.savez(folder / "mine.npz", **arrays(shape=(13, 17, 3), classes=4))
    assert Config.model_validate({"training": {"tasks": ["mine"]}}).training.tasks == ("mine",)
    curve = train(lambda p, n: torch.optim.AdamW(p), problem("mine", 0), steps=3, batch_size=8, seed=0)
    assert np.isfinite(curve.losses).all() and not curve.diverged


def test_a_task_that_is_neither_is_refused_in_words(folder):
    with pytest.raises(DataError, match=r"no task `mine`.*put mine\.npz or mine\.txt into"):
        problem("mine", 0)


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("count", [10, 999, 60_000])
def test_splits_are_disjoint_and_whole(count):
    parts = split(count, seed=1)
    together = np.concatenate([parts.train, parts.search, parts.selection])
    np.testing.assert_array_equal(np.sort(together), np.arange(count))
    assert abs(len(parts.train) - 0.8 * count) <= 1 and abs(len(parts.search) - 0.1 * count) <= 1


def test_splits_are_the_seeds():
    np.testing.assert_array_equal(split(100, 1).train, split(100, 1).train)
    assert (split(100, 1).train != split(100, 2).train).any()


def test_limits_keep_the_parts_apart():
    whole, cut = split(1000, 1), split(1000, 1, train_images=50, validation_images=7)
    np.testing.assert_array_equal(cut.train, whole.train[:50])
    np.testing.assert_array_equal(cut.search, whole.search[:7])
    np.testing.assert_array_equal(cut.selection, whole.selection)


def test_the_digits_test_split_is_set_aside():
    train, test = training_images("digits"), sources.test_examples("digits", as_images)
    assert (len(train), len(test)) == (1438, 359)
    rows = {image.tobytes() for image in train.inputs}
    assert sum(image.tobytes() in rows for image in test.inputs) == 0


# ---------------------------------------------------------------- batches


def numbered(count=20):
    """Image k is all k, so that a batch shows which images it took."""
    images = np.repeat(np.arange(count, dtype=np.uint8), 64).reshape(count, 8, 8, 1)
    return Examples(images, np.arange(count) % 10)


def test_an_epoch_shows_every_image_once():
    parts = split(20, 0)
    made = Classification(TASKS["digits"], numbered(), parts.train, parts.search, torch.device("cpu"))
    batches = made.batches(4, torch.Generator().manual_seed(0))
    epochs = [[next(batches) for _ in range(4)] for _ in range(2)]
    seen = [torch.cat([(x / made.scale + made.mean)[:, 0, 0, 0] for x, _ in epoch]).round() for epoch in epochs]
    for epoch in seen:
        assert sorted(epoch.tolist()) == sorted(parts.train.tolist())
    assert seen[0].tolist() != seen[1].tolist()


def test_batches_are_normalised_by_the_training_part_alone():
    given = numbered(100)
    parts = split(100, 0)
    given.inputs[np.concatenate([parts.search, parts.selection])] = 255
    made = Classification(TASKS["digits"], given, parts.train, parts.search, torch.device("cpu"))
    x, _ = next(made.batches(80, torch.Generator().manual_seed(0)))
    assert abs(float(x.mean())) < 1e-5 and abs(float(x.std(correction=0)) - 1) < 1e-5


def test_each_part_is_judged_by_its_own_images():
    parts = split(1438, 0)
    for part, indices in (("search", parts.search), ("selection", parts.selection)):
        judged = problem("digits", 0, part=part).validation[1]
        np.testing.assert_array_equal(judged, training_images("digits").targets[indices])


def test_a_batch_larger_than_the_data_is_the_data():
    parts = split(20, 0)
    made = Classification(TASKS["digits"], numbered(), parts.train, parts.search, torch.device("cpu"))
    assert len(next(made.batches(500, torch.Generator()))[1]) == 16


SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}


@pytest.mark.parametrize("name", SHAPES)
def test_the_networks_fit_their_images(name):
    shape = SHAPES[name]
    given = arrays(shape=shape)
    images = given["x_train"].reshape(60, *shape[:2], -1)
    parts = split(60, 0)
    labelled = Examples(images, given["y_train"])
    made = Classification(TASKS[name], labelled, parts.train, parts.search, torch.device("cpu"))
    batch = next(made.batches(8, torch.Generator()))
    assert made.model()(batch[0]).shape == (8, 10)


PAPERS_PARAMETERS = {"mnist": 320 + 18_496 + 803_072 + 2_570, "cifar10": 10_144 + 64 + 55_424 + 128 + 2_097_664 + 5_130}


@pytest.mark.parametrize("name", PAPERS_PARAMETERS)
def test_the_papers_networks_have_the_papers_sizes(name):
    model = TASKS[name].model(1 if name == "mnist" else 3, 10)
    assert sum(p.numel() for p in model.parameters()) == PAPERS_PARAMETERS[name]


def test_augmentation_is_a_crop_and_a_flip_of_each_image():
    images = torch.randint(1, 256, (40, 3, 12, 12), dtype=torch.uint8)
    done = crop_and_flip(images, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (4,) * 4)
    kinds = set()
    for before, after in zip(padded, done, strict=True):
        crops = {(r, c): before[:, r : r + 12, c : c + 12] for r in range(9) for c in range(9)}
        places = [(*at, False) for at, crop in crops.items() if torch.equal(after, crop)]
        places += [(*at, True) for at, crop in crops.items() if torch.equal(after, crop.flip(2))]
        assert len(places) == 1
        kinds.add(places[0])
    assert len(kinds) > 30
    assert {flip for _, _, flip in kinds} == {False, True}
