"""Rules trained side by side: to the bit what each is alone, and one's fault is not the others'."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from optc.dsl.load import ZOO
from optc.search.config import checked, read_config
from optc.search.fair.schedules import scheduled
from optc.search.runs.run import create, run
from optc.search.spaces.founders import founder_texts
from optc.search.tasks.data import Examples
from optc.search.tasks.images import Images
from optc.search.tasks.task import TASKS, problem
from optc.search.training.build import optimizer_of
from optc.search.training.bundles import Queue, Sizes
from optc.search.training.evaluate import NO_LOSSES, Job, Outcome
from optc.search.training.stacks import stacks_of
from optc.search.training.train import Curve, train, train_together

from .conftest import TINY, contents


def founders():
    return list(map(optimizer_of, founder_texts(checked({}, "a test")).values()))


def adamw(lr):
    return lambda parameters, steps: torch.optim.AdamW(parameters, lr=lr)


def same(a, b):
    return (
        np.array_equal(a.losses, b.losses, equal_nan=True)
        and np.array_equal(a.accuracy, b.accuracy, equal_nan=True)
        and a.diverged == b.diverged
    )


def made_up(*shape):
    rng = np.random.default_rng(0)
    return Examples(rng.integers(0, 256, (150, *shape), dtype=np.uint8), np.arange(150) % 10)


EXAMPLES = {"mnist": made_up(28, 28, 1), "cifar10": made_up(32, 32, 3)}


def ready(name, device):
    return TASKS[name].ready(EXAMPLES[name], np.arange(120), np.arange(120, 150), torch.device(device))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_side_by_side_is_alone_to_the_bit(name, precision):
    """The paper's networks: dropout, batch norm and augmentation are all in them."""
    makers = [*founders()[:2], adamw(1e-3)]
    settings = {"steps": 4, "batch_size": 8, "seed": 1, "precision": precision}
    together = train_together(makers, ready(name, "cpu"), **settings)
    for make, curve in zip(makers, together, strict=True):
        assert same(curve, train(make, ready(name, "cpu"), **settings))
    assert together[0].losses[0] == together[1].losses[0] != together[0].losses[1]


def global_dropout(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 32), nn.Dropout(0.5), nn.Linear(32, classes))


