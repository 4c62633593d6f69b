"""The networks that rules are judged on, as functions from (channels, classes) to a fresh module; no training here."""

from __future__ import annotations

from torch import nn


def digits_cnn(channels: int, classes: int) -> nn.Module:
    """A small network for 8x8 images: 23 thousand parameters."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def any_size_cnn(channels: int, classes: int) -> nn.Module:
    """A network for images of any size of at least 4x4: 85 thousand parameters for one channel and ten classes."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, classes),
    )  # fmt: skip


def paper_cnn28(channels: int, classes: int) -> nn.Module:
    """The network for 28x28 images of arXiv:2512.11853."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, classes),
    )  # fmt: skip


def paper_cnn32(channels: int, classes: int) -> nn.Module:
    """The network for 32x32 images of arXiv:2512.11853."""
    return nn.Sequential(
        *_paper_block(channels, 32), *_paper_block(32, 64),
        nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, classes),
    )  # fmt: skip


def _paper_block(channels: int, width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
    ]  # fmt: skip
