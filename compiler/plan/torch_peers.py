"""What torch calls what rules have: hyperparameters anywhere, and in rules that torch has too also states and flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from .plan import Plan

Names = Mapping[str, str | tuple[str, ...]]

ANYWHERE: Names = {"weight_decay": "wd", "momentum": "mu"}
"""Torch's names of hyperparameters that many rules have; `beta1`, `beta2` and more of them are its `betas`."""


@dataclass(frozen=True)
class Peer:
    """The optimizer of torch that a rule of the same name is.

    `states` has the rule's names by torch's, `names` those of hyperparameters that are called so in this rule alone,
    `flags` torch's switches that the rule has in one position. `order` is that of torch's arguments where it differs,
    `lacks` has torch's states that the rule computes anew at each step. `words` are how torch's messages about a value
    begin, by its name there; `plain` are the hyperparameters that are no tensors under `foreach` without `capturable`;
    `refuses` is what a step refuses.
    """

    states: Mapping[str, str]
    names: Names = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ("sparse gradients",)


MOMENTS = {"exp_avg": "m", "exp_avg_sq": "v"}
AMSGRAD = {**MOMENTS, "max_exp_avg_sq": "vmax"}
DECAY = {"decoupled_weight_decay": "decoupled"}

PEERS = {
    "Adadelta": Peer({"square_avg": "v", "acc_delta": "u"}),
    "Adafactor": Peer(
        {"row_var": "R", "col_var": "C", "variance": "V"},
        names={"beta2_decay": "k", "eps": ("eps1", "eps2")},
        order=("lr", "beta2_decay", "eps", "d", "weight_decay"),
        words={
            "beta2_decay": "beta2_decay should be <= 0 but is: {value}",
            "eps": "epsilon{nth} should be >= 0 but is: {value}",
            "d": "Clipping threshold d should be >= 1 but is: {value}",
        },
        refuses=("sparse gradients", "complex parameters"),
    ),
    "Adagrad": Peer(
        {"sum": "s"},
        names={"initial_accumulator_value": "initial"},
        order=("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"),
        refuses=(),
    ),
    "Adam": Peer(AMSGRAD, names=DECAY, plain=("lr", "betas")),
    "AdamW": Peer(AMSGRAD, flags={"decoupled_weight_decay": True}, plain=("lr", "betas")),
    "Adamax": Peer({"exp_avg": "m", "exp_inf": "u"}),
    "AMSGrad": Peer(AMSGRAD, flags={"amsgrad": True, "decoupled_weight_decay": False}),
    "ASGD": Peer({"ax": "average"}, lacks=("eta", "mu")),
    "Muon": Peer(
        {"momentum_buffer": "b"},
        names={"ns_coefficients": ("a1", "a3", "a5"), "ns_steps": "steps", "adjust_lr_fn": "scale"},
        order=("lr", "weight_decay", "momentum", "nesterov"),
        refuses=("sparse gradients", "complex parameters"),
    ),
    "NAdam": Peer({**MOMENTS, "mu_product": "product"}, names={"momentum_decay": "psi", **DECAY}),
    "Nesterov": Peer({"momentum_buffer": "b"}, flags={"nesterov": True, "dampening": 0}, refuses=()),
    "RAdam": Peer(MOMENTS, names=DECAY),
    "RMSprop": Peer(
        {"square_avg": "v", "grad_avg": "a", "momentum_buffer": "b"},
        order=("lr", "alpha", "eps", "weight_decay", "momentum", "centered"),
    ),
    "Rprop": Peer(
        {"prev": "last", "step_size": "s"},
        names={"etas": ("eta_minus", "eta_plus"), "step_sizes": ("smallest", "largest")},
    ),
    "SGD": Peer({"momentum_buffer": "b"}, refuses=()),
}


def peer_of(plan: Plan) -> Peer:
    """What torch has of a rule: one without a name for anything, where it has no such rule."""
    peer = PEERS.get(plan.name, Peer({}))
    known = {m.key for m in plan.memories}
    return peer if known.issuperset(peer.states.values()) else Peer({})


def torch_names(plan: Plan) -> dict[str, str | tuple[str, ...]]:
    """Torch's names for a rule's hyperparameters, where it has not given them to others."""
    own = [p.name for p, _ in plan.params]
    betas = tuple(takewhile(own.__contains__, (f"beta{i}" for i in count(1))))
    wanted: dict[str, str | tuple[str, ...]] = {"betas": betas} if len(betas) > 1 else {}
    wanted |= {**ANYWHERE, **peer_of(plan).names}
    return {name: ours for name, ours in wanted.items() if name not in own and set(members(ours)) <= set(own)}


def common_names(plans: list[Plan]) -> dict[str, str | tuple[str, ...]]:
    """Torch's names for the hyperparameters of many rules, as far as these agree on what the names stand for."""
    own = {p.name for plan in plans for p, _ in plan.params}
    found: dict[str, set[str | tuple[str, ...]]] = {}
    for plan in plans:
        for name, ours in torch_names(plan).items():
            found.setdefault(name, set()).add(ours)
    return {name: ours.pop() for name, ours in found.items() if len(ours) == 1 and name not in own}


def members(own: str | tuple[str, ...]) -> tuple[str, ...]:
    return (own,) if isinstance(own, str) else own


def positional(plan: Plan, keys: list[str]) -> list[str]:
    """The order in which hyperparameters are given without names, as in torch: by its name what it has one for.

    A rule's own names for these are keyword arguments alone.
    """
    called = {each: name for name, own in torch_names(plan).items() for each in members(own)}
    return list(dict.fromkeys([*_ordered(plan), *(called.get(key, key) for key in keys)]))


def _ordered(plan: Plan) -> Iterator[str]:
    known = {p.name for p, _ in plan.params} | torch_names(plan).keys()
    yield from (name for name in peer_of(plan).order if name in known)
