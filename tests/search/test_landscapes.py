"""Landscapes: known minima, the difficulty that their names promise, and noise that spoils gradients, not values."""

import numpy as np
import pytest
import torch

from optc.search.tasks.landscapes import CONDITIONS, LANDSCAPES, SIZE, heavy_tails
from optc.search.tasks.task import problem
from optc.search.training.fitness import fitness
from optc.search.training.train import train

NAMES = [landscape.name for landscape in LANDSCAPES]


def made(name, seed=0):
    return problem(name, seed)


@pytest.mark.parametrize("name", NAMES)
def test_the_minimum_is_zero_and_flat(name):
    place = torch.zeros(SIZE, requires_grad=True)
    if name == "saddle":
        place = torch.cat([torch.zeros(SIZE // 2), torch.ones(SIZE // 2)]).requires_grad_()
    height = made(name).height(place)
    (gradient,) = torch.autograd.grad(height, place)
    assert float(height.detach()) == 0 and float(gradient.abs().max()) == 0


@pytest.mark.parametrize("kind", ["quadratic", "rotated"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_the_condition_is_what_the_name_says(kind, name):
    hessian = torch.autograd.functional.hessian(made(f"{kind}_{name}").height, torch.zeros(SIZE)).double()
    curvatures = np.linalg.eigvalsh(hessian.numpy())
    assert curvatures[-1] == pytest.approx(1, rel=1e-4)
    # float32 arithmetic leaves about 1e-7 of the largest curvature on the smallest
    assert curvatures[0] == pytest.approx(1 / CONDITIONS[name], abs=3e-7)
    off_diagonal = hessian - torch.diag(hessian.diag())
    assert (float(off_diagonal.abs().max()) > 1e-3) == (kind == "rotated")


def test_the_saddle_is_one():
    hessian = torch.autograd.functional.hessian(made("saddle").height, torch.zeros(SIZE))
    assert sorted(set(hessian.diag().tolist())) == [-1, 1]


def test_noise_has_heavy_tails_and_changes_the_gradient_alone():
    draw = torch.Generator().manual_seed(0)
    sample = torch.cat([heavy_tails(draw) for _ in range(300)]).abs()
    assert float(sample.max() / sample.median()) > 100  # a normal sample of this size has about 7
    torch.manual_seed(0)
    task = made("heavy_tails")
    point = task.model()
    noise, _ = next(task.batches(1, draw))
    losses = [task.loss(point, (n, None)) for n in (noise, None)]
    gradients = [torch.autograd.grad(loss, point.place)[0].view(-1) for loss in losses]
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()))
    torch.testing.assert_close(gradients[0] - gradients[1], noise, rtol=1e-4, atol=1e-6)


def test_sparse_gradients_are_zero_nearly_everywhere():
    torch.manual_seed(0)
    task = made("sparse")
    point = task.model()
    batches = task.batches(1, torch.Generator().manual_seed(0))
    shares = [
        float((torch.autograd.grad(task.loss(point, next(batches)), point.place)[0] != 0).float().mean())
        for _ in range(200)
    ]
    assert 0.04 < np.mean(shares) < 0.06


@pytest.mark.parametrize("name", NAMES)
def test_every_landscape_begins_at_1_and_can_be_descended(name):
    curve = train(lambda p, n: torch.optim.Adam(p, lr=0.02), made(name), steps=400, batch_size=1, seed=1)
    assert curve.losses[0] == pytest.approx(1)
    assert not curve.diverged and 0 < fitness(curve) <= 1.05
    assert curve.losses[-1] < 0.9


def test_conditioning_stops_descent_and_turning_stops_what_works_by_coordinates():
    def score(name, make):
        curves = [train(make, made(name), steps=200, batch_size=1, seed=seed) for seed in range(3)]
        return np.mean([fitness(curve) for curve in curves])

    descent, adam = (lambda p, n: torch.optim.SGD(p, lr=10.0)), (lambda p, n: torch.optim.Adam(p, lr=0.05))
    assert score("quadratic_1e2", descent) > score("quadratic_1e4", descent) + 0.1
    assert score("quadratic_1e6", adam) > score("rotated_1e6", adam) + 0.1


def test_a_step_too_large_diverges():
    curve = train(lambda p, n: torch.optim.SGD(p, lr=1e6), made("rosenbrock"), steps=40, batch_size=1, seed=1)
    assert fitness(curve) == -1
