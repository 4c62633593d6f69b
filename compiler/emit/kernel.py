"""Prints the Triton kernels around a plan's arithmetic: tables, loads, stores, and sums over a chunk or a tile.

Each program finds its work in a table, and through it the addresses of its tensor's operands and its row of scalars.
Rules that are not elementwise have two tables besides, of facts and of reduced numbers: row 0 is about all tensors,
then there is one row a tensor. Facts are counts, the states that are one number, and what `noise()` depends on.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dsl.text.expressions import Scope
from ..plan.passes import LINES, NUMBERS, Column, Measure, Passes, noise_name
from ..plan.plan import Memory, Plan
from .access import load, load_parameter, load_state, store, store_parameter, store_rounded, store_state
from .geometry import MASKS, MASTER, TABLES, Geometry, geometry_of, old, scales
from .layout import STEP, docstring, wrapped
from .triton import block_arguments, earlier

FACTS = ("facts", "reduced")
PARTIALS = "partials"
KEYS = "keys"
"""What random rounding depends on, two numbers a tensor; read where a kernel is compiled as `dithered`."""

WAYS = (f"{MASTER}_type", "dithered")
"""How memory is kept, beside the dtypes of operands: compile-time arguments."""

FINISH = {
    "sum": "{x}.to(compute)",
    "mean": "({x} / {n}).to(compute)",
    "norm": "tl.sqrt({x}).to(compute)",
    "rms": "tl.sqrt({x} / {n}).to(compute)",
    "max_of": "{x}.to(compute)",
    "dot": "{x}.to(compute)",
}
"""A reduction's result, from what was added up and the number of terms, in float64."""

COLLAPSED = {"row": (2,), "col": (1,), "matrix": (2, 1)}
"""The axes of a tile along which a reduction per row, column or matrix runs."""


def reduces(plan: Plan) -> bool:
    """Whether a kernel needs the tables of facts and of reduced numbers."""
    return not plan.elementwise


def emit_kernel(plan: Plan, passes: Passes, name: str, block: str, kept: bool) -> list[str]:
    """The pass that steps: loads, the rule, stores; with code for codes, masters and random rounding if `kept`."""
    doc = "One piece of one tensor: what is whole and aligned takes 128-bit accesses, the rest a mask."
    kernel = _Kernel(plan, passes, passes.columns, kept)
    return kernel.lines(name, doc, lambda mask: kernel.step(block, mask))


def emit_measure(plan: Plan, passes: Passes, measure: Measure, name: str, terms: str, kept: bool) -> list[str]:
    """A pass that measures: loads, terms, and their sums over the piece."""
    doc = "Sums over one piece of one tensor; others add up the pieces."
    kernel = _Kernel(plan, passes, earlier(passes, measure), kept, measure.columns)
    return kernel.lines(name, doc, lambda mask: kernel.sums(measure, terms, mask))


