"""Prints a plan's segments as functions on torch tensors, and says what each operator is there."""

from __future__ import annotations

from collections.abc import Callable

from ...dsl.text.expressions import Cast, Expr, Matrix, Noise, Reduce
from ..plan.borrowed import borrowed
from ..plan.names import Names
from ..plan.plan import Plan, Segment
from .layout import STEP, docstring, returned, statements, wrapped
from .spell import ARITHMETIC, ATOM, IF, ON_TENSORS, PRODUCT, Speller, Spelling, call, infix

TORCH: dict[str, Spelling] = {
    **ARITHMETIC,
    **ON_TENSORS,
    "div": infix("/", PRODUCT),
    "mod": call("tensor_mod", 2),
    "pow": call("tensor_pow", 2),
    "sqrt": call("tensor_sqrt"),
    "cbrt": call("tensor_cbrt"),
    "exp": call("torch.exp"),
    "log": call("torch.log"),
    "sin": call("torch.sin"),
    "cos": call("torch.cos"),
    "tanh": call("torch.tanh"),
    "erf": call("torch.erf"),
    "sign": call("tensor_sign"),
    "abs": call("torch.abs"),
    "floor": call("torch.floor"),
    "square": call("torch.square"),
    "min": call("torch.minimum", 2),
    "max": call("torch.maximum", 2),
    "clip": call("tensor_clip", 3),
    "lerp": call("tensor_lerp", 3),
    "where": call("torch.where", 3),
}

MATRIX: dict[str, Spelling] = {
    "matmul": infix("@", PRODUCT),
    "transpose": Spelling("{}.mT", takes=(ATOM,)),
    "identity": call("identity"),
    "orthogonalize": call("orthogonalize"),
    "inv_root": call("inverse_root", 2),
    "eigenbasis": call("eigenbasis"),
    "qr_basis": call("orthonormal_factor"),
}

REDUCTIONS = {"sum": "total", "mean": "mean", "norm": "norm", "rms": "rms", "max_of": "largest", "dot": "dot"}

OVER_ALL = {
    "sum": 'yield {site}, "sum", total({x}, "tensor")',
    "mean": '(yield {site}, "sum", total({x}, "tensor")) / (yield {next}, "sum", count({x}))',
    "norm": 'torch.sqrt((yield {site}, "sum", total(torch.square({x}), "tensor")))',
    "rms": 'torch.sqrt((yield {site}, "sum", total(torch.square({x}), "tensor")) / (yield {next}, "sum", count({x})))',
    "max_of": 'yield {site}, "max", largest({x}, "tensor")',
    "dot": 'yield {site}, "sum", dot({x}, {y}, "tensor")',
}
"""Reductions over every tensor: the generator yields a partial result and is sent back all of them combined."""


class _Special:
    """What torch says of reductions, casts and matrices; counts the places where all tensors are needed."""

    def __init__(self) -> None:
        self.sites = 0

    def __call__(self, value: Expr, spell: Callable[[Expr, int], str]) -> str | None:
        match value:
            case Reduce(op=op, args=args, scope="model"):
                site, self.sites = self.sites, self.sites + 2
                texts = [spell(a, IF) for a in args]
                return OVER_ALL[op].format(site=site, next=site + 1, x=texts[0], y=texts[-1])
            case Reduce(op=op, args=args, scope=scope):
                return f'{REDUCTIONS[op]}({", ".join(spell(a, IF) for a in args)}, "{scope}")'
            case Cast(value=inner, dtype=dtype):
                return f"{spell(inner, ATOM)}.to(torch.{dtype})"
            case Matrix(op=op, args=args):
                row = MATRIX[op]
                return row.template.format(*(spell(a, t) for a, t in zip(args, row.takes or (IF, IF), strict=False)))
            case Noise(index=index):
                return f"noise(theta, key, {index})"
        return None


def emit_torch(plan: Plan, segment: Segment, name: str, doc: str, names: Names) -> list[str]:
    """The function that computes a segment's outputs from its inputs, slots and flags."""
    speller = Speller(TORCH, _Special())
    args = [*segment.inputs, *(s.name for s in segment.slots), *(f.name for f in plan.flags)]
    args += ["key"] if plan.noisy and segment is plan.step else []
    body = statements(segment.body, speller, names, "range({})")
    copied = borrowed(plan) if segment is plan.step else ()
    return [
        *wrapped(f"def {name}", args, ":"),
        *docstring(doc, STEP),
        *body,
        *returned([f"{name}.clone()" if name in copied else name for name in segment.outputs], STEP),
    ]
