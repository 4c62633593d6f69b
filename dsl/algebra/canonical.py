"""Rule → its canonical form: a skeleton without names or numbers, the numbers, and one hash of both.

Names of hyperparameters, states and locals do not count, nor what nothing reads, nor whatever `normal.py` sees through.
Two rules of one hash agree on every input, NaN and infinities included, but for rounding, and but for the overflow and
underflow of intermediate values where one sum of three or more terms, or one product of three or more factors, is put
together in another order, or a finite factor is taken out of a sum. Quotients, roots and other powers stay as written.
The converse cannot be had: rules may be equal and have different hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ..meaning.graph import Memory, Traced, trace
from ..recent import remembering
from ..rule import Rule, flattened
from ..text.syntax import Repeat
from .dead import without_dead
from .labels import Labels
from .normal import Normal
from .normal_facts import facts_of_all, leaf_facts
from .skeleton import Writer


@dataclass(frozen=True, slots=True)
class Canonical:
    """`skeleton` holds the structure, each number as `#`; `constants` those numbers in order of appearance, followed by
    the defaults of the hyperparameters that are read. `hash` is over both, and over the hyperparameters' intervals."""

    skeleton: str
    constants: tuple[float, ...]
    hash: str


@remembering
def canonical(rule: Rule) -> Canonical:
    """The canonical form. Equal for rules that differ in names, order of commuting arguments, grouping of sums and
    products, neutral elements, double negation, unfolded literals of moderate size, finite common factors, and in what
    has no effect."""
    traced, live = traced_live(rule)
    normal = normal_form(rule, traced, live)
    labels = Labels(rule, traced, normal)
    writer = Writer(rule, normal, labels)
    skeleton, constants, intervals = writer.write()
    if rule.applies is not None and rule.applies.otherwise is not None:
        other = canonical(rule.applies.otherwise)
        settings = sorted(rule.applies.settings)
        skeleton += f"\notherwise {' '.join(name for name, _ in settings)}\n{other.skeleton}"
        constants += (*(float(value) for _, value in settings), *other.constants)
        intervals += f"\n{other.hash}"
    digest = sha256("\n".join((skeleton, repr(constants), intervals)).encode()).hexdigest()
    return Canonical(skeleton, constants, digest)


def traced_live(rule: Rule) -> tuple[Traced, list[int]]:
    """The rule's values without the states that nothing depends on, and the nodes that count."""
    loops = any(isinstance(s, Repeat) for s in flattened(rule.body))
    traced = trace(without_dead(rule) if loops else rule)  # a loop carries all that its body gives values to
    live = traced.live()
    read = {traced.graph.nodes[i].data for i in live if traced.graph.nodes[i].op == "state"}
    return replace(traced, states={name: m for name, m in traced.states.items() if name in read}), live


def normal_form(rule: Rule, traced: Traced, live: Sequence[int]) -> Normal:
    """The normal form of a rule's live values under what can be assumed of its states and zeros.

    A first attempt finds that out. It takes it that no sign of a zero can be told, and is sound where none can in what
    comes of it.
    """
    for guess in (True, False):
        rough = Normal(traced.graph, live, leaf_facts(rule, {}), zeros_free=guess)
        roots = [rough.of[i] for i in traced.roots.values()]
        memory = {
            name: Memory(rough.of[m.init], rough.of[m.update], None if m.when is None else rough.of[m.when])
            for name, m in traced.states.items()
        }
        states, facts, zeros_free = facts_of_all(rule, rough.graph.nodes, roots, memory)
        if zeros_free or not guess:
            break
    if all(facts[i] == rough.facts[i] for i in rough.unproven):
        return rough
    return Normal(traced.graph, live, leaf_facts(rule, states), zeros_free=guess)
