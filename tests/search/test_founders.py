"""The individuals that open a search of the paper's space, compiled, follow torch.optim over 100 steps."""

import pytest
import torch

from optc.dsl.text.format import format_file
from optc.search.spaces.paper import FOUNDERS, Genome, Term, write
from optc.search.spaces.trees import tidied
from optc.search.training.build import optimizer_of

STEPS = 100
SHAPES = ((7,), (3, 5), ())

# torch's SGD does not scale the gradient by 1 - momentum: a tenth of the rate gives the same steps.
REFERENCES = {
    "sgd_momentum": lambda ps: torch.optim.SGD(ps, lr=1e-3, momentum=0.9),
    "adam": lambda ps: torch.optim.Adam(ps, lr=1e-3),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=1e-3, weight_decay=1e-2),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, lr=1e-3, alpha=0.99, eps=1e-8),
}


def trajectory(make):
    draw = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]
    optimizer = make(parameters)
    for _ in range(STEPS):
        for p in parameters:
            p.grad = p.detach() + torch.randn(p.shape, generator=draw)
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def compiled(genome):
    text = format_file(tidied(write(genome)))
    return lambda parameters: optimizer_of(text)(parameters, STEPS)


@pytest.mark.parametrize("name", FOUNDERS)
def test_founders_follow_torch(name):
    torch.testing.assert_close(trajectory(compiled(FOUNDERS[name])), trajectory(REFERENCES[name]), rtol=0, atol=3e-6)


def test_the_papers_schedule_and_clip_follow_a_plain_loop():
    """The paper's step, written out: clip, decay, then the term; its schedule counts steps from 0."""
    from math import cos, pi

    flags = frozenset({"clipping", "warmup", "cosine"})
    values = FOUNDERS["adam"].values | {"lr": 0.05, "wd": 0.01, "limit": 0.7, "warmup": 50.0}
    genome = Genome((Term("grad", 1.5), Term("sign_grad", -0.25)), values, flags)

    class Plain:
        def __init__(self, parameters):
            self.parameters, self.s = parameters, 0

        @torch.no_grad()
        def step(self):
            lr = 0.05 * ((self.s + 1) / 50 if self.s < 50 else 1.0) * 0.5 * (1 + cos(pi * self.s / STEPS))
            for p in self.parameters:
                g = p.grad.clamp(-0.7, 0.7)
                p.mul_(1 - lr * 0.01)
                p.sub_(lr * (1.5 * g - 0.25 * g.sign()))
            self.s += 1

    torch.testing.assert_close(trajectory(compiled(genome)), trajectory(Plain), rtol=0, atol=3e-6)


def test_rules_of_one_structure_share_one_class():
    texts = [format_file(write(FOUNDERS[name])) for name in ("adam", "adamw")]
    made = [optimizer_of(text)([torch.nn.Parameter(torch.zeros(2))], STEPS) for text in texts]
    assert type(made[0]) is type(made[1])
    assert [o.param_groups[0]["wd"] for o in made] == [0, 1e-2]


@pytest.mark.parametrize("text", ["update = k*g\nparam lr = 1\nparam k", "update = q", "param lr = 1"])
def test_texts_that_cannot_be_trained_raise_what_says_so(text):
    from optc.dsl.diagnostics import OptError

    with pytest.raises((ValueError, OptError)):
        optimizer_of(text)
