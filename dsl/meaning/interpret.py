"""A rule run on numpy float64 arrays: the oracle that every backend is held to. It never touches sympy or torch.

Tensors of a model step together, statement by statement, so that a reduction `per model` sees all of them. Nothing is
rounded but what the rule itself rounds with `cast`; dtypes of states are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..operators import OPERATORS
from ..rule import Rule, Value
from ..text.expressions import Apply, Bool, Cast, Expr, Matrix, Name, Noise, Number, Prev, Reduce, Scope
from ..text.syntax import Assign, Let, Output, Repeat, Statement, When
from . import matrices

Array = NDArray[np.float64]
States = dict[str, Array]
NoiseSource = Callable[[int, int, int, tuple[int, ...]], Array]
"""(index of the call, index of the tensor, t, shape) -> standard normal numbers."""
Blur = Callable[[Any], Any]
"""A value -> one that is as good, to someone whose arithmetic rounds more than this one does."""


def settings(rule: Rule, **given: Value) -> dict[str, Value]:
    """All hyperparameters of a rule: those given, else the defaults.

    Raises TypeError for a name that the rule has not or has no default for, ValueError for a value out of its interval.
    """
    known = {p.name: p for p in rule.params}
    if unknown := [n for n in given if n not in known]:
        raise TypeError(f"{rule.name} has no hyperparameter {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    out: dict[str, Value] = {}
    for name, p in known.items():
        value = given.get(name, p.default)
        if value is None:
            raise TypeError(f"{rule.name} needs a value for {name!r}")
        if p.interval is not None and value not in p.interval:
            raise ValueError(f"Invalid {name} value: {value} (it must be in {p.interval})")
        out[name] = value
    return out


def state_shape(scope: Scope, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a state of a scope, for a parameter of a shape: reduced axes stay, with size 1."""
    if scope == "element":
        return shape
    if scope in ("tensor", "model"):
        return ()
    if scope in ("row_pair", "col_pair"):
        full = (1,) * (2 - len(shape)) + shape
        return (*full[:-2], full[-2], full[-2]) if scope == "row_pair" else (*full[:-2], full[-1], full[-1])
    rows = shape[-2:-1] if scope == "col" and len(shape) < 2 else (1,) if scope in ("col", "matrix") else shape[-2:-1]
    cols = shape[-1:] if scope == "col" else (1,) * len(shape[-1:])
    return (*shape[:-2], *(rows if len(shape) > 1 else ()), *cols)


def initial_states(rule: Rule, setting: Mapping[str, Value], theta: Array) -> States:
    """The states of one parameter before its first step; those whose condition does not hold are left out."""
    run = _Run(rule, setting, [theta], [theta], [{}], [1])
    out: States = {}
    for state in rule.states:
        if state.when is not None and not run.static(state.when, 0):
            continue
        value = run.value(state.init, [0])[0]
        out[state.name] = _first(value, state_shape(state.scope, np.shape(theta)))
    return out


def _first(value: Any, shape: tuple[int, ...]) -> Array:
    """The init of a state in the state's own shape, which for a vector has an axis less than the value."""
    fits = np.size(value) == math.prod(shape)
    return np.array(np.reshape(value, shape) if fits else np.broadcast_to(value, shape), np.float64)


def step(
    rule: Rule, setting: Mapping[str, Value], theta: Array, g: Array, states: States, t: int, **inputs: Array
) -> tuple[Array, States]:
    """(theta, states) after step `t` (from 1) of a model of one tensor. Nothing is changed in place."""
    thetas, news = step_all(rule, setting, [theta], [g], [states], [t], {n: [x] for n, x in inputs.items()})
    return thetas[0], news[0]


def step_all(
    rule: Rule,
    setting: Mapping[str, Value],
    thetas: Sequence[Array],
    gs: Sequence[Array],
    states: Sequence[States],
    ts: Sequence[int],
    inputs: Mapping[str, Sequence[Array]] | None = None,
    noise: NoiseSource | None = None,
    blur: Blur | None = None,
) -> tuple[list[Array], list[States]]:
    """One step of a model of several tensors; `ts` has each tensor's own number of the step.

    `blur` changes the result of every operation, and what reductions and matrix operations read.
    """
    run = _Run(rule, setting, thetas, gs, states, ts, inputs or {}, noise or default_noise, blur or _sharp)
    with np.errstate(all="ignore"):
        run.statements(rule.body, list(range(len(thetas))))
        return run.results()