def test_a_network_that_draws_from_torchs_own_generator_is_no_exception():
    made = Images("own", global_dropout, "digits").problem(0, 100, 50, torch.device("cpu"))
    makers = [adamw(1e-2), adamw(1e-3), adamw(1e-2)]
    before = torch.get_rng_state()
    together = train_together(makers, made, steps=5, batch_size=16, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(same(c, train(m, made, steps=5, batch_size=16, seed=1)) for m, c in zip(makers, together, strict=True))
    assert same(together[0], together[2]) and not same(together[0], together[1])


ADAMW = (ZOO / "adamw.opt").read_text()
LAMB, SGLD = ((ZOO / f"{name}.opt").read_text() for name in ("lamb", "sgld"))


def with_lr(text, lr):
    return re.sub(r"(param lr\s*=\s*)\S+", rf"\g<1>{lr}", text)


STACKED = {"adamw": (ADAMW, "cifar10", "bfloat16", 21), "lamb": (LAMB, "mnist", "float32", 4)}
STACKED |= {"sgld": (SGLD, "mnist", "float32", 4)}


@pytest.mark.parametrize("which", STACKED)
def test_one_optimizer_for_rules_of_one_skeleton_changes_no_bit(which):
    """Among strangers, and with one whose rate of 1e9 ends it at the first look."""
    text, task, precision, steps = STACKED[which]
    makers = [optimizer_of(with_lr(text, lr)) for lr in (1e-4, 1e9, 3e-3)]
    makers = [makers[0], adamw(1e-3), *makers[1:], founders()[0]]
    settings = {"steps": steps, "batch_size": 8, "seed": 1, "precision": precision}
    stacked = train_together(makers, ready(task, "cpu"), stacked=True, **settings)
    for make, curve in zip(makers, stacked, strict=True):
        assert same(curve, train(make, ready(task, "cpu"), **settings))
    assert len({curve.losses.tobytes() for curve in stacked}) == len(makers)


def test_stacks_are_of_skeletons_that_several_have():
    def made(make):
        return make(problem("digits", 0, 200, 50).model().parameters(), 5)

    rules = [with_lr(ADAMW, 1e-3), LAMB, with_lr(ADAMW, 2e-3), SGLD, with_lr(ADAMW, 3e-3)]
    optimizers = [made(optimizer_of(text)) for text in rules] + [made(adamw(1e-3)), made(adamw(1e-3))]
    before = [p.clone() for p in optimizers[2].param_groups[0]["params"]]
    ((stack, whose),) = stacks_of(optimizers)
    assert whose == [0, 2, 4]
    for whole, was, part in zip(stack.parameters, before, optimizers[2].param_groups[0]["params"], strict=True):
        assert whole[1].data_ptr() == part.data_ptr() and part.stride() == was.stride() and torch.equal(part, was)


class Breaks(torch.optim.SGD):
    """Raises on its third step."""

    def step(self, closure=None):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 3:
            raise FloatingPointError("third")
        return super().step(closure)


def refuses(parameters, steps):
    raise ValueError("not this one")


def test_ones_fault_is_not_the_others():
    digits = problem("digits", 0, 200, 50)
    wild = scheduled(lambda parameters, steps: torch.optim.SGD(parameters, lr=1e30), "own")
    makers = [refuses, lambda parameters, steps: Breaks(parameters, lr=0.1), wild, adamw(1e-3)]
    refused, broken, lost, fine = train_together(makers, digits, steps=30, batch_size=32, seed=1)
    assert isinstance(refused, ValueError) and isinstance(broken, FloatingPointError)
    assert isinstance(lost, Curve) and lost.diverged and len(lost.losses) == 20
    assert same(fine, train(adamw(1e-3), digits, steps=30, batch_size=32, seed=1)) and not fine.diverged
    with pytest.raises(ValueError, match="not this one"):
        train(refuses, digits, steps=1, batch_size=32, seed=1)


def test_only_jobs_that_differ_in_their_rule_are_bundled():
    jobs = [Job(str(k), "", task, replicate, 5) for k in range(3) for task in "ab" for replicate in (0, 1)]
    found = list(sizes(2).bundled(jobs))
    assert sorted(job.key + job.task + str(job.replicate) for bundle in found for job in bundle) == sorted(
        job.key + job.task + str(job.replicate) for job in jobs
    )
    assert all(len({(job.task, job.replicate) for job in bundle}) == 1 for bundle in found)
    assert sorted(map(len, found)) == [1] * 4 + [2] * 4
    assert sum(map(len, sizes(1).bundled(jobs))) == len(jobs)


def sizes(together, workers=1):
    return Sizes(checked({"machine": {"together": together, "device": "cpu"}}, "test"), workers)


def test_short_jobs_share_the_way_and_long_ones_do_not():
    jobs = [Job(str(k), "", "digits", 0, 5) for k in range(100)]
    lengths = {0.001: [32, 32, 32, 4], 0.1: [2] * 50, 5.0: [1] * 100}
    for seconds, expected in lengths.items():
        short = sizes(0)
        assert [len(bundle) for bundle in short.bundled(jobs)] == [1] * 100
        short.learn([(jobs[0], Outcome(0.5, 0.5, NO_LOSSES, seconds))])
        assert [len(bundle) for bundle in short.bundled(jobs)] == expected
    two = sizes(0, workers=2)
    two.learn([(jobs[0], Outcome(0.5, 0.5, NO_LOSSES, 0.001))])
    assert [len(bundle) for bundle in two.bundled(jobs[:20])] == [10, 10]


class Listener:
    def started(self, individuals, known): ...

    def scored(self, candidate, fitness, fresh): ...

    def generation(self, generation): ...

    def finished(self): ...


def searched(folder, *changes):
    folder.mkdir()
    (folder / "tiny.toml").write_text(TINY)
    config = read_config(folder / "tiny.toml", changes)
    store = create(config, folder / "run")
    run(store, config, Listener())
    store.close()
    return contents(folder / "run")


def test_a_search_is_the_same_to_the_bit(tmp_path):
    alone = searched(tmp_path / "alone", "machine.together=1")
    assert alone == searched(tmp_path / "three", "machine.together=3")


def test_a_lost_bundle_comes_back_job_by_job():
    one, deadly, two = (Job(name, "", "digits", 0, 6) for name in ("one", "deadly", "two"))
    queue = Queue([(one, deadly, two)])
    assert list(queue.died(queue.waiting.popleft())) == []
    assert list(queue.waiting) == [(one,), (deadly,), (two,)]
    queue.waiting.clear()
    assert list(queue.died((deadly,), by_its_fault=False)) == list(queue.died((deadly,))) == []
    (((job, outcome),),) = queue.died((deadly,))
    assert job is deadly and outcome.reason == "its process died 2 times" and outcome.fitness == -1


def test_a_bundle_that_takes_too_long_does_too():
    slow, other = (Job(name, "", "digits", 0, 6) for name in ("slow", "other"))
    queue = Queue([(slow, other)])
    assert list(queue.overdue(queue.waiting.popleft(), 5.0)) == [] and list(queue.waiting) == [(slow,), (other,)]
    (((job, outcome),),) = queue.overdue((slow,), 5.0)
    assert job is slow and outcome.reason == "it took longer than 5 seconds"


class Played:
    """What a graph does, without one: it keeps a batch of its own and runs what was recorded when it is played."""

    def __init__(self, batch, steps, after, generators):
        self.held, self.steps, self.after = tuple(part.clone() for part in batch), steps, after
        self.plays = 0
        BUILT.append(self)

    def play(self, batch):
        self.plays += 1
        for held, given in zip(self.held, batch, strict=True):
            held.copy_(given)
        for step in self.steps:
            step(self.held)
        self.after()


BUILT: list[Played] = []


def unrecordable(batch, steps, after, generators):
    """A recording that ends half-way leaves gradients that nothing has computed."""
    for step in steps:
        for p in step.args[0].model.parameters():
            p.grad = torch.full_like(p, float("nan"))
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize("graph", [Played, unrecordable])
def test_after_three_steps_a_graph_goes_on_where_they_ended(graph, monkeypatch):
    """On a CPU too: the order of what is recorded, the batches it is handed and the places of the losses."""
    settings = {"steps": 9, "batch_size": 8, "seed": 1}
    expected = train_together(founders(), ready("mnist", "cpu"), **settings)
    monkeypatch.setattr("optc.search.training.train.can_be_recorded", lambda problem, optimizers: True)
    monkeypatch.setattr("optc.search.training.train.Graph", graph)
    BUILT.clear()
    for curve, alone in zip(train_together(founders(), ready("mnist", "cpu"), **settings), expected, strict=True):
        np.testing.assert_allclose(curve.losses, alone.losses, rtol=1e-5)  # scalars are float32 on a device
    assert [built.plays for built in BUILT] == ([6] if graph is Played else [])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_recorded_graph_trains_as_step_by_step(name, monkeypatch):
    """The same kernels on the same numbers, some of which add in no fixed order: a few steps of float32 stay close."""
    made = ready(name, "cuda")
    makers = [*founders(), *(optimizer_of(with_lr(ADAMW, lr)) for lr in (1e-3, 2e-3))]
    settings = {"steps": 12, "batch_size": 32, "seed": 1}
    recorded = train_together(makers, made, **settings)
    monkeypatch.setattr("optc.search.training.train.can_be_recorded", lambda problem, optimizers: False)
    for curve, alone in zip(recorded, train_together(makers, made, stacked=False, **settings), strict=True):
        assert len(set(curve.losses.tolist())) == 12
        np.testing.assert_allclose(curve.losses, alone.losses, rtol=1e-3)
