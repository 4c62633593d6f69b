"""Canonical form: what must share a hash does, and what differs anywhere does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from optc.dsl.algebra.canonical import canonical
from optc.dsl.load import rule_from_text

EQUAL = (
    ("g + m", "m + g", "commutativity of a sum"),
    ("g*m", "m*g", "commutativity of a product"),
    ("(g + m) + v", "g + (m + v)", "associativity of a sum"),
    ("(g*m)*v", "g*(m*v)", "associativity of a product"),
    ("g - (m - v)", "(g - m) + v", "a difference is a sum"),
    ("g*1", "g", "one is neutral"),
    ("g/1", "g", "one is neutral below"),
    ("g + 0", "g", "zero is neutral where no one can tell"),
    ("g - 0", "g", "zero is neutral"),
    ("-(-g)", "g", "double negation"),
    ("-(m - g)", "g - m", "negated difference"),
    ("-g*-m", "g*m", "signs of a product"),
    ("2*3*g", "6*g", "literals fold"),
    ("2*(3*g)", "6*g", "literals fold through a product"),
    ("0.5*(0.5*g)", "0.25*g", "literals fold through a product"),
    ("2*(g*3)*m", "6*(m*g)", "literals fold through a product"),
    ("(1e-30*1e30)*g", "g", "literals alone fold whatever their size"),
    ("g/4", "0.25*g", "a literal divides as its inverse multiplies"),
    ("g*-1", "-g", "one is neutral but for its sign"),
    ("g/(-m)", "-(g/m)", "signs of a quotient"),
    ("(1 - 0.5)*g", "0.5*g", "literals fold"),
    ("sqrt(4)*g", "2*g", "a function of literals folds"),
    ("2*g + 3*g", "5*g", "like terms"),
    ("g + g", "2*g", "like terms without literals"),
    ("0.5*g + 0.5*m", "0.5*(g + m)", "common literal factor"),
    ("lr*g + lr*m", "lr*(m + g)", "common finite factor"),
    ("lr*g*m + v*lr", "lr*(v + m*g)", "common finite factor"),
    ("g*g", "g^2", "square as a product"),
    ("square(g)", "g^2", "square as a function"),
    ("g*g*g", "g^3", "cube"),
    ("(g^2)^2", "g^4", "whole powers of one base"),
    ("(g*m)*(g*m)", "(m*g)^2", "square of a product"),
    ("g^-1", "1/g", "a reciprocal"),
    ("v^-0.5", "1/sqrt(v)", "a root is a power where v >= 0"),
    ("abs(-g)", "abs(g)", "even function"),
    ("tanh(-g)", "-tanh(g)", "odd function"),
    ("sign(sign(g))", "sign(g)", "idempotence"),
    ("sign(2*g)", "sign(g)", "sign of a multiple"),
    ("abs(abs(g))", "abs(g)", "idempotence"),
    ("sqrt(v)^2", "v", "v >= 0 is known of an average of squares"),
    ("sqrt(v)*sqrt(v)", "v", "v >= 0 is known of an average of squares"),
    ("v^0.5", "sqrt(v)", "a root is a power where v >= 0"),
    ("max(g, m, g)", "max(m, g)", "repeated argument"),
    ("max(max(g, 1), 2)", "max(2, g)", "nested bounds"),
    ("clip(g, -1, 1)", "min(max(g, -1), 1)", "what clip means"),
    ("lerp(m, g, 0.5)", "m + 0.5*(g - m)", "what lerp means"),
    ("where(g > m, g, m)", "where(m < g, g, m)", "mirrored comparison"),
    ("where(not (g > m), g, m)", "where(g > m, m, g)", "negated condition"),
    ("where(g > m, g, g)", "g", "both arms the same"),
    ("where(1 < 2, g, m)", "g", "a condition of literals"),
)

DIFFERENT = (
    ("m/(sqrt(v) + eps)", "m/sqrt(v + eps^2)", "eps moved into the root"),
    ("sqrt(m)^2", "m", "m may be negative"),
    ("g/(abs(g) + eps)", "sign(g)", "eps"),
    ("g/abs(g)", "sign(g)", "0/0"),
    ("g/g", "1", "0/0"),
    ("g - g", "0*g", "also where both are NaN at infinity, signs of zero differ nowhere: not proven"),
    ("g*0", "0", "NaN and infinity times 0"),
    ("2*g - g", "g", "NaN at infinity"),
    ("g + m - m", "g", "NaN at infinity"),
    ("g^0.5", "sqrt(g)", "(-inf)^0.5 is infinite, sqrt(-inf) is NaN"),
    ("1/(g + 0)", "1/g", "the sign of an infinity"),
    ("1/(m - g)", "-1/(g - m)", "the sign of an infinity"),
    ("exp(log(g))", "g", "NaN below 0"),
    ("log(exp(g))", "g", "overflow"),
    ("g*(m + v)", "g*m + g*v", "inf*(2 - 1)"),
    ("inf*(g + m)", "inf*g + inf*m", "inf*(2 - 1), on the host too"),
    ("1/(wd*(g + m))", "1/(wd*g + wd*m)", "0*(1 - 2) is -0 where 0*1 - 0*2 is 0"),
    ("where(not (g < m), g, m)", "where(g >= m, g, m)", "comparisons with NaN"),
    ("where(g < m, g, m)", "min(g, m)", "NaN"),
    ("max(g, m)", "where(g > m, g, m)", "NaN"),
    ("0.5*g", "0.25*g", "another number"),
    ("g", "-g", "another sign"),
    ("g^2", "g^3", "another power"),
    ("g/sqrt(sqrt(g^4))", "g/abs(g)", "g^4 underflows or overflows"),
    ("g/sqrt(g*g)", "g/abs(g)", "g*g underflows or overflows"),
    ("(g^2)^0.5", "abs(g)", "g^2 underflows or overflows"),
    ("sqrt(sqrt(g^4))", "abs(g)", "g^4 underflows or overflows"),
    ("sqrt(g^4)", "g^2", "g^4 underflows or overflows"),
    ("sqrt(g^2)", "abs(g)", "g^2 underflows or overflows"),
    ("g*(1/m)", "g/m", "1/m overflows where m is subnormal"),
    ("g/(1/m)", "g*m", "1/m overflows where m is subnormal"),
    ("1/(1/g)", "g", "1/g overflows where g is subnormal"),
    ("lr*(1/beta1)*g", "lr/beta1*g", "on the host too"),
    ("g/m/v", "g/(m*v)", "m*v underflows or overflows"),
    ("g/(m/v)", "g*v/m", "m/v underflows or overflows"),
    ("g*v/m", "g*(v/m)", "v/m underflows or overflows"),
    ("2*g/m", "2*(g/m)", "2*g overflows"),
    ("g/m + v/m", "(g + v)/m", "a divisor is no factor"),
    ("1/g^2", "g^-2", "g^2 overflows where g^-2 is subnormal"),
    ("(1/g)^2", "1/g^2", "1/g overflows"),
    ("(g*m)^2", "g^2*m^2", "g^2 underflows where m^2 overflows"),
    ("(1e-30*g)*1e30", "g", "1e-30*g underflows"),
    ("0.25*(4*g)", "g", "4*g overflows"),
    ("0*(2*g)", "0*g", "2*g overflows, and 0 times infinity is NaN"),
    ("1e-5*(1e-5*g)", "1e-10*g", "literals far from 1 stay apart"),
    ("g", "m", "another value"),
    ("min(g, m)", "max(g, m)", "another operator"),
    ("1e-30*1e-30*g", "0*g", "folding that underflows float32"),
    ("1/sign(-g)", "-1/sign(g)", "sign(-0) is 0"),
    ("1/min(min(g, m), g)", "1/min(g, m)", "which of two zeros"),
    ("sign(0.5*g)", "sign(g)", "0.5 times the smallest number is 0"),
)


def text_hash(text: str) -> str:
    return canonical(rule_from_text(text)).hash


@pytest.mark.parametrize(("a", "b", "why"), EQUAL, ids=[f"{a} = {b}" for a, b, _ in EQUAL])
def test_equal_rules_share_a_hash(a: str, b: str, why: str) -> None:
    assert text_hash(a) == text_hash(b), why


@pytest.mark.parametrize(("a", "b", "why"), DIFFERENT, ids=[f"{a} != {b}" for a, b, _ in DIFFERENT])
def test_different_rules_do_not(a: str, b: str, why: str) -> None:
    assert text_hash(a) != text_hash(b), why


# ---------------------------------------------------------------- whole rules

HEAD = "optimizer R\nparam lr = 0.1 in (0, inf)\nparam beta = 0.9 in [0, 1)\nparam flag = true\n"
WHOLE_EQUAL = (
    ("let x = g*2\nupdate = x + x", "update = 4*g", "locals are inlined"),
    ("state m = 0\nm <- beta*m + g\nupdate = m", "state q = 0\nq <- g + q*beta\nupdate = q", "states are renamed"),
    (
        "state m = 0\nstate u = 0\nm <- m + g\nu <- u + 1\nupdate = m",
        "state m = 0\nm <- m + g\nupdate = m",
        "dead state",
    ),
    ("state m = 0\nm <- m + g\nupdate = prev(m)", "state m = 0\nupdate = m\nm <- m + g", "prev is what m was"),
    ("update = g\ndecay = 0.1", "theta <- theta - lr*(g + 0.1*theta)", "what update means"),
    ("g <- g + theta\nupdate = g", "update = theta + g", "g rebound"),
    ("when flag { update = g } else { update = g }", "update = g", "both arms the same"),
    ("when ndim >= 2 { let a = g } else { let a = -(-g) }\nupdate = a", "update = g", "both arms the same"),
    ("when not flag { update = g } else { update = 2*g }", "when flag { update = 2*g } else { update = g }", "negated"),
    ("update = dot(g, theta)*g", "update = g*dot(theta, g)", "dot commutes"),
    ("update = (g.T).T", "update = g", "transposed twice"),
    (
        "var x = g\nrepeat 3 { x <- x*x + g }\nupdate = x",
        "var y = g\nrepeat 3 { y <- g + y^2 }\nupdate = y",
        "in a loop",
    ),
)
WHOLE_DIFFERENT = (
    ("state m = 0\nm <- m + g\nupdate = m", "state m = 0\nupdate = m\nm <- m + g", "the old m"),
    ("state m = 0\nm <- m + g\nupdate = m", "state m = 1\nm <- m + g\nupdate = m", "where it starts"),
    ("state m = 0\nm <- m + g\nupdate = m", "state m : per element bfloat16 = 0\nm <- m + g\nupdate = m", "dtype"),
    ("state m = 0\nm <- m + mean(g)\nupdate = m", "state m : per tensor = 0\nm <- m + mean(g)\nupdate = m", "scope"),
    ("update = mean(g per row)", "update = mean(g per col)", "scope of a reduction"),
    ("update = mean(g per tensor)", "update = mean(g per model)", "scope of a reduction"),
    ("update = norm(g)*g", "update = rms(g)*g", "reduction"),
    ("update = g @ g.T @ theta", "update = theta @ g.T @ g", "matrix products do not commute"),
    ("when flag { update = g } else { update = 2*g }", "update = where(flag, g, 2*g)", "static or not"),
    (
        "when flag { update = g } else { update = 2*g }",
        "when flag { update = 2*g } else { update = g }",
        "arms swapped",
    ),
    ("update = cast(g, bfloat16)", "update = g", "rounding asked for"),
    ("update = g + noise()", "update = g", "noise"),
    ("update = noise() + noise()", "let n = noise()\nupdate = n + n", "two draws or one"),
    ("update = g\ndecay = 0", "update = g", "0*theta is NaN where theta is infinite"),
    ("var x = g\nrepeat 3 { x <- x*x + g }\nupdate = x", "var x = g\nrepeat 2 { x <- x*x + g }\nupdate = x", "rounds"),
    ("step_size = 1\nupdate = g", "update = g", "step size"),
    ("param a = 2\nupdate = a*g", "param a = 3\nupdate = a*g", "default"),
    ("param a = 2\nupdate = a*g", "param a : int = 2\nupdate = a*g", "type"),
    ("param a = 2\nupdate = a*g", "param a = 2 in [0, 3]\nupdate = a*g", "what is accepted"),
    ("param a = 2 in [0, 3]\nupdate = a*g", "param a = 2 in [0, 3)\nupdate = a*g", "whether an end is accepted"),
    (
        "update = sum(where(1 < 2, 3, g))*g",
        "update = sum(where(1 < 2, 3, mean(g per row)))*g",
        "how many the sum is of",
    ),
)


def of_body(body: str) -> str:
    return canonical(rule_from_text(HEAD + body)).hash


@pytest.mark.parametrize(("a", "b", "why"), WHOLE_EQUAL)
def test_whole_rules_that_are_equal(a: str, b: str, why: str) -> None:
    assert of_body(a) == of_body(b), why


@pytest.mark.parametrize(("a", "b", "why"), WHOLE_DIFFERENT)
def test_whole_rules_that_are_not(a: str, b: str, why: str) -> None:
    assert of_body(a) != of_body(b), why


def test_names_of_the_optimizer_and_its_documentation_do_not_count() -> None:
    plain = "param lr = 0.1\nupdate = lr*g"
    assert text_hash(f"## Doc\noptimizer A\n{plain}") == text_hash(f"optimizer B\n{plain}")


def test_the_form_is_the_same_in_another_process() -> None:
    code = "import optc; print(optc.canonical(optc.zoo('evolved')).hash)"
    seeds = ({"PYTHONHASHSEED": seed} for seed in ("1", "2"))
    runs = [subprocess.run([sys.executable, "-c", code], env={**os.environ, **s}, capture_output=True) for s in seeds]
    assert runs[0].stdout == runs[1].stdout != b"", runs[0].stderr


def test_sharing_does_not_grow_exponentially() -> None:
    lines = [f"let a{i + 1} = tanh(a{i})*a{i} + sign(a{i})" for i in range(60)]
    form = canonical(rule_from_text(HEAD + "\n".join(["let a0 = g", *lines, "update = a60"])))
    assert len(form.skeleton) < 10_000
