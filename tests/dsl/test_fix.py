"""Fixes: which errors are mended without asking, which never are, and that no fix makes a text worse."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optc.dsl.checks.fix import fixed
from optc.dsl.checks.review import review
from optc.dsl.diagnostics import Diagnostic
from optc.dsl.text.parser import parse

HEAD = "param lr = 0.1\nparam beta1 = 0.9\nstate m = 0\n"
# what was written -> what is meant
MENDED = {
    "updat = m": "update = m",
    "udpate = m": "update = m",
    "update = bta1*m": "update = beta1*m",
    "update = betaa1*m": "update = beta1*m",
    "update = grad*m": "update = g*m",
    "update = epsilon*m\nparam eps = 1": "update = eps*m\nparam eps = 1",
    "update = sgn(m)": "update = sign(m)",
    "update = sqrrt(m)": "update = sqrt(m)",
    "update = clamp(m, -1, 1)": "update = clip(m, -1, 1)",
    "update = 2m": "update = 2*m",
    "m = beta1*m + g\nupdate = m": "m <- beta1*m + g\nupdate = m",
    "m += g\nupdate = m": "m <- m + g\nupdate = m",
    "theta = theta - lr*m": "theta <- theta - lr*m",
    "update = where(g <-1, g, m)": "update = where(g < -1, g, m)",
    "update = where(True, g, m)": "update = where(true, g, m)",
    "update = β₁·m": "update = beta1*m",
    "update = √m²·m": "update = sqrt(m)^2*m",
    "update = where(m∈(1, 2), 1, 0)": None,
    "update = where(g>0∧m>0, 1, 0)": "update = where(g>0 and m>0, 1, 0)",
    "update = mod(m, 2)": None,
    "m_t = beta1*m_t + g_t\nupdate = m_t": "m <- beta1*m + g\nupdate = m",
    "m_t <- m + g\nupdate = m": "m <- m + g\nupdate = m",
    "updat = bta1*grad": "update = beta1*g",
    "uppdate = 2m + 3grad": "update = 2*m + 3*g",
}
# what could mean two things stays as it is
LEFT = [
    "update = beta2*m",
    "update = mhat",
    "update = alpha*m",
    "update = beta1m",
    "update = mt",
    "mhat = m/(1 - beta1^t)\nupdate = mhat",
    "update = w*m",
    "m -= g - m\nupdate = m",
    "m *= g + m\nupdate = m",
    "update = rsqrt(m)",
    "upd = m",
    "update = m\nupdat = g",
    "let vhat = m\nupdate = mhat",
    "update = (m",
    "update = m[0]",
]


@pytest.mark.parametrize("written", [w for w, meant in MENDED.items() if meant is not None])
def test_mended(written: str) -> None:
    text, count = fixed(HEAD + written, "rule.opt", None)
    assert text == HEAD + str(MENDED[written])
    assert count > 0
    assert review(text, "rule.opt", None) == () or all(d.severity == "warning" for d in review(text, "rule.opt", None))


@pytest.mark.parametrize("written", LEFT)
def test_left_alone(written: str) -> None:
    assert fixed(HEAD + written, "rule.opt", None) == (HEAD + written, 0)


def test_more_than_ten_errors_are_all_mended() -> None:
    text = HEAD + "".join(f"let a{i} = bta1\n" for i in range(35)) + "update = m"
    better, count = fixed(text, "rule.opt", None)
    assert better == text.replace("bta1", "beta1") and count == 35


def test_one_fix_that_helps_is_kept_where_another_does_not() -> None:
    text = "param lr = 0.1\nstate v = 0\nupdate = 2g + v(2)\nv += g"
    assert fixed(text, "rule.opt", None)[0].splitlines()[2] == "update = 2*g + v(2)"


WORDS = ["updat", "update", "=", "<-", "+=", "m", "bta1", "grad", "2g", "√m", "·", "²", "sgn(", ")", "+", "∧", "\n"]


@given(st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join))
def test_never_worse(written: str) -> None:
    text = HEAD + written
    before = review(text, "rule.opt", None)
    better, count = fixed(text, "rule.opt", None)
    after = review(better, "rule.opt", None)
    assert (better != text) == (count > 0)
    if before and all(d.severity == "warning" for d in before):
        assert parse(better).items == parse(text).items
    assert _badness(after) <= _badness(before)


def _badness(found: Sequence[Diagnostic]) -> tuple[bool, int]:
    """A file that does not parse is worse than any that does, for its errors of meaning are not known yet."""
    errors = [d for d in found if d.severity == "error"]
    return any(d.code.startswith("E0") for d in errors), len(errors)


@given(st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join))
def test_idempotent(written: str) -> None:
    once, _ = fixed(HEAD + written, "rule.opt", None)
    assert fixed(once, "rule.opt", None) == (once, 0)
