"""Augmentation for endoscopy: a scope has no upright, and the colour of blood carries the diagnosis."""

from __future__ import annotations

import torch
from torchvision.transforms import v2


def augmentation(size_px: int) -> v2.Compose:
    """Return a transform of uint8 [3, size_px, size_px]: crop and scale, flips, mild brightness and colour.

    Hue moves by 1 % of the colour circle at most, so that blood stays red and bile stays green.
    """
    return v2.Compose(
        [
            v2.ToDtype(torch.uint8),
            v2.RandomResizedCrop(size_px, scale=(0.6, 1.0), ratio=(0.85, 1.18), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.15, hue=0.01),
        ]
    )