def evaluation(rule: Rule, setting: Mapping[str, Value], theta: Array, states: States, t: int) -> Array:
    """The parameter that `evaluate theta = e` puts in place after step `t`; theta where the rule has none."""
    if rule.evaluate is None:
        return theta
    run = _Run(rule, setting, [theta], [theta], [states], [t])
    with np.errstate(all="ignore"):
        value = run.value(rule.evaluate, [0])[0]
    return np.broadcast_to(value, run.shapes[0]).reshape(theta.shape).astype(np.float64)


def serves(rule: Rule, setting: Mapping[str, Value], theta: Array) -> bool:
    """Whether a rule with `applies when` serves a parameter of this shape."""
    if rule.applies is None:
        return True
    return bool(_Run(rule, setting, [theta], [theta], [{}], [1]).static(rule.applies.condition, 0))


def default_noise(index: int, tensor: int, t: int, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers that depend on nothing but these four."""
    return np.random.Generator(np.random.Philox(key=(index << 32 | tensor, t))).standard_normal(shape)


def _sharp(x: Any) -> Any:
    return x


def _matrix_view(x: Array) -> Array:
    """At least two axes: a vector is one row, a number one row of one column."""
    return np.asarray(x, np.float64).reshape((1,) * (2 - np.ndim(x)) + np.shape(x))


@dataclass
class _Run:
    rule: Rule
    setting: Mapping[str, Value]
    thetas: Sequence[Array]
    gs: Sequence[Array]
    states: Sequence[States]
    ts: Sequence[int]
    inputs: Mapping[str, Sequence[Array]] = field(default_factory=dict)
    noise: NoiseSource = default_noise
    blur: Blur = _sharp

    def __post_init__(self) -> None:
        whole = {s.name for s in self.rule.states if s.scope in ("tensor", "model")}
        self.old = [{n: np.asarray(x) if n in whole else _matrix_view(x) for n, x in s.items()} for s in self.states]
        self.envs: list[dict[str, Any]] = [self._env(i) for i in range(len(self.thetas))]
        self.shapes = [_matrix_view(x).shape for x in self.thetas]
        self.written: list[Array | None] = [None] * len(self.thetas)

    def _env(self, i: int) -> dict[str, Any]:
        theta = _matrix_view(self.thetas[i])
        return {
            **self.setting, **self.old[i], **{n: _matrix_view(xs[i]) for n, xs in self.inputs.items()},
            "g": _matrix_view(self.gs[i]), "theta": theta, "t": float(self.ts[i]), "ndim": np.ndim(self.thetas[i]),
            "rows": theta.shape[-2], "cols": theta.shape[-1], "numel": theta.size, "pi": math.pi, "inf": math.inf,
        }  # fmt: skip

    # ------------------------------------------------------------ statements

    def statements(self, body: Sequence[Statement], on: list[int]) -> None:
        for s in body:
            match s:
                case Let(name=name, value=value) | Output(name=name, value=value):
                    for i, x in zip(on, self.value(value, on), strict=True):
                        self.envs[i][name] = x
                case Assign():
                    self._assign(s, on)
                case When():
                    arms = [self.static(s.condition, i) for i in on]
                    for body_, taken in ((s.then, True), (s.otherwise, False)):
                        if some := [i for i, arm in zip(on, arms, strict=True) if arm == taken]:
                            self.statements(body_, some)
                case Repeat():
                    for n in range(max((int(self.static(s.count, i)) for i in on), default=0)):
                        some = [i for i in on if n < int(self.static(s.count, i))]
                        self.statements(s.body, some)

    def _assign(self, s: Assign, on: list[int]) -> None:
        for i, x in zip(on, self.value(s.value, on), strict=True):
            if s.name == "theta":
                self.written[i] = x
            elif s.name in self.old[i]:
                self.envs[i][s.name] = np.broadcast_to(x, np.shape(self.old[i][s.name]))
            else:
                self.envs[i][s.name] = x

    def results(self) -> tuple[list[Array], list[States]]:
        thetas, states = [], []
        for i, env in enumerate(self.envs):
            new = self.written[i]
            if new is None:
                new = self.blur(env["theta"] - self.blur(env["step_size"] * self._direction(env)))
            thetas.append(np.array(np.broadcast_to(new, self.shapes[i]).reshape(np.shape(self.thetas[i])), np.float64))
            states.append({n: np.array(np.reshape(env[n], np.shape(x)), np.float64) for n, x in self.states[i].items()})
        return thetas, states

    def _direction(self, env: dict[str, Any]) -> Any:
        return self.blur(env["update"] + env["decay"] * env["theta"]) if "decay" in env else env["update"]

    # ------------------------------------------------------------ expressions

    def static(self, e: Expr, i: int) -> Any:
        return self.value(e, [i])[0]

    def value(self, e: Expr, on: list[int]) -> list[Any]:
        """The value of an expression for each of some tensors."""
        match e:
            case Number(value=value) | Bool(value=value):
                return [value] * len(on)
            case Name(id=name):
                return [self.envs[i][name] for i in on]
            case Prev(state=name):
                return [self.old[i][name] for i in on]
            case Apply(op=op, args=args):
                return [self.blur(OPERATORS[op].numpy(np, *xs)) for xs in self._args(args, on)]
            case Reduce(op=op, args=args, scope=scope):
                return _reduced(op, scope, [tuple(map(self.blur, xs)) for xs in self._args(args, on)])
            case Matrix(op=op, args=args):
                return [matrices.NUMPY[op](*map(self.blur, xs)) for xs in self._args(args, on)]
            case Cast(value=inner, dtype=dtype):
                return [matrices.rounded(np.asarray(x, np.float64), dtype) for x in self.value(inner, on)]
            case Noise(index=index):
                return [self.noise(index, i, int(self.ts[i]), self.shapes[i]) for i in on]
        raise TypeError(f"{type(e).__name__} is not part of a checked rule")

    def _args(self, args: tuple[Expr, ...], on: list[int]) -> Any:
        columns = [[np.asarray(x) if np.ndim(x) else _scalar(x) for x in self.value(a, on)] for a in args]
        return zip(*columns, strict=True)


def _scalar(x: Any) -> Any:
    return x if isinstance(x, (bool, np.bool_)) else np.float64(x)


# ---------------------------------------------------------------- reductions

AXES: dict[Scope, tuple[int, ...] | None] = {"row": (-1,), "col": (-2,), "matrix": (-2, -1), "tensor": None}


def _reduced(op: str, scope: Scope, args: list[tuple[Any, ...]]) -> list[Any]:
    """One reduction for each tensor, or, per model, the same one for all of them."""
    terms = [_TERM[op](*xs) for xs in args]
    if scope == "model":
        count = sum(np.size(x) for x in terms)
        parts = [_fold(op, np.ravel(x), None) for x in terms]
        total = _fold(op, np.asarray(parts, np.float64), None)
        return [_FINISH[op](total, count)] * len(terms)
    return [_finished(op, x, AXES[scope] if np.ndim(x) else None) for x in terms]


def reduction(op: str, axes: tuple[int, ...] | None, args: Sequence[Any]) -> Any:
    """One reduction over some axes, which stay with size 1."""
    return _finished(op, _TERM[op](*args), axes)


def _finished(op: str, x: Any, axes: tuple[int, ...] | None) -> Any:
    whole = _fold(op, np.asarray(x, np.float64), axes)
    return _FINISH[op](whole, np.size(x) / max(1, np.size(whole)) if np.size(x) else 0)


_TERM: dict[str, Callable[..., Any]] = {
    "sum": lambda x: x, "mean": lambda x: x, "max_of": lambda x: x,
    "norm": np.square, "rms": np.square, "dot": np.multiply,
}  # fmt: skip
_FINISH: dict[str, Callable[[Any, float], Any]] = {
    "sum": lambda x, n: x, "max_of": lambda x, n: x, "dot": lambda x, n: x,
    "mean": lambda x, n: np.divide(x, n), "norm": lambda x, n: np.sqrt(x), "rms": lambda x, n: np.sqrt(np.divide(x, n)),
}  # fmt: skip


def _fold(op: str, x: Array, axes: tuple[int, ...] | None) -> Any:
    if op == "max_of":
        return np.max(x, axis=axes, keepdims=axes is not None, initial=-np.inf)
    return np.sum(x, axis=axes, keepdims=axes is not None)
