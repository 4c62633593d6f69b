"""A rule in normal form, with an order → its skeleton as text, and the numbers that were lifted out of it.

One line for each result, state and hyperparameter. What is used more than once and is large is written once and named.
"""

from __future__ import annotations

from collections import Counter

from ..meaning.graph import Node
from ..rule import Rule
from .labels import Labels
from .normal import Normal
from .shuffle import LIFTED, coefficient, is_unordered

LARGE = 4
"""How many nodes a value may have and still be written out wherever it is used, whatever its numbers are."""


def letters(n: int) -> str:
    """a, b, …, z, aa, ab, …: a skeleton has no digits but those of dtypes."""
    text = ""
    n += 1
    while n > 0:
        n, rest = divmod(n - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


Part = str | int | float
"""Text, a node still to be written, or a number that was lifted."""


class Writer:
    def __init__(self, rule: Rule, normal: Normal, labels: Labels) -> None:
        self.rule = rule
        self.zeros_free = normal.zeros_free
        self.labels = labels
        self.nodes = normal.graph.nodes
        self.names: dict[tuple[str, object], str] = {}
        self.constants: list[float] = []
        self.shared: dict[int, str | None] = dict.fromkeys(self._large_and_shared())

    def _large_and_shared(self) -> list[int]:
        uses = Counter(a for i in self.labels.live for a in _written(self.nodes[i]))
        uses.update([*self.labels.roots.values(), *(i for parts in self.labels.memory.values() for i in parts)])
        size: dict[int, int] = {}
        for i in self.labels.live:
            size[i] = 1 + sum(1 if uses[a] > 1 and size[a] > LARGE else size[a] for a in _written(self.nodes[i]))
        return [i for i, n in size.items() if n > LARGE and uses[i] > 1]

    def write(self) -> tuple[str, tuple[float, ...], str]:
        """The skeleton, its numbers with the live hyperparameters' defaults, and those hyperparameters' intervals."""
        lines = [] if self.zeros_free else ["signed zeros"]
        lines += [f"{name} = {self._text(i)}" for name, i in sorted(self.labels.roots.items())]
        states = {s.name: s for s in self.rule.states}
        done = 0
        while done < len(named := [(key, name) for key, name in self.names.items() if key[0] == "state"]):
            (_, original), name = named[done]
            done += 1
            state = states[str(original)]
            init, update, *when = self.labels.memory[str(original)]
            condition = f" when {self._text(when[0])}" if when else ""
            head = f"{name}: {state.scope} {state.dtype}{condition}"
            lines.append(f"{head} = {self._text(init)} <- {self._text(update)}")
        return self._with_params(lines)

    def _with_params(self, lines: list[str]) -> tuple[str, tuple[float, ...], str]:
        params = {p.name: p for p in self.rule.params}
        intervals = []
        for (kind, original), name in list(self.names.items()):
            if kind == "param":
                param = params[str(original)]
                lines.append(f"{name}: {param.type}{'' if param.default is None else ' = ' + LIFTED}")
                self.constants += [] if param.default is None else [float(param.default)]
                i = param.interval
                intervals.append("" if i is None else repr((i.low, i.high, i.low_open, i.high_open)))
        return "\n".join(lines), tuple(self.constants), " ".join(intervals)

    def _text(self, root: int) -> str:
        out: list[str] = []
        pending: list[Part] = [root]
        while pending:
            part = pending.pop()
            if isinstance(part, float):
                self.constants.append(part)
            elif isinstance(part, str):
                out.append(part)
            elif self.shared.get(part):
                out.append(str(self.shared[part]))
            else:
                pending += reversed(self._named(part))
        return "".join(out)

    def _named(self, i: int) -> list[Part]:
        if i not in self.shared:
            return self._parts(self.nodes[i])
        name = self.shared[i] = "&" + letters(sum(1 for given in self.shared.values() if given))
        return [f"{name}=", *self._parts(self.nodes[i])]

    def _parts(self, node: Node) -> list[Part]:
        match node.op:
            case "number":
                return [LIFTED, float(node.data)]
            case "given" | "input":
                return [f"{'input.' if node.op == 'input' else ''}{node.data}"]
            case "param" | "state" | "noise" | "carried":
                return [self._leaf(node)]
            case "sum":
                return self._sum(node)
            case "product":
                return self._product(node)
            case "div":
                return ["(", node.args[0], "/", node.args[1], ")"]
            case "repeat" | "item":
                return [f"{node.op}.{letters(int(node.data))}", *self._arguments(node)]
        head = node.op if node.data is None else f"{node.op}[{_plain(node.data)}]"
        return [head, *self._arguments(node)]

    def _leaf(self, node: Node) -> str:
        if node.op in ("noise", "carried"):
            numbers = node.data if isinstance(node.data, tuple) else (node.data,)
            return ".".join((node.op, *(letters(int(n)) for n in numbers)))
        key = (node.op, node.data)
        if key not in self.names:
            self.names[key] = f"{node.op}.{letters(sum(1 for kind, _ in self.names if kind == node.op))}"
        return self.names[key]

    def _arguments(self, node: Node) -> list[Part]:
        args = node.args
        if is_unordered(node):
            args = tuple(args[k] for k in self.labels.order(args, [""] * len(args)))
        out: list[Part] = ["("]
        for i, a in enumerate(args):
            out += [", ", a] if i else [a]
        return [*out, ")"]

    def _sum(self, node: Node) -> list[Part]:
        one = self.labels.one
        signs = [coefficient(c, a == one) for c, a in zip(node.data, node.args, strict=True)]
        numbers = [float(c) for c in node.data]
        out: list[Part] = ["("]
        for n, k in enumerate(self.labels.order(node.args, signs, numbers)):
            a, sign, c = node.args[k], signs[k], numbers[k]
            out += [" + "] if n else []
            if sign == LIFTED:
                out += [LIFTED, c] if a == one else [LIFTED, c, "*", a]
            else:
                out += ["-", a] if sign == "-1.0" else [a]
        return [*out, ")"]

    def _product(self, node: Node) -> list[Part]:
        out: list[Part] = []
        for k in self.labels.order(node.args, node.data):
            out += ["*", node.args[k]] * node.data[k]
        return ["(", *out[1:], ")"]


def _written(node: Node) -> list[int]:
    """A node's arguments as often as the text has them: a power is written out."""
    if node.op != "product":
        return list(node.args)
    if set(node.data) == {1}:
        return list(node.args)
    return [a for n, a in zip(node.data, node.args, strict=True) for _ in range(n)]


def _plain(data: object) -> str:
    return " ".join(map(str, data)) if isinstance(data, tuple) else str(data)