class _Kernel:
    """One kernel. `known` are the reductions that are done when it runs, `measured` those that it makes: with none it
    steps. `walked` says that it reads what is kept.
    """

    def __init__(
        self, plan: Plan, passes: Passes, known: tuple[Column, ...], kept: bool, measured: tuple[Column, ...] = ()
    ) -> None:
        self.plan, self.passes, self.known, self.kept, self.measured = plan, passes, known, kept, measured
        self.at: Geometry = geometry_of(plan, passes, kept)
        self.walked = kept and not self.at.tiled
        self.memories = {m.name: m for m in plan.memories}

    def lines(self, name: str, doc: str, body: Callable[[str], list[str]]) -> list[str]:
        step, plan = self.plan.step, self.plan
        flags = (f.name for f in plan.flags)
        types = [f"{x}_type" for x in step.inputs]
        constants = [*types, "compute", "maximize", *flags, *self.at.sizes, *(WAYS if self.kept else ())]
        tables = [*TABLES, *([KEYS] if self.kept else []), *(FACTS if reduces(plan) else ())]
        tables += [PARTIALS] if self.measured else []
        out = [
            "@jit",
            *wrapped(f"def {name}", [*tables, *(f"{c}: tl.constexpr" for c in constants)], ":"),
            *docstring(doc, STEP),
            *self.at.head(),
            *self._load_slots(),
            *(self._load_facts() if reduces(plan) else []),
            *self._addresses(),
        ]
        out += [] if self.at.tiled else [f"{STEP}at = tl.arange(0, BLOCK)"]
        out += [f"{STEP}key = keys + 2 * tl.load(job)"] if self.kept and not self.measured else []
        head, otherwise = ([STEP + line for line in lines] for lines in self.at.parted(empty=reduces(plan)))
        return [*out, *head, *body(""), *otherwise, *body("mask")]

    def _scope(self, name: str) -> str:
        return self.memories[name].scope if name in self.memories else "element"

    def _load_slots(self) -> list[str]:
        slots = self.plan.step.slots
        out = [f"{STEP}row = scalars + {len(slots)} * tl.load(job + {self.at.row})"] if slots else []
        for i, s in enumerate(slots):
            cast = ".to(tl.int32) != 0" if s.kind == "bool" else ".to(compute)"
            out.append(f"{STEP}{s.name} = tl.load(row + {i}){cast}")
        return out

    def _load_facts(self) -> list[str]:
        """States of one number, and finished reductions of one."""
        counts, width = self.passes.counts, len(self.passes.columns)
        numbers = [m for m in self.plan.memories if m.scope in NUMBERS]
        out = [f"{STEP}{m.name} = tl.load(fact + {i}).to(compute)" for i, m in enumerate(numbers, len(counts))]
        for c in self.known:
            if c.per in NUMBERS:
                table, facts = ("result", "fact") if c.per == "tensor" else ("reduced", "facts")
                i = counts.index(c.of) if c.of in counts else 0
                n = f"tl.load({facts} + {i})" if i else f"tl.load({facts})"
                out.append(f"{STEP}{c.name} = {FINISH[c.op].format(x=f'tl.load({table} + {c.index})', n=n)}")
        of_tensor, noises = [c for c in self.known if c.per == "tensor"], self.passes.noises
        places = []
        if numbers or noises or any("{n}" in FINISH[c.op] for c in of_tensor):
            places.append(("fact", "facts", len(counts) + len(numbers) + (3 if noises else 0)))
        if of_tensor:
            places.append(("result", "reduced", width))
        return [*(f"{STEP}{own} = {table} + {of} * (1 + tl.load(job))" for own, table, of in places), *out]

    def _addresses(self) -> list[str]:
        """Pointers to those of this tensor's operands that are loaded here or stored."""
        wanted = {x: x for x in (*self.plan.step.inputs, MASTER) if self._loads_from(x) or self._stores_to(x)}
        wanted |= {old(m): m.name for m in self.memories.values()}
        of_scales = {scales(m) for m in self.memories.values() if m.scope == "element"}
        out: list[str] = []
        for i, name in enumerate(self.at.columns):
            address = f"tl.load(tensor + {i})"
            if name in of_scales:
                out.append(f"{STEP}{name} = {address}.to(tl.pointer_type(tl.float32))")
            elif name in wanted:
                out.append(f"{STEP}{name}_at = {self._pointer(wanted[name], address)}")
        return out

    def _pointer(self, name: str, address: str) -> str:
        if name in self.memories and self.walked and self._scope(name) == "element":
            return f"block_pointer({address}, {name}_type)"
        value = f"{address}.to(tl.pointer_type({name}_type))"
        return f"tl.multiple_of({value}, 16)" if self._scope(name) == "element" else value

    def _loads_from(self, name: str) -> bool:
        """Whether elements are loaded from an operand itself: numbers are facts, written lines have copies."""
        scope = self._scope(name)
        return scope == "element" or (scope in LINES and not self.memories[name].written)

    def _stores_to(self, name: str) -> bool:
        return not self.measured and name in self.plan.step.outputs

    def _line_pointer(self, name: str) -> str:
        """Where values per row, column or matrix are, looked up where they are needed: it spares registers."""
        return f"{name} = tl.load(tensor + {self.at.columns.index(name)}).to(tl.pointer_type(tl.float64))"

    # -------------------------------------------------------- the two bodies

    def _loads(self, mask: str) -> list[str]:
        indent = STEP * 2
        out = self.at.indices(mask, indent, self._scopes())
        for c in self.known:
            if c.per in LINES:
                masked = f", mask={MASKS[c.per]}" if mask else ""
                out.append(f"{indent}{self._line_pointer(f'{c.name}_at')}")
                out.append(f"{indent}{c.name} = tl.load({c.name}_at + {self.at.place(c.per)}{masked}).to(compute)")
        for x in self.plan.step.inputs:
            memory = self.memories.get(x)
            if memory is None or memory.scope not in NUMBERS:
                out += self._load(x, memory, mask, indent)
        key = len(self.passes.counts) + sum(m.scope in NUMBERS for m in self.plan.memories)
        where = self.at.element
        noises = self.passes.noises
        out += [f"{indent}{noise_name(i)} = block_noise({where}, fact + {key}, {i}, compute)" for i in noises]
        return [*out, f"{indent}if maximize:", f"{indent}{STEP}g = g * -1.0"]

    def _scopes(self) -> set[Scope]:
        """What there are values for in a tile, besides elements."""
        return {m.scope for m in self.memories.values()} | {c.per for c in (*self.known, *self.measured)}

    def _load(self, name: str, memory: Memory | None, mask: str, indent: str) -> list[str]:
        scope = "element" if memory is None else memory.scope
        if self.walked and name == "theta":
            return load_parameter(self.at.element, mask, indent)
        if self.walked and memory is not None:
            return load_state(memory, self.at.element, mask, indent)
        source = old(memory) if memory is not None and memory.scope in LINES and memory.written else name
        return load(name, memory, self.at.place(scope), MASKS[scope] if mask else "", indent, source)

    def step(self, block: str, mask: str) -> list[str]:
        """Load, compute, store; a state of one number is stored by its tensor's first piece."""
        step, indent = self.plan.step, STEP * 2
        out = self._loads(mask)
        args = block_arguments(self.plan, self.passes, self.passes.columns)
        out += wrapped(f"{', '.join(step.outputs)} = {block}", args, "", indent)
        for x in step.outputs:
            out += self._store(x, mask, indent)
        return out

    def _store(self, name: str, mask: str, indent: str) -> list[str]:
        """One result; streams of random bits are counted as `keep` in `runtime/memory.py` counts them."""
        memory, at = self.memories.get(name), self.at.element
        stream = 0 if memory is None else 1 + self.plan.memories.index(memory)
        if memory is None or memory.scope == "element":
            if not self.walked:
                return self._store_number(name, memory, stream, at, mask, indent)
            if memory is None:
                return store_parameter(at, mask, indent)
            return store_state(memory, stream, at, mask, indent)
        numbers = memory.scope in NUMBERS
        head = self.at.first() if numbers else self.at.owner(memory.scope)
        at, mask = (self.at.zero, "") if numbers else (self.at.place(memory.scope), mask and MASKS[memory.scope])
        return [f"{indent}if {head}:", *self._store_number(name, memory, stream, at, mask, indent + STEP)]

    def _store_number(
        self, name: str, memory: Memory | None, stream: int, at: str, mask: str, indent: str
    ) -> list[str]:
        if self.kept:
            return store_rounded(name, memory, stream, at, mask, indent)
        return store("theta" if memory is None else name, name, memory, at, mask, indent)

    def sums(self, measure: Measure, terms: str, mask: str) -> list[str]:
        indent = STEP * 2
        results = [c.term for c in measure.columns]
        out = self._loads(mask)
        args = block_arguments(self.plan, self.passes, self.known)
        out += wrapped(f"{', '.join(results)} = {terms}", args, "", indent)
        if any(c.per in NUMBERS for c in measure.columns):
            width = len(self.passes.columns)
            out.append(f"{indent}partial = partials + {width} * {self.at.numbered()}")
        for c in measure.columns:
            out += self._sum(c, mask, indent)
        return out

    def _sum(self, c: Column, mask: str, indent: str) -> list[str]:
        empty, fold = ('float("-inf")', "block_largest") if c.op == "max_of" else ("0.0", "block_total")
        counted = self.at.counted(c, mask)
        x = f"tl.where({counted}, {c.term}, {empty})" if counted else c.term
        if c.per in NUMBERS:
            return [f"{indent}tl.store(partial + {c.index}, {fold}({x}))"]
        out = [f"{indent}{c.term} = {x}"] if counted else []
        x = c.term
        for axis in COLLAPSED[c.per]:
            x = f"{fold.replace('block', 'tile')}({x}, {axis})"
        args = [f"{c.term}_at + {self.at.partial(c)}", x, *([f"mask={MASKS[c.per]}"] if mask else [])]
        return [*out, f"{indent}{self._line_pointer(f'{c.term}_at')}", *wrapped("tl.store", args, "", indent)]
