"""A batch of images to a randomly changed one, all images at once, on the device that holds them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each of (B, C, H, W) cropped from a zero border of 4 at a place of its own, and mirrored with p = 1/2."""
    batch, _, height, width = images.shape
    padded = functional.pad(images, (PADDING,) * 4)
    draw = torch.randint(0, 2 * PADDING + 1, (2, batch), generator=generator, device=images.device)
    mirrored = torch.rand(batch, 1, generator=generator, device=images.device) < 0.5
    along_x = torch.arange(width, device=images.device)
    rows = draw[0][:, None] + torch.arange(height, device=images.device)
    columns = draw[1][:, None] + torch.where(mirrored, along_x.flip(0), along_x)
    each = torch.arange(batch, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
