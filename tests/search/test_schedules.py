"""Schedules: told from bias corrections, taken out of a rule, laid on any rule from outside."""

import numpy as np
import pytest
import torch

from optc.dsl.load import rule_from_text, zoo
from optc.dsl.text.spelling import format_expr
from optc.search.config import ConfigError
from optc.search.fair.entrants import entrant_of, from_text, maker
from optc.search.fair.factors import schedule_factors, step_size, without
from optc.search.fair.schedules import scheduled, under, warmup_cosine


def factors_of(text):
    return [format_expr(factor) for factor in schedule_factors(rule_from_text(text))]


def test_a_schedule_is_told_from_a_bias_correction():
    size = "lr*w*3*sqrt(1 - b^t)/(1 - b^t)*0.5^t"
    text = f"param lr = 1\nparam b = 0.9\nlet w = min(1, t/100)\nstep_size = {size}\nupdate = g"
    assert factors_of(text) == ["min(1, t/100)", "0.5^t"]
    assert factors_of("param lr = 1\nupdate = g") == []
    assert not schedule_factors(zoo("adafactor")) and not schedule_factors(zoo("prodigy"))


def test_numbers_go_with_the_factor_whose_peak_they_bring_to_1():
    rule = zoo("evolved")
    warmup, cosine = schedule_factors(rule)
    assert format_expr(step_size(without(rule, [warmup]))) == "lr*0.5*(1 + cos(pi*(t - 1)/total))"
    assert format_expr(step_size(without(rule, [cosine]))) == "lr*min(1, t/warmup)"
    assert format_expr(step_size(without(rule, [warmup, cosine]))) == "lr"
    assert format_expr(step_size(without(rule, []))) == format_expr(step_size(rule))


def walked(make, steps, length):
    """Where an optimizer takes a parameter with the gradients of a fixed seed; the whole run is `length` steps."""
    torch.manual_seed(0)
    theta = torch.ones(8, dtype=torch.float64, requires_grad=True)
    optimizer = make([theta], length)
    path = []
    for _ in range(steps):
        theta.grad = torch.randn(8, dtype=torch.float64)
        optimizer.step()
        path.append(theta.detach().clone())
    return torch.stack(path).numpy()


def test_the_schedule_from_outside_is_the_papers_own():
    """The rule with its own schedule, and without it but scheduled from outside, take the same steps."""
    evolved = entrant_of("zoo:evolved")  # warm-up of 100 steps, a tenth of 1000
    inside = walked(maker(evolved.text), 150, 1000)
    outside = walked(scheduled(maker(under(evolved, "cosine").text), "cosine"), 150, 1000)
    np.testing.assert_allclose(outside, inside, rtol=0, atol=1e-13)
    constant = walked(scheduled(maker(under(evolved, "constant").text), "constant"), 150, 1000)
    assert abs(constant - inside).max() > 1e-3


@pytest.mark.parametrize("source", ["torch:AdamW", "torch:SGD", "zoo:lion"])
def test_any_rule_can_be_scheduled(source):
    make = maker(entrant_of(source).text)
    first = [abs(np.diff(walked(m, 2, 100)[:, 0]))[0] for m in (make, scheduled(make, "cosine"))]
    assert first[1] == pytest.approx(first[0] * warmup_cosine(1, 100), rel=0.2)


def test_a_schedule_rises_then_falls_to_nearly_nothing():
    factors = [warmup_cosine(step, 200) for step in range(200)]
    assert factors[0] == 1 / 20 and max(factors) == factors[19] and 0 < factors[-1] < 1e-4


def test_what_cannot_be_scheduled_is_refused_in_words():
    with pytest.raises(ConfigError, match="has no `lr`"):
        under(from_text("optimizer A\nparam eta = 1\nstep_size = eta\nupdate = g"), "cosine")
