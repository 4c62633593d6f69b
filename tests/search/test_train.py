"""Training: the same bits for the same seed, divergence as a value, the paper's fitness."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from optc.compiler.runtime.compiled import flushes_subnormals
from optc.search.tasks.task import problem
from optc.search.training.fitness import fitness, overall
from optc.search.training.train import Curve, train


@pytest.fixture(scope="module")
def digits():
    return problem("digits", seed=0)


def adamw(parameters, steps):
    return torch.optim.AdamW(parameters, lr=3e-3)


def test_it_learns(digits):
    curve = train(adamw, digits, steps=80, batch_size=64, seed=1)
    assert curve.losses.shape == (80,) and curve.losses.dtype == np.float32
    assert curve.losses[:5].mean() > 2 and curve.losses[-5:].mean() < 0.5
    assert curve.accuracy > 0.85 and not curve.diverged


def test_equal_seeds_give_equal_bits_whatever_was_drawn_before(digits):
    first = train(adamw, digits, steps=5, batch_size=64, seed=1)
    torch.rand(17)
    again = train(adamw, digits, steps=5, batch_size=64, seed=1)
    other = train(adamw, digits, steps=5, batch_size=64, seed=2)
    assert np.array_equal(first.losses, again.losses) and first.accuracy == again.accuracy
    assert not np.array_equal(first.losses, other.losses)


def test_rules_meet_the_same_batches(digits):
    """Whatever the rule, the loss of step 1 is that of the same weights on the same batch."""
    curves = [train(make, digits, steps=1, batch_size=64, seed=1) for make in (adamw, descent(0.0))]
    assert curves[0].losses[0] == curves[1].losses[0]


def test_the_global_generator_is_left_alone(digits):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    train(adamw, digits, steps=2, batch_size=64, seed=1)
    assert torch.equal(torch.rand(3), expected)


class Watched(torch.optim.SGD):
    """Notes at every step whether numbers below float32's normal range are 0."""

    def step(self, closure=None):
        self.flushed = flushes_subnormals()
        return super().step(closure)


def test_subnormal_numbers_are_0_in_training_alone(digits):
    """Proofs about rules know them: eps > 0 rests on them, and on it rests a rule's key."""
    made, modes = [], []

    def make(parameters, steps):
        modes.append(flushes_subnormals())
        made.append(Watched(parameters, lr=0.1))
        return made[0]

    train(make, digits, steps=1, batch_size=64, seed=1)
    assert modes == [False] and made[0].flushed and not flushes_subnormals()


def test_every_thread_of_a_worker_flushes_them():
    """In a process of its own: threads keep the mode of the moment at which they are made."""
    code = """
import torch
from optc.search.config import checked
from optc.search.training.evaluate import settle
from optc.search.training.train import flushing
settle(checked({"machine": {"threads": 2}}, "a test"))
tiny = torch.full((1 << 20,), 1e-40)
with flushing():
    print(int((tiny * 1.0).count_nonzero()))
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (ran.stdout, ran.returncode) == ("0\n", 0), ran.stderr


def descent(lr):
    """Gradient descent with any rate, a hopeless one too, which torch would refuse at first."""

    def make(parameters, steps):
        optimizer = torch.optim.SGD(parameters, lr=1.0)
        optimizer.param_groups[0]["lr"] = lr
        return optimizer

    return make


@pytest.mark.parametrize(
    ("lr", "why"), [(-1.0, "rose over 50"), (1e30, "not finite"), (float("nan"), "not finite")], ids=str
)
def test_divergence_is_a_value(digits, lr, why):
    curve = train(descent(lr), digits, steps=60, batch_size=64, seed=1)
    assert why in curve.diverged and np.isnan(curve.accuracy)
    assert fitness(curve) == -1
    assert len(curve.losses) % 20 == 0 and len(curve.losses) <= 60


def test_a_network_broken_by_the_last_step_has_diverged(digits):
    curve = train(descent(1e38), digits, steps=1, batch_size=64, seed=1)
    assert np.isfinite(curve.losses).all()
    assert "output is not finite" in curve.diverged


def test_bfloat16_stays_near_float32(digits):
    curves = [train(adamw, digits, steps=40, batch_size=64, seed=1, precision=p) for p in ("float32", "bfloat16")]
    assert not np.array_equal(curves[0].losses, curves[1].losses)
    np.testing.assert_allclose(curves[0].losses, curves[1].losses, atol=0.15)


def test_the_papers_fitness():
    losses = np.concatenate([np.full(100, 9.0), np.full(50, 0.4)]).astype(np.float32)
    assert fitness(Curve(losses, 0.9)) == pytest.approx(0.9 + 0.05 * 0.6)
    assert fitness(Curve(losses * 10, 0.9)) == 0.9
    assert fitness(Curve(losses, float("nan"), "the loss rose over 50")) == -1


def test_an_individual_is_the_mean_over_tasks_of_the_mean_over_seeds():
    assert overall({"a": [1.0, 0.0], "b": [0.2]}) == pytest.approx((0.5 + 0.2) / 2)
