"""Periodic textures of the bowel wall: smooth noise, branching vessels, and how a point of the wall samples them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.float32]

_NOISE_PX = 128
_VESSEL_PX = 256


def lookup(texture: Array, u: Array, v: Array) -> Array:
    """Sample a periodic texture [channels, n, n] bilinearly at u, v in texels; return [channels, ...]."""
    side = texture.shape[1]
    fu, fv = np.floor(u), np.floor(v)
    i, j = fu.astype(np.int32) & (side - 1), fv.astype(np.int32) & (side - 1)
    row, below = i * side, ((i + 1) & (side - 1)) * side
    right = (j + 1) & (side - 1)
    corners = (row + j, row + right, below + j, below + right)
    a, b = u - fu, v - fv
    out = np.empty((len(texture), *u.shape), dtype=np.float32)
    for plane, flat in zip(out, texture.reshape(len(texture), -1), strict=True):
        upper_left, upper_right, lower_left, lower_right = (flat.take(corner) for corner in corners)
        upper = upper_left + (upper_right - upper_left) * b
        plane[:] = upper + (lower_left + (lower_right - lower_left) * b - upper) * a
    return out


def smooth_noise(rng: np.random.Generator, channels: int, slope: float, longest: float, shortest: float) -> Array:
    """Return periodic noise of unit variance, [channels, 128, 128]; wavelengths in texels, amplitude 1/f^slope."""
    white = rng.standard_normal((channels, _NOISE_PX, _NOISE_PX), dtype=np.float32)
    spectrum = np.fft.rfft2(white) * _band(slope, longest, shortest)
    smooth = np.fft.irfft2(spectrum, s=(_NOISE_PX, _NOISE_PX)).astype(np.float32)
    return np.asarray(smooth / np.sqrt(np.square(smooth).mean(axis=(1, 2), keepdims=True)), dtype=np.float32)


@lru_cache(maxsize=4)
def _band(slope: float, longest: float, shortest: float) -> Array:
    frequency = np.hypot(np.fft.fftfreq(_NOISE_PX)[:, None], np.fft.rfftfreq(_NOISE_PX)[None, :]) + 1e-9
    gain = (frequency >= 1 / longest) * np.exp(-((frequency * shortest) ** 4)) * frequency**-slope
    return np.asarray(gain, dtype=np.float32)


def vessel_map(rng: np.random.Generator) -> Array:
    """Draw branching vessels; return darkness 0..1, [1, 256, 256], periodic."""
    image = Image.new("L", (_VESSEL_PX, _VESSEL_PX))
    draw = ImageDraw.Draw(image)
    stack = [(*rng.uniform(0, _VESSEL_PX, 2).tolist(), float(rng.uniform(0, 6.283)), 3.2, 0) for _ in range(5)]
    while stack:
        x, y, heading, width, depth = stack.pop()
        for turn in rng.normal(0, 0.22, 6).tolist():
            heading += turn
            end_x, end_y = x + 9 * np.cos(heading), y + 9 * np.sin(heading)
            for shift in {
                (0, 0),
                (-_VESSEL_PX * int(end_x // _VESSEL_PX), -_VESSEL_PX * int(end_y // _VESSEL_PX)),
            }:
                points = (x + shift[0], y + shift[1], end_x + shift[0], end_y + shift[1])
                draw.line(points, fill=int(110 + 40 * width), width=max(1, round(width)))
            x, y = end_x % _VESSEL_PX, end_y % _VESSEL_PX
        if depth < 3:
            spread = float(rng.uniform(0.35, 0.9))
            stack += [(x, y, heading + side * spread, width * 0.72, depth + 1) for side in (-1, 1)]
    soft = image.filter(ImageFilter.GaussianBlur(1.0))
    return np.asarray(np.asarray(soft)[None] / np.float32(255), dtype=np.float32)
