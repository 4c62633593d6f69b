"""How many bytes a value takes in each of the language's dtypes, `like_param` aside."""

from __future__ import annotations

CODE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8, "int8": 1, "fp8": 1, "ufp8": 1}
BLOCK = 256
"""As many values of a block-quantised dtype share a float32 scale."""
QUANTISED = frozenset(("int8", "fp8", "ufp8"))
BYTES = {dtype: size + (4 / BLOCK if dtype in QUANTISED else 0.0) for dtype, size in CODE_BYTES.items()}
"""The same with a value's share of the scale."""
