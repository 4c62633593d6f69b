"""A batch of images to a randomly changed one, all images at once, on the device that holds them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each of (B, C, H, W) cropped from a zero border of 4 at a place of its own, and mirrored with p = 1/2."""
    batch, channels, height, width = images.shape
    padded = functional.pad(images, (PADDING,) * 4).permute(0, 2, 3, 1).contiguous()
    places = 2 * PADDING + 1
    down, along = torch.randint(0, places, (2, batch, 1), generator=generator, device=images.device)
    rows = down + torch.arange(height, device=images.device)
    each = torch.arange(batch, device=images.device)[:, None]
    # A row of the crop lies in one piece: of all pieces that begin at a pixel, (B, rows, places), each takes its own.
    sizes = (batch, height + 2 * PADDING, places, width * channels)
    pieces = padded.as_strided(sizes, (*padded.stride()[:2], channels, 1))
    crops = pieces[each, rows, along].view(batch, height, width, channels)
    mirrored = torch.rand(batch, 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(mirrored, crops.flip(2), crops).permute(0, 3, 1, 2)
