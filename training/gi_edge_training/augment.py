"""Augmentation for endoscopy: a scope has no upright, and the colour of blood carries the diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

_LEAST_AREA = 0.6
"""Share of the frame's area that the cut-out square has at least."""
_RATIO = 1.18
"""Most that the cut-out is wider than high, or higher than wide."""
_BRIGHTNESS, _CONTRAST, _SATURATION = 0.2, 0.2, 0.15
"""Each factor is drawn from 1 minus this to 1 plus this."""
_HUE = 0.01
"""Most that a hue moves, as a share of the colour circle: blood stays red and bile stays green."""
_LUMA = (0.299, 0.587, 0.114)
"""Grey of red, green and blue (ITU-R BT.601), as torchvision and Pillow compute it."""
_DRAWS = 10


def augmentation(size_px: int) -> Callable[[Tensor], Tensor]:
    """Return a transform of uint8 [3, size_px, size_px] on any device: turn, mirror, cut out, stretch, recolour.

    Every turn is equally likely; the part of a cut-out that lies beyond the frame is black, as beside a padded one. A
    cut-out is enlarged, never shrunk, so that bilinear sampling needs no antialiasing. Geometry is one resampling and
    colour one 3x3 matrix, where a chain of torchvision's v2 transforms resamples twice and goes through HSV; each part
    alone agrees with torchvision's. All chance comes from torch's global CPU generator.
    """
    return _Augmentation(size_px)


class _Augmentation:
    """A class, not a closure, so that it can be sent to worker processes."""

    def __init__(self, size_px: int) -> None:
        self._size_px = size_px

    def __call__(self, frame: Tensor) -> Tensor:
        draws = torch.rand(_DRAWS).tolist()
        levels = frame.to(torch.float32)
        grid = _grid(placement_from_draws(draws[:6]), self._size_px, frame.device)
        moved = grid_sample(levels[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        grey = float(levels.mean(dim=(1, 2)).dot(levels.new_tensor(_LUMA)))
        matrix, shift = colour_from_draws(draws[6:], grey)
        coloured = torch.addmm(levels.new_tensor(shift), matrix.to(frame.device), moved.reshape(3, -1))
        return coloured.clamp_(0, 255).round_().to(torch.uint8).reshape(3, self._size_px, self._size_px)


Placement = tuple[tuple[float, float, float], tuple[float, float, float]]


def placement_from_draws(draws: list[float]) -> Placement:
    """Return the 2x3 matrix from places in the result to places in the frame, x and y from -1 to 1.

    draws: six numbers from 0 to 1: area, ratio, the middle's x and y, angle, mirror. With every angle, mirroring left
    to right is all the mirroring there is.
    """
    area, ratio, x, y, turn, mirror = draws
    area = _LEAST_AREA + (1 - _LEAST_AREA) * area
    ratio = math.exp((2 * ratio - 1) * math.log(_RATIO))
    width, height = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    across = width if mirror < 0.5 else -width
    sine, cosine = math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)
    return (
        (across * cosine, -height * sine, (2 * x - 1) * (1 - width)),
        (across * sine, height * cosine, (2 * y - 1) * (1 - height)),
    )


def _grid(placement: Placement, size_px: int, device: torch.device) -> Tensor:
    """Return what affine_grid would, [1, size_px, size_px, 2], in a fifth of its time: sums of a row and a column."""
    places = (2 * torch.arange(size_px, dtype=torch.float32, device=device) + 1) / size_px - 1
    grid = torch.empty(1, size_px, size_px, 2, device=device)
    for axis, (along, down, middle) in enumerate(placement):
        torch.add(along * places, (down * places + middle)[:, None], out=grid[0, ..., axis])
    return grid


def colour_from_draws(draws: list[float], grey: float) -> tuple[Tensor, float]:
    """Return a matrix [3, 3] for RGB levels and the number to add afterwards.

    draws: four numbers from 0 to 1: brightness, contrast, saturation, hue. grey: mean grey of the frame, which
    contrast leaves as it is. Brightness, contrast and saturation are torchvision's formulas. Hue is a turn about the
    grey axis; near a pure red, green or blue an angle of 2π·h moves HSV's hue by 2π / (3·√3) · h, the most it does
    anywhere, so that the largest angle is 3·√3·_HUE.
    """
    brightness, contrast, saturation = (
        1 + most * (2 * draw - 1) for most, draw in zip((_BRIGHTNESS, _CONTRAST, _SATURATION), draws[:3], strict=True)
    )
    angle = 3 * math.sqrt(3) * _HUE * (2 * draws[3] - 1)
    less, more = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    diagonal = math.cos(angle) + less
    turned = torch.tensor(
        [
            [diagonal, less - more, less + more],
            [less + more, diagonal, less - more],
            [less - more, less + more, diagonal],
        ]
    )
    saturated = saturation * torch.eye(3) + (1 - saturation) * torch.tensor(_LUMA).expand(3, 3)
    return contrast * brightness * (saturated @ turned), (1 - contrast) * brightness * grey
