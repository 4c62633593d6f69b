"""A rule to its hyperparameters in a run of so many steps: its defaults, and the length where it asks for that."""

from __future__ import annotations

from ..dsl.rule import Rule, Value

LENGTH = "total"
"""The parameter without a default that a rule's schedule may ask for: the run's length in steps."""


def setting_of(rule: Rule, steps: int) -> dict[str, Value]:
    """A rule's hyperparameters in a run of so many steps. Raises ValueError where one but `total` has no default."""
    required = {param.name for param in rule.params if param.default is None}
    if not required <= {LENGTH}:
        raise ValueError(f"no default for {', '.join(sorted(required - {LENGTH}))}")
    return {param.name: steps if param.default is None else param.default for param in rule.params}
