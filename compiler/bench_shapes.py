"""The shapes of parameters that `optc bench` steps: those of known models, and two extremes."""

from __future__ import annotations

from collections.abc import Callable

Shapes = list[tuple[int, ...]]


def gpt2(layers: int = 12, width: int = 768, words: int = 50257, places: int = 1024) -> Shapes:
    """GPT-2 small (Radford et al., 2019), its output tied to its embedding."""
    block: Shapes = [(width, 3 * width), (3 * width,), (width, width), (width,), (width, 4 * width), (4 * width,)]
    block += [(4 * width, width), (width,), *[(width,)] * 4]
    return [(words, width), (places, width), *block * layers, (width,), (width,)]


def llama1b(layers: int = 16, width: int = 2048, inner: int = 8192, keys: int = 512, words: int = 128256) -> Shapes:
    """Llama 3.2 1B (Meta, 2024), its output tied to its embedding."""
    block: Shapes = [(width, width), (keys, width), (keys, width), (width, width)]
    block += [(inner, width), (inner, width), (width, inner), (width,), (width,)]
    return [(words, width), *block * layers, (width,)]


def resnet50() -> Shapes:
    import torch
    from torchvision.models import resnet50 as model

    with torch.device("meta"):
        return [tuple(p.shape) for p in model().parameters()]


SHAPES: dict[str, Callable[[], Shapes]] = {
    "many-small": lambda: [(64, 64)] * 1000,
    "one-large": lambda: [(16_000_000,)],
    "resnet50": resnet50,
    "gpt2": gpt2,
    "llama1b": llama1b,
}
